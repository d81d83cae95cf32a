// The connection to the coordination server: a TCP or TLS connection is upgraded by POST /ts2021 and carries a Noise
// channel from then on. A plain attempt starts at once, a TLS attempt 500 ms later or when the plain one fails;
// the first complete handshake wins.
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { concat, toBase64, utf8DecodeLossy } from '@cove/protocol/bytes';
import { handshakeReplyLength, startInitiation } from '@cove/protocol/controlbase';
import type { Crypto } from '@cove/protocol/crypto';
import type { MachinePublic, PrivateKey } from '@cove/protocol/keys';
import type { Clock } from '../clock.ts';
import { TsnetError } from '../errors.ts';
import { type ControlUrl, dialTargets } from './controlurl.ts';
import { NoiseStream } from './noisestream.ts';
import { connectError } from './problems.ts';

const TLS_DELAY = 500;
/** For dial, TLS, upgrade and Noise together. */
const BUDGET = 10_000;
const MAX_HEAD = 16 * 1024;
const UPGRADE = 'tailscale-control-protocol';

export interface DialOptions {
  readonly url: ControlUrl;
  readonly controlKey: MachinePublic;
  readonly machineKey: PrivateKey;
  readonly version: number;
  readonly crypto: Crypto;
  readonly clock: Clock;
  /** Leave the plain attempt out where TLS is possible: a middlebox may have cut the last connection. */
  readonly forceTls: boolean;
  readonly ca?: string | readonly string[] | undefined;
  readonly signal: AbortSignal;
}

/** Throws ERR_CONTROL_UNREACHABLE, _TLS, _CLOCK, _KEY, _NOT_TAILSCALE; the signal's reason when aborted. */
export async function dialControl(options: DialOptions): Promise<NoiseStream> {
  const { url, clock, signal } = options;
  signal.throwIfAborted();
  const targets = dialTargets(url, options.forceTls);
  const plain = new AbortController();
  const tls = new AbortController();
  let settled = false;
  return new Promise<NoiseStream>((resolve, reject) => {
    const failures: unknown[] = [];
    let running = 0;
    let tlsStarted = targets.tls === undefined;
    const settle = (act: () => void): void => {
      if (settled) return;
      settled = true;
      budget.cancel();
      tlsTimer.cancel();
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const start = (port: number, secure: boolean, attempt: AbortController): void => {
      running++;
      upgrade(options, port, secure, attempt.signal).then(
        (stream) => {
          if (settled) stream.destroy();
          else {
            settle(() => resolve(stream));
            (secure ? plain : tls).abort();
          }
        },
        (error: unknown) => {
          failures.push(error);
          running--;
          startTls();
          if (running === 0) settle(() => reject(worst(url, failures)));
        },
      );
    };
    const startTls = (): void => {
      if (tlsStarted || settled) return;
      tlsStarted = true;
      tlsTimer.cancel();
      start(targets.tls!, true, tls);
    };
    const abandon = (reason: unknown): void => {
      settle(() => reject(reason));
      plain.abort();
      tls.abort();
    };
    const onAbort = (): void => abandon(signal.reason);
    const budget = clock.schedule(BUDGET, () => {
      const seconds = BUDGET / 1000;
      abandon(
        new TsnetError(
          'ERR_CONTROL_UNREACHABLE',
          `the control server ${url.text} does not complete a connection within ${seconds} seconds`,
          { cause: failures[0] },
        ),
      );
    });
    const tlsTimer = clock.schedule(targets.plain === undefined ? 0 : TLS_DELAY, startTls, true);
    signal.addEventListener('abort', onAbort, { once: true });
    if (targets.plain !== undefined) start(targets.plain, false, plain);
  });
}

/** Of several attempts, the failure that says most: that of a server which answered, else of the last attempt. */
function worst(url: ControlUrl, failures: readonly unknown[]): TsnetError {
  const errors = failures.map((failure) => connectError(url, failure));
  const telling = errors.find((error) => error.code === 'ERR_CONTROL_KEY');
  return telling ?? errors[errors.length - 1]!;
}

/** One attempt on one port. */
async function upgrade(
  options: DialOptions,
  port: number,
  secure: boolean,
  signal: AbortSignal,
): Promise<NoiseStream> {
  const { url } = options;
  const socket = await openSocket(options, port, secure, signal);
  const onAbort = (): void => {
    socket.destroy(new Error('another attempt was faster'));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    if (signal.aborted) throw new Error('another attempt was faster');
    const handshake = startInitiation(options);
    const host = url.host.includes(':') ? `[${url.host}]` : url.host;
    socket.write(
      `POST ${url.basePath}/ts2021 HTTP/1.1\r\nHost: ${host}:${port}\r\nUser-Agent: cove-tsnet\r\n` +
        `Content-Length: 0\r\nConnection: upgrade\r\nUpgrade: ${UPGRADE}\r\n` +
        `X-Tailscale-Handshake: ${toBase64(handshake.initiation)}\r\n\r\n`,
    );
    const reader = new HandshakeReader(socket);
    checkHead(url, await reader.head());
    const channel = await handshakeStep(url, async () => {
      const length = handshakeReplyLength(await reader.peek(3))!;
      const reply = (await reader.peek(length)).slice(0, length);
      reader.skip(length);
      return handshake.finish(reply);
    });
    socket.setKeepAlive(true, 30_000);
    socket.setNoDelay(true);
    return new NoiseStream(socket, channel, reader.rest());
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** A server that cannot read the initiation, because it has another key by now, just hangs up. */
async function handshakeStep<T>(url: ControlUrl, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    throw new TsnetError(
      'ERR_CONTROL_KEY',
      `the Noise handshake with ${url.text} fails: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function openSocket(
  options: DialOptions,
  port: number,
  secure: boolean,
  signal: AbortSignal,
): Promise<Socket> {
  const { url } = options;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy();
      reject(new Error('another attempt was faster'));
    };
    const done = (): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      socket.on('error', () => {});
      resolve(socket);
    };
    const onError = (error: Error): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      reject(error);
    };
    const ca = options.ca === undefined ? {} : { ca: [options.ca].flat() as string[] };
    const socket = secure
      ? connectTls(
          {
            host: url.host,
            port,
            ALPNProtocols: ['http/1.1'],
            ...(isIP(url.host) === 0 ? { servername: url.host } : {}),
            ...ca,
          },
          done,
        )
      : connectTcp({ host: url.host, port }, done);
    socket.on('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

function checkHead(url: ControlUrl, head: string): void {
  const [statusLine = '', ...lines] = head.split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})\b/.exec(statusLine)?.[1] ?? 0);
  const upgraded = lines.some((line) => {
    const colon = line.indexOf(':');
    return (
      line.slice(0, colon).trim().toLowerCase() === 'upgrade' &&
      line
        .slice(colon + 1)
        .trim()
        .toLowerCase() === UPGRADE
    );
  });
  if (status === 101 && upgraded) return;
  if (status >= 500) {
    throw new TsnetError(
      'ERR_CONTROL_STATUS',
      `the control server ${url.text} answers ${status} instead of upgrading the connection`,
    );
  }
  throw new TsnetError(
    'ERR_CONTROL_NOT_TAILSCALE',
    `${url.text} is not a Tailscale control server, or a proxy in front of it does not pass upgrades: it answers ` +
      `${status === 0 ? 'no HTTP' : status} to the upgrade request`,
  );
}

/** Reads the answer's head and the handshake, and keeps every byte beyond. */
class HandshakeReader {
  readonly #socket: Socket;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.pause();
  }

  async head(): Promise<string> {
    for (let searched = 0; ; ) {
      const end = Buffer.from(
        this.#bytes.buffer,
        this.#bytes.byteOffset,
        this.#bytes.length,
      ).indexOf('\r\n\r\n', Math.max(0, searched - 3));
      if (end >= 0) {
        const head = utf8DecodeLossy(this.#bytes.subarray(0, end));
        this.#bytes = this.#bytes.subarray(end + 4);
        return head;
      }
      searched = this.#bytes.length;
      if (searched > MAX_HEAD) throw new Error('the answer has no end of head');
      await this.#more();
    }
  }

  /** At least `length` bytes, which stay in the reader. */
  async peek(length: number): Promise<Uint8Array> {
    while (this.#bytes.length < length) await this.#more();
    return this.#bytes;
  }

  skip(length: number): void {
    this.#bytes = this.#bytes.subarray(length);
  }

  /** What was read beyond the handshake; the reader is done. */
  rest(): Uint8Array {
    return this.#bytes.slice();
  }

  async #more(): Promise<void> {
    const chunk: Buffer | null = this.#socket.read();
    if (chunk !== null) {
      this.#bytes = concat(this.#bytes, chunk);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const settle = (act: () => void): void => {
        this.#socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
        act();
      };
      const onReadable = (): void => settle(resolve);
      const onEnd = (): void =>
        settle(() => reject(this.#socket.errored ?? new Error('the connection is closed early')));
      if (this.#socket.destroyed || this.#socket.readableEnded) {
        reject(this.#socket.errored ?? new Error('the connection is closed early'));
        return;
      }
      this.#socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd);
    });
  }
}
