// ICMP: echo replies, pings of our own, errors about our packets, errors we send, rate-limited (RFC 792, RFC 1122 3.2.2,
// RFC 4443).
import type { Ping, PingOptions, PingResult } from './api.ts';
import { Counter, type Counters } from './counters.ts';
import type { PacketWriter, Route } from './output.ts';
import type { TcpLayer } from './tcp/layer.ts';
import type { UdpLayer } from './udp.ts';
import { copyBytes, putU16, u16, u32 } from './wire/bigendian.ts';
import { fold, type InternetChecksum } from './wire/checksum.ts';
import {
  encodeEcho,
  encodeIcmpError,
  ICMP_HEADER,
  IcmpType,
  parseIcmpError,
  parseQuoted,
} from './wire/icmp.ts';
import { type IpPacket, Protocol } from './wire/packet.ts';

const PING_TIMEOUT = 5000;
const PING_LIMIT = 1024;
/** Error messages per second, and at once. */
const ERROR_RATE = 100;
const ERROR_BURST = 20;
/** RFC 1812 4.3.2.3 for IPv4; the least IPv6 MTU for IPv6. */
const V4_QUOTE = 576 - 20 - ICMP_HEADER;
const V6_QUOTE = 1280 - 40 - ICMP_HEADER;
const DEFAULT_PING_PAYLOAD = 32;

interface Pinging {
  readonly options: PingOptions;
  readonly route: Route;
  /** Infinite until the request was sent, in the next poll. */
  deadline: number;
  sentAt: number;
}

export class IcmpLayer {
  readonly #counters: Counters;
  readonly #writer: PacketWriter;
  readonly #incoming: InternetChecksum;
  readonly #tcp: TcpLayer;
  readonly #udp: UdpLayer;
  readonly #wake: () => void;
  readonly #pingId: number;
  #pingSequence = 0;
  readonly #pings = new Map<number, Pinging>();
  #toSend: number[] = [];
  #done: (() => void)[] = [];
  #tokens = ERROR_BURST;
  #tokensAt = 0;

  constructor(
    counters: Counters,
    writer: PacketWriter,
    incoming: InternetChecksum,
    tcp: TcpLayer,
    udp: UdpLayer,
    pingId: number,
    wake: () => void,
  ) {
    this.#counters = counters;
    this.#writer = writer;
    this.#incoming = incoming;
    this.#tcp = tcp;
    this.#udp = udp;
    this.#pingId = pingId;
    this.#wake = wake;
  }

  get due(): boolean {
    return this.#toSend.length + this.#done.length > 0;
  }

  /** When the next ping times out. */
  get deadline(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const ping of this.#pings.values()) first = Math.min(first, ping.deadline);
    return first;
  }

  /** `own`: to an address of this stack; to others (subnet routing) only errors about our connections count. */
  input(buf: Uint8Array, packet: IpPacket, now: number, own: boolean): void {
    const { version, payload, payloadLength } = packet;
    if (payloadLength < ICMP_HEADER) {
      this.#counters.add(Counter['drop.icmp.malformed']);
      return;
    }
    let sum = this.#incoming.sum(buf, payload, payloadLength);
    if (version === 6) sum = fold(sum + packet.addressSum + Protocol.ICMPV6 + payloadLength);
    if (sum !== 0xffff) {
      this.#counters.add(Counter['drop.icmp.checksum']);
      return;
    }
    const type = buf[payload]!;
    if (!own && isEcho(packet.version, type)) {
      this.#counters.add(Counter['drop.ip.not_ours']);
    } else if (type === (version === 4 ? IcmpType.ECHO : IcmpType.V6_ECHO)) {
      this.#answerEcho(buf, packet);
    } else if (type === (version === 4 ? IcmpType.ECHO_REPLY : IcmpType.V6_ECHO_REPLY)) {
      this.#echoReply(buf, packet, now);
    } else {
      this.#errorArrives(buf, packet);
    }
  }

  #answerEcho(buf: Uint8Array, packet: IpPacket): void {
    const { version, payload, payloadLength } = packet;
    const data = buf.subarray(payload + ICMP_HEADER, payload + payloadLength);
    const reply = encodeEcho(version, true, u16(buf, payload + 4), u16(buf, payload + 6), data);
    this.#counters.add(Counter['icmp.echo.answered']);
    this.#send(
      {
        version,
        source: buf,
        sourceOffset: packet.destination,
        destination: buf,
        destinationOffset: packet.source,
      },
      reply,
    );
  }

  #send(route: Route, message: Uint8Array): void {
    const v6 = route.version === 6;
    this.#writer.send(route, v6 ? Protocol.ICMPV6 : Protocol.ICMP, message, 2, v6);
  }

  #echoReply(buf: Uint8Array, packet: IpPacket, now: number): void {
    const { payload, payloadLength } = packet;
    const sequence = u16(buf, payload + 6);
    const ping = u16(buf, payload + 4) === this.#pingId ? this.#pings.get(sequence) : undefined;
    if (ping === undefined || ping.sentAt < 0 || !answers(buf, packet, ping.route)) {
      this.#counters.add(Counter['drop.icmp.unmatched']);
      return;
    }
    this.#pings.delete(sequence);
    this.#complete(ping, {
      ok: true,
      roundTripTime: now - ping.sentAt,
      payload: new Uint8Array(buf.subarray(payload + ICMP_HEADER, payload + payloadLength)),
    });
  }

  #complete(ping: Pinging, result: PingResult): void {
    this.#done.push(() => ping.options.done(result));
  }

  #errorArrives(buf: Uint8Array, packet: IpPacket): void {
    const { version, payload, payloadLength } = packet;
    const error = parseIcmpError(version, buf, payload);
    if (error === undefined) {
      this.#counters.add(Counter['drop.icmp.type']);
      return;
    }
    this.#counters.add(Counter['icmp.errors.received']);
    const quoted = parseQuoted(version, buf, payload + ICMP_HEADER, payloadLength - ICMP_HEADER);
    let matched = false;
    if (quoted !== undefined) {
      const { source, destination, addressLength } = quoted;
      if (quoted.protocol === Protocol.TCP) {
        const seq = u32(buf, quoted.payload + 4);
        matched = this.#tcp.icmpError(
          buf,
          source,
          destination,
          addressLength,
          quoted.payload,
          seq,
          error,
        );
      } else if (quoted.protocol === Protocol.UDP) {
        matched = this.#udp.icmpError(
          buf,
          source,
          destination,
          addressLength,
          quoted.payload,
          error.code,
        );
      } else if (quoted.protocol === (version === 4 ? Protocol.ICMP : Protocol.ICMPV6)) {
        const sequence = u16(buf, quoted.payload + 6);
        const ping =
          u16(buf, quoted.payload + 4) === this.#pingId ? this.#pings.get(sequence) : undefined;
        if (ping !== undefined && ping.sentAt >= 0) {
          this.#pings.delete(sequence);
          this.#complete(ping, { ok: false, error: error.code });
          matched = true;
        }
      }
    }
    if (!matched) this.#counters.add(Counter['drop.icmp.unmatched']);
  }

  /** Sends an error about the packet, unless the limit is reached. Never about an ICMP error or a later fragment. */
  sendError(buf: Uint8Array, packet: IpPacket, type: number, code: number, now: number): void {
    this.#tokens = Math.min(
      ERROR_BURST,
      this.#tokens + ((now - this.#tokensAt) * ERROR_RATE) / 1000,
    );
    this.#tokensAt = now;
    if (this.#tokens < 1) {
      this.#counters.add(Counter['drop.icmp.rate']);
      return;
    }
    this.#tokens--;
    this.#counters.add(Counter['icmp.errors.sent']);
    const length = packet.payload + packet.payloadLength - packet.start;
    const quote = Math.min(length, packet.version === 4 ? V4_QUOTE : V6_QUOTE);
    const quoted = new Uint8Array(quote);
    copyBytes(buf, packet.start, quoted, 0, quote);
    const message = encodeIcmpError(type, code, quoted);
    if (packet.version === 6 && type === IcmpType.V6_PARAMETER_PROBLEM) putU16(message, 6, 6);
    this.#send(
      {
        version: packet.version,
        source: buf,
        sourceOffset: packet.destination,
        destination: buf,
        destinationOffset: packet.source,
      },
      message,
    );
  }

  /** `route` undefined: no own address of the family. */
  ping(options: PingOptions, route: Route | undefined): Ping {
    if (route === undefined || this.#pings.size >= PING_LIMIT) {
      const failed: (() => void)[] = [() => options.done({ ok: false, error: 'ENETUNREACH' })];
      this.#done.push(() => failed.pop()?.());
      this.#wake();
      return { cancel: () => failed.splice(0) };
    }
    do this.#pingSequence = (this.#pingSequence + 1) & 0xffff;
    while (this.#pings.has(this.#pingSequence));
    const sequence = this.#pingSequence;
    let cancelled = false;
    const guarded: PingOptions = {
      ...options,
      done: (result) => {
        if (!cancelled) options.done(result);
      },
    };
    this.#pings.set(sequence, {
      options: guarded,
      route,
      deadline: Number.POSITIVE_INFINITY,
      sentAt: -1,
    });
    this.#toSend.push(sequence);
    this.#wake();
    return {
      cancel: () => {
        cancelled = true;
        this.#pings.delete(sequence);
      },
    };
  }

  poll(now: number): void {
    for (const sequence of this.#toSend.splice(0)) {
      const ping = this.#pings.get(sequence);
      if (ping === undefined) continue;
      ping.sentAt = now;
      ping.deadline = now + (ping.options.timeout ?? PING_TIMEOUT);
      const payload = ping.options.payload ?? new Uint8Array(DEFAULT_PING_PAYLOAD);
      this.#send(
        ping.route,
        encodeEcho(ping.route.version, false, this.#pingId, sequence, payload),
      );
    }
    if (this.#pings.size > 0) {
      for (const [sequence, ping] of this.#pings) {
        if (ping.deadline > now) continue;
        this.#pings.delete(sequence);
        this.#complete(ping, { ok: false, error: 'ETIMEDOUT' });
      }
    }
    for (const done of this.#done.splice(0)) done();
  }
}

function isEcho(version: number, type: number): boolean {
  return version === 4
    ? type === IcmpType.ECHO || type === IcmpType.ECHO_REPLY
    : type === IcmpType.V6_ECHO || type === IcmpType.V6_ECHO_REPLY;
}

function answers(buf: Uint8Array, packet: IpPacket, route: Route): boolean {
  for (let i = 0; i < packet.addressLength; i++) {
    if (buf[packet.source + i] !== route.destination[route.destinationOffset + i]) return false;
  }
  return true;
}
