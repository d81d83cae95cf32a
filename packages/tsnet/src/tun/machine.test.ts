import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { NativeError } from '@cove/native';
import { Stack, type TcpHandler, type UdpDatagram } from '@cove/netstack';
import { DnsType, encodeDns, parseDns } from '@cove/protocol/dns';
import { formatAddr } from '@cove/protocol/netaddr';
import { systemClock } from '../clock.ts';
import type { Engine } from '../engine.ts';
import { crypto, type TestEngine, TestTailnet, until } from '../testing/tailnet.ts';
import type { TunOpenOptions, TunSystem } from './machine.ts';
import { machineOpener } from './open.ts';

/** A machine in memory: its kernel is a stack, its device a pair of calls. */
class FakeMachine implements TunSystem {
  readonly netlink = (): string => '';
  readonly dnsCalls: string[] = [];
  readonly received: Uint8Array[] = [];
  readonly stack: Stack;
  isOpen = false;
  #options: TunOpenOptions | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(addresses: readonly string[]) {
    this.stack = new Stack({
      randomBytes: (n) => randomBytes(n),
      output: (buf, offset, length) => this.send(buf.slice(offset, offset + length)),
      wake: () => setImmediate(() => this.#turn()),
    });
    this.stack.setAddresses(addresses);
  }

  open(options: TunOpenOptions) {
    this.#options = options;
    this.isOpen = true;
    return {
      name: 'fake0',
      index: 7,
      write: (buf: Uint8Array, offset: number, length: number) => {
        const packet = buf.slice(offset, offset + length);
        this.received.push(packet);
        setImmediate(() => {
          this.stack.input(packet, 0, packet.length, performance.now());
          this.#turn();
        });
      },
      flush: () => {},
      drops: () => ({ read: 1, write: 2 }),
      close: () => {
        this.isOpen = false;
        clearTimeout(this.#timer);
      },
    };
  }

  dns() {
    return {
      apply: (suffix: string) => this.dnsCalls.push(suffix),
      close: () => this.dnsCalls.push('closed'),
    };
  }

  /** One packet out of the machine. */
  send(packet: Uint8Array): void {
    if (!this.isOpen) return;
    const { headroom, packets } = this.#options!;
    const slots = new Uint8Array(2048);
    slots.set(packet, headroom);
    packets(slots, 2048, Uint32Array.of(packet.length), 1);
  }

  #turn(): void {
    if (!this.isOpen) return;
    this.stack.poll(performance.now());
    clearTimeout(this.#timer);
    const next = this.stack.nextTick;
    if (next !== undefined)
      this.#timer = setTimeout(() => this.#turn(), Math.max(0, next - performance.now()));
  }

  /** Connects, and resolves to everything the other side says. */
  read(remoteAddress: string, remotePort: number): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = '';
      const handler: TcpHandler = {
        readable: (socket) => {
          for (let chunk = socket.read(); chunk; chunk = socket.read())
            text += Buffer.from(chunk).toString();
        },
        ended: (socket) => socket.close(),
        closed: (_socket, error) => (error ? reject(new Error(error)) : resolve(text)),
      };
      this.stack.connect({ remoteAddress, remotePort, handler });
    });
  }

  /** Says a word to whoever connects. */
  listen(port: number, word: string): void {
    this.stack.listen({
      port,
      accept: (socket) => {
        socket.handler = { readable: () => {}, closed: () => {}, ended: () => {} };
        socket.write(Buffer.from(word));
        socket.close();
      },
    });
  }
}

let net: TestTailnet | undefined;
afterEach(async () => {
  await net?.close();
  net = undefined;
});

async function open(): Promise<{ a: TestEngine; b: TestEngine; machine: FakeMachine }> {
  net = await TestTailnet.start();
  const machine = new FakeMachine(['100.64.0.1', 'fd7a:115c:a1e0::1']);
  const a = net.add({}, { openMachine: machineOpener({}, machine) });
  const b = net.add();
  for (const each of net.engines)
    each.engine.setNetworkMap(net.mapFor(each, { dns: { Proxied: true } }));
  return { a, b, machine };
}

async function read(from: Engine, address: string, port: number): Promise<string> {
  const conn = await from.dialTcp({ address, port });
  let text = '';
  conn.on('data', (chunk) => (text += String(chunk)));
  await once(conn, 'end');
  return text;
}

function say(engine: Engine, port: number, word: string): void {
  engine.listenTcp({ port }).on('connection', (conn) => conn.end(word));
}

/** Who is host2? */
function encodeQuery(): Uint8Array {
  const question = { name: 'host2.example.ts.net', type: DnsType.A, class: 1 };
  return encodeDns({
    ...{ id: 5, response: false, opcode: 0, authoritative: false, truncated: false },
    ...{ recursionDesired: true, recursionAvailable: false, authenticData: false },
    ...{ checkingDisabled: false, rcode: 0, questions: [question] },
    ...{ answers: [], authorities: [], additionals: [] },
  });
}

for (const [family, own, peer] of [
  ['IPv4', '100.64.0.1', '100.64.0.2'],
  ['IPv6', 'fd7a:115c:a1e0::1', 'fd7a:115c:a1e0::2'],
] as const) {
  test(`what a listener of the process waits for is its own, all else is the machine's (${family})`, async () => {
    const { a, b, machine } = await open();
    say(a.engine, 80, 'process');
    machine.listen(80, 'never heard');
    machine.listen(22, 'machine');
    assert.equal(await read(b.engine, own, 80), 'process');
    assert.equal(machine.received.length, 0);
    assert.equal(await read(b.engine, own, 22), 'machine');
    await assert.rejects(read(b.engine, own, 23), { code: 'ECONNREFUSED' });
    say(b.engine, 80, 'peer');
    assert.equal(await machine.read(peer, 80), 'peer');
    const before = machine.received.length;
    const conn = await a.engine.dialTcp({ address: peer, port: 80 });
    assert.ok(conn.localPort! >= 61000, 'a port the machine does not take');
    conn.destroy();
    assert.equal(machine.received.length, before, 'dials of the process stay in it');
  });
}

test('UDP goes to the socket that is bound, else to the machine', async () => {
  const { a, b, machine } = await open();
  const got: string[] = [];
  const packets = a.engine.listenUdp({ port: 9 });
  packets.on('message', (bytes) => got.push(`process ${bytes}`));
  const receive = ({ bytes }: UdpDatagram): void => void got.push(`machine ${Buffer.from(bytes)}`);
  machine.stack.bindUdp({ port: 9, receive });
  machine.stack.bindUdp({ port: 10, receive });
  const from = b.engine.listenUdp({ port: 0 });
  from.send('one', 9, '100.64.0.1');
  from.send('two', 10, '100.64.0.1');
  await until(() => got.length === 2, 'both datagrams');
  assert.deepEqual(got.sort(), ['machine two', 'process one']);
});

test('pings of peers are answered by the machine, and the process still pings', async () => {
  const { a, b, machine } = await open();
  await b.engine.ping({ address: '100.64.0.1', type: 'icmp' });
  assert.ok(machine.received.some((packet) => packet[9] === 1));
  await a.engine.ping({ address: '100.64.0.2', type: 'icmp' });
  await a.engine.ping({ address: '100.64.0.2', type: 'tsmp' });
});

test('the machine asks the services, which no peer reaches', async () => {
  const { b, machine } = await open();
  const query = encodeQuery();
  const answers: string[] = [];
  const socket = machine.stack.bindUdp({
    port: 0,
    receive: ({ bytes, remoteAddress }) => {
      const data = parseDns(bytes).answers[0]?.data;
      answers.push(`${remoteAddress} ${data?.kind === 'address' && formatAddr(data.addr)}`);
    },
  });
  for (const address of ['100.100.100.100', 'fd7a:115c:a1e0::53'])
    socket.send({ address, port: 53 }, query);
  await until(() => answers.length === 2, 'two answers');
  assert.deepEqual(answers.sort(), ['100.100.100.100 100.64.0.2', 'fd7a:115c:a1e0::53 100.64.0.2']);
  await assert.rejects(machine.read('100.100.100.100', 80), /ECONNREFUSED/);
  const received = machine.received.length;
  b.engine.listenUdp({ port: 0 }).send(query, 53, '100.100.100.100');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(machine.received.length, received);
});

test('a question from port 0, where no answer can go, ends nothing', {
  timeout: 10_000,
}, async (t) => {
  const { machine } = await open();
  const failed = t.mock.fn();
  process.on('unhandledRejection', failed);
  t.after(() => process.off('unhandledRejection', failed));
  const query = encodeQuery();
  const packet = new Uint8Array(28 + query.length);
  packet.set([0x45, 0, 0, packet.length, 0, 0, 0, 0, 64, 17, 0, 0]);
  packet.set([100, 64, 0, 1, 100, 100, 100, 100], 12);
  packet.set([0, 0, 0, 53, 0, 8 + query.length, 0, 0], 20);
  packet.set(query, 28);
  const sum = (at: number): number => (packet[at]! << 8) | packet[at + 1]!;
  let header = 0;
  for (let at = 0; at < 20; at += 2) header += sum(at);
  header = ~((header & 0xffff) + (header >>> 16));
  packet.set([header >>> 8, header], 10);
  machine.send(packet);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(failed.mock.callCount(), 0);
});

test('packets of the machine that only a node may make, or that make no sense, go nowhere', async () => {
  const { a, machine } = await open();
  const tsmp = new Uint8Array(29);
  tsmp.set([0x45, 0, 0, 29, 0, 0, 0, 0, 64, 99, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2, 0x21]);
  for (const packet of [tsmp, new Uint8Array(20), Uint8Array.of(0x45), new Uint8Array(0)])
    machine.send(packet);
  const counters = a.engine.counters();
  assert.equal(counters['drop_out_unknown_protocol'], 4);
  assert.equal(counters['packets_out'], 0);
  assert.equal(counters['tun_drop_write'], 2);
});

test('the resolver is told of the names, and all is closed with the engine', async () => {
  const { a, machine } = await open();
  assert.equal(a.engine.interfaceName, 'fake0');
  assert.deepEqual(machine.dnsCalls, ['example.ts.net']);
  await a.engine.close();
  assert.deepEqual(machine.dnsCalls, ['example.ts.net', 'closed']);
  assert.equal(machine.isOpen, false);
});

test('a device that cannot be had is an error of the node, and nothing stays open', async () => {
  net = await TestTailnet.start();
  const failing: TunSystem = {
    netlink: () => '',
    dns: () => assert.fail('no device'),
    open: () => {
      throw new NativeError('ERR_PERMISSION', 'it needs root');
    },
  };
  const tailnet = net;
  assert.throws(
    () => tailnet.add({}, { openMachine: machineOpener({}, failing), crypto, clock: systemClock }),
    {
      name: 'TsnetError',
      code: 'ERR_TUN_PERMISSION',
      message: 'it needs root',
    },
  );
});
