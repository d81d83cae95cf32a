// Our stack against the kernel's TCP, UDP and ICMP through a TUN device. Needs root; skips out loud otherwise.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Conn, KERNEL_ADDRESSES, type Lab, missing, OUR_ADDRESSES, openLab } from './kernel/lab.ts';
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

for (const [family, kernel, ours] of [
  ['IPv4', KERNEL_ADDRESSES[0], OUR_ADDRESSES[0]],
  ['IPv6', KERNEL_ADDRESSES[1], OUR_ADDRESSES[1]],
] as const) {
  test(
    `bulk data with the kernel over ${family}: both roles, both directions, half close`,
    options,
    async () => {
      await using lab = await openLab();
      serveOurs(lab);
      for (const command of ['sink', 'source', 'echo']) {
        assert.equal(await dialKernel(lab, command, 20 * MiB, kernel), 'ok', `we dial, ${command}`);
        assert.deepEqual(
          await lab.peer(ours, 7000, command, 20 * MiB),
          ['ok'],
          `kernel, ${command}`,
        );
      }
    },
  );
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
    for (const loss of [0, 0.01]) {
      lab.loss = loss;
      assert.equal(await dialKernel(lab, 'echo', 2 * MiB, KERNEL_ADDRESSES[0]), 'ok');
      assert.deepEqual(await lab.peer(OUR_ADDRESSES[0], 7000, 'echo', 2 * MiB), ['ok']);
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

test('500 connections at once, each way', options, async () => {
  await using lab = await openLab();
  serveOurs(lab);
  const dials = Array.from({ length: 500 }, () =>
    dialKernel(lab, 'echo', 10_000, KERNEL_ADDRESSES[0]),
  );
  assert.deepEqual(new Set(await Promise.all(dials)), new Set(['ok']));
  const results = await lab.peer(OUR_ADDRESSES[0], 7000, 'echo', 10_000, 500);
  assert.deepEqual(new Set(results), new Set(['ok']));
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
