// A stack of ours and the kernel's TCP, joined by a TUN device in a namespace of its own.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Stack, type TcpSocket } from '@cove/netstack';
import type { Recorded } from './pcap.ts';

export const OUR_ADDRESSES = ['10.80.0.2', 'fd80::2'] as const;
export const KERNEL_ADDRESSES = ['10.80.0.1', 'fd80::1'] as const;
const BRIDGE = fileURLToPath(new URL('../../../interop/kernel/tunbridge.py', import.meta.url));
const PEER = fileURLToPath(new URL('./peer.js', import.meta.url));

/** Undefined when the laboratory can be built here, else what is missing. */
export function missing(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  for (const tool of [
    ['ip', '-V'],
    ['python3', '--version'],
  ]) {
    try {
      execFileSync(tool[0]!, tool.slice(1), { stdio: 'ignore' });
    } catch {
      return `needs ${tool[0]}`;
    }
  }
  try {
    execFileSync('test', ['-c', '/dev/net/tun']);
  } catch {
    return 'needs /dev/net/tun';
  }
  return undefined;
}

/** A connection of ours as a Duplex, only as good as these tests need. */
export class Conn extends Duplex {
  readonly socket: TcpSocket;
  #pending: { bytes: Buffer; done: (error?: Error | null) => void } | undefined;
  #final: ((error?: Error | null) => void) | undefined;

  constructor(socket: (conn: Conn) => TcpSocket) {
    super({ allowHalfOpen: true });
    this.socket = socket(this);
  }

  readonly handler = {
    readable: (): void => this.#pull(),
    writable: (): void => this.#push(),
    ended: (): void => {
      this.push(null);
    },
    finished: (): void => {
      this.#final?.();
      this.#final = undefined;
    },
    closed: (_: TcpSocket, error: string | undefined): void => {
      if (error !== undefined) this.destroy(Object.assign(new Error(error), { code: error }));
      else if (!this.readableEnded) this.push(null);
    },
  };

  #pull(): void {
    for (let chunk = this.socket.read(); chunk !== undefined; chunk = this.socket.read()) {
      if (!this.push(chunk)) return;
    }
  }

  override _read(): void {
    this.#pull();
  }

  #push(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const taken = this.socket.write(pending.bytes);
    if (taken < pending.bytes.length) {
      this.#pending = { bytes: pending.bytes.subarray(taken), done: pending.done };
      return;
    }
    this.#pending = undefined;
    pending.done();
  }

  override _write(bytes: Buffer, _: string, done: (error?: Error | null) => void): void {
    this.#pending = { bytes, done };
    this.#push();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#final = done;
    this.socket.shutdownWrite();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.socket.abort();
    done(error);
  }

  resetAndDestroy(): void {
    this.destroy();
  }
}

export interface Lab extends AsyncDisposable {
  readonly stack: Stack;
  readonly namespace: string;
  /** Drops this share of the packets, both ways. */
  loss: number;
  /** Takes every packet that arrives at the other end of the link, while it is there. */
  record: Recorded[] | undefined;
  /** The longest packet our stack sent since this was set to 0. */
  longest: number;
  connect(address: string, port: number): Conn;
  /** Runs a program in the kernel's namespace and returns what it prints. */
  exec(...command: string[]): Promise<string>;
  /** Runs `peer.js run` against our stack. */
  peer(
    address: string,
    port: number,
    command: string,
    count: number,
    times?: number,
  ): Promise<string[]>;
}

let labs = 0;

export async function openLab(sysctls: Readonly<Record<string, string>> = {}): Promise<Lab> {
  const namespace = `cove-${process.pid}-${labs++}`;
  const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
  const udp = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
  const children: ChildProcess[] = [];
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const bridgePort = await freePort();
  ip('netns', 'add', namespace);
  const exec = async (...command: string[]): Promise<string> => {
    const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    await once(child, 'close');
    return text;
  };
  const start = async (command: string, args: string[]): Promise<void> => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(child);
    await Promise.race([
      once(child.stdout!, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error(`${command} ${args[0]} ended`))),
    ]);
  };
  const device = 'cove0';
  await start('python3', [
    BRIDGE,
    namespace,
    device,
    String(bridgePort),
    String(udp.address().port),
  ]);
  const inside = (...args: string[]): void => ip('netns', 'exec', namespace, ...args);
  inside('ip', 'link', 'set', 'lo', 'up');
  inside('ip', 'link', 'set', device, 'mtu', '1280', 'up');
  inside('ip', 'addr', 'add', `${KERNEL_ADDRESSES[0]}/24`, 'dev', device);
  inside('ip', 'addr', 'add', `${KERNEL_ADDRESSES[1]}/64`, 'dev', device, 'nodad');
  for (const [name, value] of Object.entries(sysctls)) inside('sysctl', '-qw', `${name}=${value}`);
  await start('ip', ['netns', 'exec', namespace, process.execPath, PEER, 'serve', '9000']);

  const lab = { loss: 0, record: undefined as Recorded[] | undefined, longest: 0 };
  const stack = drive(udp, bridgePort, lab);
  return Object.assign(lab, {
    stack,
    namespace,
    exec,
    connect: (address: string, port: number): Conn =>
      new Conn((conn) =>
        stack.connect({ remoteAddress: address, remotePort: port, handler: conn.handler }),
      ),
    peer: async (address: string, port: number, command: string, count: number, times = 1) => {
      const args = ['run', address, String(port), command, String(count), String(times)];
      return JSON.parse(await exec(process.execPath, PEER, ...args)) as string[];
    },
    async [Symbol.asyncDispose](): Promise<void> {
      for (const child of children.reverse()) {
        child.kill('SIGKILL');
        await once(child, 'exit').catch(() => {});
      }
      udp.close();
      ip('netns', 'del', namespace);
    },
  });
}

async function freePort(): Promise<number> {
  const probe = createSocket('udp4').bind(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  return port;
}

/** The stack on the real clock: packets of one loop turn are one batch. */
function drive(
  udp: Datagrams,
  bridgePort: number,
  lab: Pick<Lab, 'loss' | 'record' | 'longest'>,
): Stack {
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;
  const now = (): number => performance.now();
  const turn = (): void => {
    scheduled = false;
    stack.poll(now());
    const at = stack.nextTick;
    clearTimeout(timer);
    if (at === undefined) return;
    const wait = at - now();
    if (wait <= 0) schedule();
    else timer = setTimeout(turn, Math.ceil(wait)).unref();
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(turn);
  };
  const stack = new Stack({
    randomBytes: (n) => new Uint8Array(randomBytes(n)),
    wake: schedule,
    output: (buf, offset, length) => {
      lab.longest = Math.max(lab.longest, length);
      if (Math.random() < lab.loss) return;
      const bytes = Buffer.from(buf.subarray(offset, offset + length));
      lab.record?.push({ at: now(), bytes });
      udp.send(bytes, bridgePort, '127.0.0.1');
    },
  });
  stack.setAddresses(OUR_ADDRESSES);
  udp.on('message', (bytes) => {
    if (Math.random() < lab.loss) return;
    lab.record?.push({ at: now(), bytes: Buffer.from(bytes) });
    stack.input(bytes, 0, bytes.length, now());
    schedule();
  });
  udp.on('close', () => clearTimeout(timer));
  return stack;
}
