// One end of a goodput run, in a process of its own: `end.js ours|kernel source|sink ADDRESS PEER SECONDS [LOCAL REMOTE]`.
// The kernel's runs inside its namespace; ours takes its packets as datagrams on loopback port LOCAL from the emulator at REMOTE.
// The source writes until it is killed. The sink counts for SECONDS, beginning WARM_UP after the first byte, and prints
// {"bytes", "ms"}. With COVE_COUNTERS=source or sink ours tells its counters.
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { Stack, type TcpSocket } from '@cove/netstack';

const PORT = 7000;
const BLOCK = new Uint8Array(64 * 1024).fill(7);
const [kind, role, address, peer, seconds, local, remote] = process.argv.slice(2);
process.stdin.resume().on('end', () => process.exit());

/** Slow start is over by then, and how it ended forgotten. */
const WARM_UP = 3000;

/** Counts what arrives. */
class Meter {
  #bytes = 0;
  #began = 0;

  add(count: number): void {
    this.#bytes += count;
    if (this.#began !== 0) return;
    this.#began = performance.now();
    setTimeout(() => this.#count(), WARM_UP);
  }

  #count(): void {
    this.#bytes = 0;
    this.#began = performance.now();
    setTimeout(() => {
      const ms = performance.now() - this.#began;
      console.log(JSON.stringify({ bytes: this.#bytes, ms }));
      process.exit();
    }, Number(seconds) * 1000);
  }
}

const meter = new Meter();
if (kind === 'kernel') runKernel();
else await runOurs();
console.log('ready');

function runKernel(): void {
  if (role === 'sink') {
    createServer((socket) => {
      socket.on('data', (chunk) => meter.add(chunk.length)).on('error', () => {});
    }).listen(PORT, address);
    return;
  }
  const socket = connect({ host: peer!, port: PORT });
  const fill = (): void => {
    while (socket.write(BLOCK));
  };
  // The sink ends first.
  socket
    .on('connect', fill)
    .on('drain', fill)
    .on('error', () => {});
}

async function runOurs(): Promise<void> {
  const udp = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
  udp.bind(Number(local), '127.0.0.1');
  await once(udp, 'listening');
  udp.connect(Number(remote), '127.0.0.1');
  await once(udp, 'connect');
  // Until the other end is there.
  udp.on('error', () => {});
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;
  const turn = (): void => {
    scheduled = false;
    stack.poll(performance.now());
    const at = stack.nextTick;
    clearTimeout(timer);
    if (at === undefined) return;
    const wait = at - performance.now();
    if (wait <= 0) schedule();
    else timer = setTimeout(turn, Math.ceil(wait));
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(turn);
  };
  const stack = new Stack({
    randomBytes: (n) => new Uint8Array(randomBytes(n)),
    allocate: (n) => Buffer.allocUnsafeSlow(n),
    wake: schedule,
    output: (buf, offset, length) => {
      udp.send(Buffer.from(buf.subarray(offset, offset + length)));
    },
  });
  stack.setAddresses([address!]);
  udp.on('message', (bytes) => {
    stack.input(bytes, 0, bytes.length, performance.now());
    schedule();
  });
  const read = (socket: TcpSocket): void => {
    for (let chunk = socket.read(); chunk !== undefined; chunk = socket.read()) {
      meter.add(chunk.length);
    }
  };
  const write = (socket: TcpSocket): void => {
    while (socket.write(BLOCK) === BLOCK.length);
  };
  const handler = { connected: write, writable: write, readable: read, closed() {} };
  if (role === 'sink') {
    stack.listen({
      port: PORT,
      accept: (socket) => {
        socket.handler = handler;
      },
    });
  } else {
    stack.connect({ remoteAddress: peer!, remotePort: PORT, handler });
  }
  if (process.env['COVE_COUNTERS'] === role) {
    setInterval(() => console.error(JSON.stringify(stack.counters())), 2000);
  }
}
