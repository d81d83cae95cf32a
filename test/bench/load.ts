// The load, made in the process of the node it crosses: streams, echoes, HTTP requests, connections. The Go peer has the
// same in load.go; requests are written by hand, so that what is measured is not an HTTP client.
import type { Conn, Server } from '@cove/tsnet';
import {
  type ConnectRequest,
  ECHO_PORT,
  type EchoRequest,
  HOLD_PORT,
  HTTP_PORT,
  type HttpRequest,
  type Latencies,
  PAGE_BYTES,
  SINK_PORT,
  type Timed,
  UDP_PORT,
} from './wire.ts';

/** Timers have 1 ms: what is begun later than this after it was due counts from when it was due. */
const SLACK_MS = 1.5;
const DIAL_TIMEOUT = 15_000;
const HEAD_END = Buffer.from('\r\n\r\n');

function summary(values: readonly number[], tookMs: number): Latencies {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0) * 1000;
  return {
    p50: at(0.5),
    p99: at(0.99),
    count: sorted.length,
    perSecond: sorted.length / (tookMs / 1000),
  };
}

const sleepUntil = (at: number): Promise<void> =>
  new Promise((done) => {
    const wait = at - performance.now();
    if (wait > 0) setTimeout(done, wait);
    else setImmediate(done);
  });

export class Load {
  readonly #node: Server;
  readonly #open: Conn[] = [];

  constructor(node: Server) {
    this.#node = node;
  }

  /** The limit ends with the dial, as that of the Go peer does. */
  async #dial(address: string, port: number): Promise<Conn> {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new Error('dial timed out')), DIAL_TIMEOUT);
    try {
      return await this.#node.dial({ host: address, port, signal: limit.signal });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Opens connections, `parallel` at a time. */
  async #dialAll(address: string, port: number, count: number, parallel: number): Promise<Conn[]> {
    const conns: Conn[] = [];
    let left = count;
    const worker = async (): Promise<void> => {
      while (left-- > 0) conns.push(await this.#dial(address, port));
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    return conns;
  }

  /** Writes on so many connections until stop(). */
  async stream(address: string, connections: number): Promise<void> {
    const conns = await this.#dialAll(address, SINK_PORT, connections, connections);
    this.#open.push(...conns);
    const chunk = Buffer.alloc(64 << 10);
    for (const conn of conns) {
      const pump = (): void => {
        while (!conn.destroyed && conn.write(chunk));
      };
      conn.on('error', () => {});
      conn.on('drain', pump);
      pump();
    }
  }

  async idle(address: string, count: number): Promise<void> {
    const conns = await this.#dialAll(address, HOLD_PORT, count, 32);
    for (const conn of conns) conn.on('error', () => {});
    this.#open.push(...conns);
  }

  stop(): void {
    for (const conn of this.#open.splice(0)) conn.destroy();
  }

  async echo({ address, seconds, rate, size }: EchoRequest): Promise<Latencies> {
    const conn = await this.#dial(address, ECHO_PORT);
    const message = Buffer.alloc(size);
    const interval = rate > 0 ? 1000 / rate : 0;
    const took: number[] = [];
    const start = performance.now();
    let missing = 0;
    let back = (): void => {};
    let fail = (_error: Error): void => {};
    let failure: Error | undefined;
    conn.on('data', (bytes: Buffer) => {
      missing -= bytes.length;
      if (missing === 0) back();
    });
    conn.on('error', (error: Error) => {
      failure = error;
      fail(error);
    });
    for (let due = start; performance.now() - start < seconds * 1000; due += interval) {
      if (interval > 0) {
        await sleepUntil(due);
        const late = performance.now() - due;
        if (late > interval) due += Math.floor(late / interval) * interval;
      }
      if (failure) throw failure;
      const sent = performance.now();
      missing = size;
      conn.write(message);
      // Not a race with one promise for the error: that would keep something of every echo until the end.
      await new Promise<void>((done, reject) => {
        fail = reject;
        back = () => {
          took.push(performance.now() - sent);
          done();
        };
      });
    }
    const result = summary(took, performance.now() - start);
    conn.destroy();
    return result;
  }

  async http(request: HttpRequest): Promise<Latencies> {
    const { address, seconds, connections, rate, redirect } = request;
    const port = redirect?.port ?? HTTP_PORT;
    const conns = await this.#dialAll(address, port, connections, connections);
    const clients = conns.map((conn) => new HttpClient(conn, redirect?.path));
    const took: number[] = [];
    const start = performance.now();
    const end = start + seconds * 1000;
    if (rate === 0) await Promise.all(clients.map((client) => client.until(end, took)));
    else await openLoop(clients, { start, end, interval: 1000 / rate, took });
    const result = summary(took, performance.now() - start);
    for (const conn of conns) conn.destroy();
    return result;
  }

  async connect({ address, seconds, connections }: ConnectRequest): Promise<Latencies> {
    const took: number[] = [];
    const start = performance.now();
    const end = start + seconds * 1000;
    const client = async (): Promise<void> => {
      for (let from = performance.now(); from < end; from = performance.now()) {
        const conn = await this.#dial(address, HOLD_PORT);
        took.push(performance.now() - from);
        conn.destroy();
      }
    };
    await Promise.all(Array.from({ length: connections }, client));
    return summary(took, performance.now() - start);
  }

  /** Datagrams as fast as the node takes them, some every turn of the loop. */
  async flood({ address, seconds, size }: Timed & { readonly size: number }): Promise<void> {
    const socket = await this.#node.listenPacket({ port: 0 });
    const message = new Uint8Array(size);
    for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
      for (let i = 0; i < 32; i++) socket.send(message, UDP_PORT, address);
      await new Promise((done) => setImmediate(done));
    }
    socket.close();
  }
}

/** One kept connection, one request at a time. */
class HttpClient {
  readonly #conn: Conn;
  readonly #query: Buffer;
  readonly #status: string;
  readonly #bodyBytes: number;
  #parts: Buffer[] = [];
  #done: ((error?: Error) => void) | undefined;

  /** `redirect`: path of an address that answers so. */
  constructor(conn: Conn, redirect?: string) {
    this.#conn = conn;
    this.#query = Buffer.from(`GET ${redirect ?? '/'} HTTP/1.1\r\nHost: bench\r\n\r\n`);
    this.#status = redirect === undefined ? '200' : '302';
    this.#bodyBytes = redirect === undefined ? PAGE_BYTES : 0;
    conn.on('data', (bytes: Buffer) => this.#onData(bytes));
    conn.on('error', (error: Error) => this.#done?.(error));
    conn.on('end', () => this.#done?.(new Error('the server ended the connection')));
  }

  get(done: (error?: Error) => void): void {
    this.#done = done;
    this.#conn.write(this.#query);
  }

  #onData(bytes: Buffer): void {
    this.#parts.push(bytes);
    const all = this.#parts.length === 1 ? bytes : Buffer.concat(this.#parts);
    const end = all.indexOf(HEAD_END);
    if (end < 0 || all.length < end + HEAD_END.length + this.#bodyBytes) return;
    this.#parts = [];
    const done = this.#done;
    this.#done = undefined;
    const isGood = all.toString('latin1', 9, 12) === this.#status;
    done?.(isGood ? undefined : new Error(`answer: ${all.toString('latin1', 0, end)}`));
  }

  /** One request after the other. */
  until(end: number, took: number[]): Promise<void> {
    return new Promise((resolve, reject) => {
      let from = performance.now();
      const next = (error?: Error): void => {
        if (error) {
          reject(error);
          return;
        }
        const now = performance.now();
        took.push(now - from);
        from = now;
        if (now < end) this.get(next);
        else resolve();
      };
      this.get(next);
    });
  }
}

interface Schedule {
  readonly start: number;
  readonly end: number;
  readonly interval: number;
  readonly took: number[];
}

/** Requests when they are due, on whichever connection is free; those that find none wait, and their time runs. */
function openLoop(clients: readonly HttpClient[], schedule: Schedule): Promise<void> {
  const { start, end, interval, took } = schedule;
  const free = [...clients];
  const waiting: number[] = [];
  let head = 0;
  let due = start;
  let busy = 0;
  return new Promise((resolve, reject) => {
    const give = (): void => {
      while (head < waiting.length && free.length > 0) {
        const client = free.pop()!;
        const from = waiting[head++]!;
        busy++;
        client.get((error) => {
          if (error) {
            reject(error);
            return;
          }
          took.push(performance.now() - from);
          busy--;
          free.push(client);
          give();
          if (due >= end && busy === 0 && head === waiting.length) resolve();
        });
      }
    };
    const turn = (): void => {
      const now = performance.now();
      for (; due <= now && due < end; due += interval)
        waiting.push(now - due <= SLACK_MS ? now : due);
      give();
      if (due < end) setTimeout(turn, 1);
    };
    turn();
  });
}
