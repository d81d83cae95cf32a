// Our stack against the kernel's TCP, UDP and ICMP through a TUN device. Needs root; skips out loud otherwise.
import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Conn, KERNEL_ADDRESSES, type Lab, missing, OUR_ADDRESSES, openLab } from './kernel/lab.ts';
import { hasTshark, lint } from './kernel/pcap.ts';
import { runCommand, serve } from './kernel/service.ts';

const MiB = 1024 * 1024;
const skip = missing();
if (skip !== undefined) console.log(`kernel TCP interop is skipped: ${skip}`);

/** Listens on our port 7000 with the same service the kernel's end has. */
function serveOurs(lab: Lab): void {
  lab.stack.listen({
    port: 7000,
    backlog: 1024,
    accept: (socket) => {
      const conn = new Conn(() => socket);
      socket.handler = conn.handler;
      void serve(conn).catch(() => {});
    },
  });
}

async function dialKernel(
  lab: Lab,
  command: string,
  count: number,
  address: string,
): Promise<string> {
  return await runCommand(lab.connect(address, 9000), command, count);
}

const options = { skip: skip ?? false, timeout: 120_000 };

const FAMILIES = [
  ['IPv4', KERNEL_ADDRESSES[0], OUR_ADDRESSES[0]],
  ['IPv6', KERNEL_ADDRESSES[1], OUR_ADDRESSES[1]],
] as const;
/** How long a stream of the bulk tests is; COVE_BULK_MIB=1024 for the long run. */
const BULK = Number(process.env['COVE_BULK_MIB'] ?? 32) * MiB;

for (const [family, kernel, ours] of FAMILIES) {
  test(`bulk data with the kernel over ${family}: both roles, both directions, half close`, {
    ...options,
    timeout: 600_000,
  }, async () => {
    await using lab = await openLab();
    serveOurs(lab);
    for (const command of ['sink', 'source', 'echo']) {
      assert.equal(await dialKernel(lab, command, BULK, kernel), 'ok', `we dial, ${command}`);
      assert.deepEqual(await lab.peer(ours, 7000, command, BULK), ['ok'], `kernel, ${command}`);
    }
  });
}

for (const [name, sysctls] of [
  ['without SACK', { 'net.ipv4.tcp_sack': '0' }],
  ['without timestamps', { 'net.ipv4.tcp_timestamps': '0' }],
  ['without window scaling', { 'net.ipv4.tcp_window_scaling': '0' }],
  ['asking for ECN', { 'net.ipv4.tcp_ecn': '1' }],
] as const) {
  test(`a kernel ${name} is served, with and without loss`, options, async () => {
    await using lab = await openLab(sysctls);
    serveOurs(lab);
    for (const [family, kernel, ours] of FAMILIES) {
      for (const loss of [0, 0.01]) {
        lab.loss = loss;
        assert.equal(await dialKernel(lab, 'echo', 2 * MiB, kernel), 'ok', family);
        assert.deepEqual(await lab.peer(ours, 7000, 'echo', 2 * MiB), ['ok'], family);
      }
    }
  });
}

test('1 % loss both ways delays but damages nothing', options, async () => {
  await using lab = await openLab();
  serveOurs(lab);
  lab.loss = 0.01;
  assert.equal(await dialKernel(lab, 'echo', 10 * MiB, KERNEL_ADDRESSES[0]), 'ok');
  assert.deepEqual(await lab.peer(OUR_ADDRESSES[1], 7000, 'echo', 10 * MiB), ['ok']);
});

test('a slow reader on either side closes the window and opens it again', options, async () => {
  await using lab = await openLab();
  serveOurs(lab);
  assert.equal(await dialKernel(lab, 'slow', 8 * MiB, KERNEL_ADDRESSES[0]), 'ok');
  assert.deepEqual(await lab.peer(OUR_ADDRESSES[0], 7000, 'slow', 8 * MiB), ['ok']);
});

test('a slow writer on either side', options, async () => {
  await using lab = await openLab();
  serveOurs(lab);
  for (const [family, kernel, ours] of FAMILIES) {
    // 200 pieces with pauses of 2 ms; a stall of Nagle against a delayed acknowledgement at each would take 8 s and more.
    const began = performance.now();
    assert.equal(await dialKernel(lab, 'trickle', 20_000, kernel), 'ok', family);
    assert.deepEqual(await lab.peer(ours, 7000, 'trickle', 20_000), ['ok'], family);
    assert.ok(performance.now() - began < 5000, `${family}: ${performance.now() - began} ms`);
  }
});

test('1000 connections at once, each way', options, async () => {
  await using lab = await openLab({ 'net.core.somaxconn': '4096' });
  serveOurs(lab);
  const dials = Array.from({ length: 1000 }, () =>
    dialKernel(lab, 'echo', 10_000, KERNEL_ADDRESSES[0]),
  );
  assert.deepEqual(new Set(await Promise.all(dials)), new Set(['ok']));
  const results = await lab.peer(OUR_ADDRESSES[0], 7000, 'echo', 10_000, 1000);
  assert.deepEqual(new Set(results), new Set(['ok']));
});

for (const [command, where] of [
  ['reset', 'ESTABLISHED'],
  ['reset-flood', 'ESTABLISHED, data under way'],
  ['reset-waiting', 'FIN-WAIT-2'],
  ['reset-half', 'CLOSE-WAIT'],
] as const) {
  test(
    `a reset in ${where} ends the connection with ECONNRESET, ours and the kernel's`,
    options,
    async () => {
      await using lab = await openLab();
      serveOurs(lab);
      for (const [family, kernel, ours] of FAMILIES) {
        await assert.rejects(dialKernel(lab, command, 0, kernel), { code: 'ECONNRESET' }, family);
        const [result] = await lab.peer(ours, 7000, command, 0);
        // To a writer the kernel says EPIPE once it has told of the reset.
        assert.match(String(result), /^(?:ECONNRESET|EPIPE)$/, family);
      }
      await sleep(100);
      assert.equal(lab.stack.connectionCount, 0, 'nothing is left');
    },
  );
}

test('keep-alive: answered probes keep a connection, unanswered ones end it', options, async () => {
  await using lab = await openLab({
    'net.ipv4.tcp_keepalive_intvl': '1',
    'net.ipv4.tcp_keepalive_probes': '2',
  });
  serveOurs(lab);
  const conn = lab.connect(KERNEL_ADDRESSES[0], 9000);
  // The kernel answers at most one probe in 500 ms (tcp_invalid_ratelimit).
  conn.socket.setKeepAlive({ idle: 300, interval: 300, probes: 3 });
  conn.write('echo\n');
  // The kernel probes as well, from 1 s on, and would give up before 4.5 s.
  const kernels = lab.peer(OUR_ADDRESSES[0], 7000, 'idle', 4500);
  await sleep(1800);
  assert.equal(conn.destroyed, false);
  assert.ok((lab.stack.counters()['tcp.keepalives'] ?? 0) >= 3, 'probes were sent');
  assert.deepEqual(await kernels, ['ok']);
  const gone = new Promise((resolve) => conn.once('error', resolve));
  lab.loss = 1;
  assert.equal(((await gone) as NodeJS.ErrnoException).code, 'ETIMEDOUT');
});

test('a route of the kernel that says 500 bytes is kept to', options, async () => {
  await using lab = await openLab();
  serveOurs(lab);
  const route = ['ip', 'route', 'replace', '10.80.0.0/24', 'dev', 'cove0', 'advmss', '500'];
  await lab.exec(...route);
  lab.longest = 0;
  assert.equal(await dialKernel(lab, 'sink', MiB, KERNEL_ADDRESSES[0]), 'ok');
  assert.deepEqual(await lab.peer(OUR_ADDRESSES[0], 7000, 'source', MiB), ['ok']);
  assert.ok(lab.longest > 500 && lab.longest <= 540, `${lab.longest} bytes`);
});

const lintOptions = hasTshark() ? options : { ...options, skip: skip ?? 'needs tshark' };

/** Milliseconds without the event loop after which either end may take an answer for lost. */
const STALL_MS = 5;
const ATTEMPTS = 10;

test('tshark finds nothing wrong with what we send', lintOptions, async () => {
  await using lab = await openLab();
  serveOurs(lab);
  const timersFired = (): number => {
    const counters = lab.stack.counters();
    return (counters['tcp.tail_loss_probes'] ?? 0) + (counters['tcp.timeouts'] ?? 0);
  };
  for (const [loss, family, kernel, ours] of [
    [0, ...FAMILIES[0]],
    [0, ...FAMILIES[1]],
    [0.01, ...FAMILIES[0]],
  ] as const) {
    lab.loss = loss;
    for (let attempt = 1; ; attempt++) {
      const fired = timersFired();
      using stalls = stallMeter();
      const packets: { at: number; bytes: Uint8Array }[] = [];
      lab.record = packets;
      assert.equal(await dialKernel(lab, 'echo', 2 * MiB, kernel), 'ok', family);
      assert.deepEqual(await lab.peer(ours, 7000, 'echo', 2 * MiB), ['ok'], family);
      assert.equal(await dialKernel(lab, 'trickle', 2000, kernel), 'ok', family);
      await lab.exec('ping', '-c', '1', '-s', '3000', ours);
      lab.record = undefined;
      assert.ok(packets.length > 4000);
      assert.deepEqual(lint(packets, OUR_ADDRESSES, false), [], `${family}, loss ${loss}`);
      if (loss > 0) break;
      const suspicious = lint(packets, OUR_ADDRESSES, true);
      // A process that stood still makes both ends ask again. A run in which it did not has no excuse.
      const isExcused = timersFired() > fired || stalls.longest() > STALL_MS;
      if (suspicious.length === 0) break;
      assert.ok(isExcused && attempt < ATTEMPTS, `${family}: ${suspicious.join('\n')}`);
    }
  }
});

/** How long the event loop stood still at most, in milliseconds. */
function stallMeter(): { longest(): number } & Disposable {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  return {
    longest: () => delay.max / 1e6 - 1,
    [Symbol.dispose]: () => {
      delay.disable();
    },
  };
}

test('tshark would find it', lintOptions, () => {
  const segment = Buffer.from(
    '450000280000000040060000' +
      '0a5000020a500001' +
      '1b5800500000000100000000500000000000' +
      '0000',
    'hex',
  );
  assert.equal(lint([{ at: 0, bytes: segment }], OUR_ADDRESSES, false).length, 1);
});

test('refusals and resets carry their error codes both ways', options, async () => {
  await using lab = await openLab();
  serveOurs(lab);
  await assert.rejects(
    dialKernel({ ...lab, connect: (a) => lab.connect(a, 9999) }, 'echo', 1, KERNEL_ADDRESSES[0]),
    {
      code: 'ECONNREFUSED',
    },
  );
  await assert.rejects(dialKernel(lab, 'reset', 0, KERNEL_ADDRESSES[0]), { code: 'ECONNRESET' });
  assert.deepEqual(await lab.peer(OUR_ADDRESSES[0], 7999, 'echo', 1), ['ECONNREFUSED']);
  assert.deepEqual(await lab.peer(OUR_ADDRESSES[0], 7000, 'reset', 0), ['ECONNRESET']);
});

test(
  'ping and UDP of every size, fragments included, are answered both ways',
  options,
  async () => {
    await using lab = await openLab();
    for (const [size, target] of [0, 56, 1252, 1253, 4000, 65000].flatMap((s) =>
      OUR_ADDRESSES.map((a) => [s, a] as const),
    )) {
      const text = await lab.exec(
        'ping',
        '-c',
        '2',
        '-i',
        '0.01',
        '-W',
        '2',
        '-s',
        String(size),
        target,
      );
      assert.match(text, / 0% packet loss/, `ping ${target} with ${size} bytes`);
    }
    for (const address of KERNEL_ADDRESSES) {
      const result = await new Promise((resolve) => {
        lab.stack.ping({ address, payload: new Uint8Array(3000).fill(7), done: resolve });
      });
      assert.deepEqual((result as { payload: Uint8Array }).payload, new Uint8Array(3000).fill(7));
      for (const length of [0, 1, 1000, 5000, 60_000]) {
        const bytes = new Uint8Array(length).fill(length & 255);
        const echoed = await new Promise((resolve) => {
          const socket = lab.stack.bindUdp({ port: 0, receive: (d) => resolve(d.bytes) });
          socket.send({ address, port: 9000 }, bytes);
        });
        assert.deepEqual(echoed, bytes, `${length} bytes of UDP to ${address}`);
      }
    }
    const refused = await new Promise((resolve) => {
      const socket = lab.stack.bindUdp({ port: 0, receive() {}, error: resolve });
      socket.send({ address: KERNEL_ADDRESSES[0], port: 9 }, new Uint8Array(1));
    });
    assert.equal(refused, 'ECONNREFUSED');
  },
);
