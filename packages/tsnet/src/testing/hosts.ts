// Two hosts in memory for tests: real stacks whose packets go straight to each other, real time.
import { randomBytes } from 'node:crypto';
import { Stack, type StackOptions } from '@cove/netstack';
import { systemClock } from '../clock.ts';
import { Conn, type ConnEnvironment } from '../conn.ts';
import { Linger } from '../linger.ts';
import { Listener } from '../listener.ts';
import { LoopHold } from '../loophold.ts';

export interface TestHost {
  readonly address: string;
  readonly stack: Stack;
  readonly env: ConnEnvironment;
  /** Packets this host may still send; afterwards they vanish. */
  budget: number;
  newConn(options?: { allowHalfOpen?: boolean }): Conn;
  listen(port: number, options?: { allowHalfOpen?: boolean; backlog?: number }): Listener;
  /** Connects, and resolves once the connection stands. */
  dial(port: number, options?: { allowHalfOpen?: boolean }): Promise<Conn>;
  stop(): void;
}

/** Client and server, 100.64.0.1 and 100.64.0.2; dial goes to the other one. */
export function hostPair(tcp: StackOptions['tcp'] = {}): { client: TestHost; server: TestHost } {
  const client: TestHost = makeHost('100.64.0.1', '100.64.0.2', tcp, () => server);
  const server: TestHost = makeHost('100.64.0.2', '100.64.0.1', tcp, () => client);
  return { client, server };
}

const arrivals = new WeakMap<TestHost, Uint8Array[]>();
const wakers = new WeakMap<TestHost, () => void>();

function makeHost(
  address: string,
  remote: string,
  tcp: StackOptions['tcp'],
  other: () => TestHost,
): TestHost {
  let pending = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const wake = (): void => {
    if (pending || stopped) return;
    pending = true;
    setImmediate(turn);
  };
  const turn = (): void => {
    pending = false;
    if (stopped) return;
    const now = performance.now();
    for (const packet of arrivals.get(host)!.splice(0)) stack.input(packet, 0, packet.length, now);
    stack.poll(now);
    clearTimeout(timer);
    const next = stack.nextTick;
    if (next === undefined) return;
    if (next <= now) wake();
    else timer = setTimeout(turn, next - now);
  };
  const stack = new Stack({
    randomBytes: (n) => randomBytes(n),
    wake,
    output: (buf, offset, length) => {
      if (host.budget-- <= 0) return;
      arrivals.get(other())!.push(buf.slice(offset, offset + length));
      wakers.get(other())!();
    },
    ...(tcp ? { tcp } : {}),
  });
  stack.setAddresses([address]);
  // The test decides how long the process lives.
  const hold = new LoopHold({ ...systemClock, schedule: () => ({ cancel: () => {} }) });
  const env: ConnEnvironment = {
    clock: systemClock,
    hold,
    linger: new Linger(systemClock, hold),
    connect: (target, handler) =>
      stack.connect({
        remoteAddress: target.host === 'localhost' ? remote : target.host,
        remotePort: target.port,
        handler,
      }),
  };
  const host: TestHost = {
    address,
    stack,
    env,
    budget: Number.POSITIVE_INFINITY,
    newConn: (options) => new Conn(env, options),
    listen: (port, options) =>
      new Listener(env, { backlog: 511, ...options }, (accept) => stack.listen({ port, accept })),
    dial: (port, options) =>
      new Promise((resolve, reject) => {
        const conn = new Conn(env, options);
        conn.once('error', reject);
        conn.connect({ host: remote, port }, () => {
          conn.removeListener('error', reject);
          resolve(conn);
        });
      }),
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
  arrivals.set(host, []);
  wakers.set(host, wake);
  return host;
}
