// Asks other resolvers what MagicDNS does not know: those that control names for the suffix, else those for everything,
// else the system's own.
import { createSocket } from 'node:dgram';
import { connect, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { DnsRcode } from '@cove/protocol/dns';
import { parseAddrPort } from '@cove/protocol/netaddr';
import type { DNSConfig, Resolver } from '@cove/protocol/tailcfg';
import type { PacketConn } from '../packetconn.ts';
import { failure, plainSuffix } from './responder.ts';

/** What a resolver inside the tailnet is reached through. */
export interface TailnetTransport {
  routesTo(address: string): boolean;
  dial(address: string, port: number, signal: AbortSignal): Promise<Duplex>;
  openUdp(): PacketConn;
}

export interface ForwarderOptions {
  readonly tailnet: TailnetTransport;
  /** `ip` or `ip:port` of the machine's own resolvers. */
  readonly systemResolvers: () => readonly string[];
}

interface Upstream {
  readonly address: string;
  readonly port: number;
}

const QUERY_TIMEOUT = 10_000;
/** UDP had this long before TCP is tried, too. */
const TCP_AFTER = 2_000;
const MAX_ACTIVE = 256;
const RACED = 8;

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #closing = new AbortController();
  #active = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** The best reply to be had; undefined when there are too many queries under way or none makes sense. */
  async ask(
    query: Uint8Array,
    name: string,
    dns: DNSConfig | undefined,
    overTcp: boolean,
  ): Promise<Uint8Array | undefined> {
    if (this.#active >= MAX_ACTIVE) return undefined;
    const upstreams = this.#upstreams(name, dns);
    if (upstreams.length === 0) return failure(query, DnsRcode.servFail);
    this.#active++;
    const done = new AbortController();
    const signal = AbortSignal.any([
      done.signal,
      this.#closing.signal,
      AbortSignal.timeout(QUERY_TIMEOUT),
    ]);
    try {
      return await this.#race(query, upstreams, overTcp, signal);
    } finally {
      this.#active--;
      done.abort();
    }
  }

  close(): void {
    this.#closing.abort();
  }

  /** All at once; the first good answer wins, else the first that was a refusal. */
  async #race(
    query: Uint8Array,
    upstreams: readonly Upstream[],
    overTcp: boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const refusals: Uint8Array[] = [];
    const attempts = upstreams.slice(0, RACED).map(async (upstream) => {
      const reply = await this.#exchange(query, upstream, overTcp, signal);
      const rcode = reply[3]! & 15;
      if (rcode === DnsRcode.servFail || rcode === DnsRcode.refused) {
        if (rcode === DnsRcode.servFail) refusals.unshift(reply);
        else refusals.push(reply);
        throw new Error('refused');
      }
      return reply;
    });
    try {
      return await Promise.any(attempts);
    } catch {
      return refusals[0] ?? failure(query, DnsRcode.servFail);
    }
  }

  async #exchange(
    query: Uint8Array,
    upstream: Upstream,
    overTcp: boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const local = new AbortController();
    const both = AbortSignal.any([signal, local.signal]);
    try {
      if (overTcp) return await this.#overTcp(query, upstream, both);
      const udp = this.#overUdp(query, upstream, both);
      const failed = udp.then(
        () => pause(TCP_AFTER, both),
        () => {},
      );
      const tcp = Promise.race([pause(TCP_AFTER, both), failed]).then(() =>
        this.#overTcp(query, upstream, both),
      );
      return await Promise.any([udp, tcp]);
    } finally {
      local.abort();
    }
  }

  #upstreams(name: string, dns: DNSConfig | undefined): Upstream[] {
    let best: readonly Resolver[] | undefined;
    let length = -1;
    for (const [suffix, resolvers] of Object.entries(dns?.Routes ?? {})) {
      const plain = plainSuffix(suffix);
      const isBelow = plain === '' || name === plain || name.endsWith(`.${plain}`);
      if (!isBelow || plain.length <= length || (resolvers ?? []).length === 0) continue;
      best = resolvers;
      length = plain.length;
    }
    best ??= dns?.Resolvers;
    if (best === undefined || best.length === 0)
      return this.#options.systemResolvers().flatMap(parseUpstream);
    return best.flatMap(({ Addr = '' }) => parseUpstream(Addr));
  }

  async #overUdp(query: Uint8Array, to: Upstream, signal: AbortSignal): Promise<Uint8Array> {
    const socket = this.#options.tailnet.routesTo(to.address)
      ? this.#options.tailnet.openUdp()
      : createSocket(isIP(to.address) === 6 ? 'udp6' : 'udp4');
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        const abort = (): void => reject(signal.reason as Error);
        signal.addEventListener('abort', abort, { once: true });
        socket.on('error', reject);
        socket.on('message', (bytes: Buffer, from: { address: string; port: number }) => {
          if (from.port !== to.port || from.address !== to.address) return;
          if (isReplyTo(query, bytes)) resolve(new Uint8Array(bytes));
        });
        socket.send(query, to.port, to.address, (error: Error | null) => {
          if (error) reject(error);
        });
        if (signal.aborted) abort();
      });
    } finally {
      socket.removeAllListeners('error').on('error', () => {});
      socket.close();
    }
  }

  async #overTcp(query: Uint8Array, to: Upstream, signal: AbortSignal): Promise<Uint8Array> {
    const { tailnet } = this.#options;
    const stream = tailnet.routesTo(to.address)
      ? await tailnet.dial(to.address, to.port, signal)
      : connect({ host: to.address, port: to.port, signal });
    try {
      stream.write(framed(query));
      let got = Buffer.alloc(0);
      for await (const chunk of stream) {
        got = Buffer.concat([got, chunk as Buffer]);
        const length = got.length >= 2 ? got.readUInt16BE(0) : Number.POSITIVE_INFINITY;
        if (got.length < 2 + length) continue;
        const reply = new Uint8Array(got.subarray(2, 2 + length));
        if (isReplyTo(query, reply)) return reply;
        break;
      }
      throw new Error('the resolver ended the connection');
    } finally {
      stream.destroy();
    }
  }
}

/** With its length in front (RFC 1035 section 4.2.2). */
export function framed(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(2 + message.length);
  out[0] = message.length >> 8;
  out[1] = message.length;
  out.set(message, 2);
  return out;
}

/** Transports other than plain DNS are not spoken. */
function parseUpstream(text: string): Upstream[] {
  if (isIP(text) !== 0) return [{ address: text, port: 53 }];
  const at = parseAddrPort(text);
  return at === undefined ? [] : [{ address: at.addr, port: at.port }];
}

function isReplyTo(query: Uint8Array, reply: Uint8Array): boolean {
  return (
    reply.length >= 12 && reply[0] === query[0] && reply[1] === query[1] && (reply[2]! & 0x80) !== 0
  );
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      },
      { once: true },
    );
  });
}
