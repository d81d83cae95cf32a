// Packet scripts: one connection of a real stack, its peer played by the test. Sequence numbers are relative to the initial ones
// of either side (SYN is 0, first byte is 1); time is virtual; every segment the stack emits must be expected.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddr } from '@cove/protocol/netaddr';
import type { StackOptions, TcpSocket } from '../api.ts';
import { Stack } from '../stack.ts';
import { putU16, putU32 } from '../wire/bigendian.ts';
import { fold, sumBytes } from '../wire/checksum.ts';
import { encodeIcmpError } from '../wire/icmp.ts';
import {
  addressSum,
  IpFault,
  IpPacket,
  ipHeaderLength,
  Protocol,
  parseIp,
  writeIpHeader,
} from '../wire/packet.ts';
import { Flag, parseTcp, TcpSegment, writeTcpHeader } from '../wire/tcp.ts';
import { checkPacket } from './link.ts';
import { SeededRandom } from './random.ts';

export const OURS = '100.64.0.1';
export const PEER = '100.64.0.2';
const OURS_V6 = 'fd7a:115c:a1e0::1';
const PEER_V6 = 'fd7a:115c:a1e0::2';
const PEER_ISS = 0xfffff000;

export type Family = 4 | 6;

/** One script as two tests: the same must hold over IPv4 and over IPv6. */
export function both(name: string, body: (family: Family) => void): void {
  test(`${name} [IPv4]`, () => body(4));
  test(`${name} [IPv6]`, () => body(6));
}

export interface Segment {
  /** Letters of F S R P A U E C. PSH is not compared unless named. */
  readonly flags: string;
  readonly seq?: number;
  readonly ack?: number;
  /** Header value, not scaled. */
  readonly window?: number;
  readonly length?: number;
  readonly data?: string;
  readonly mss?: number;
  readonly scale?: number;
  readonly sackOk?: boolean;
  /** [TSval, TSecr]. */
  readonly ts?: readonly [number, number];
  /** [left, right] pairs: relative to the receiver's numbers of the data. */
  readonly sack?: readonly (readonly [number, number])[];
  readonly urgent?: number;
}

const LETTERS: readonly [string, number][] = [
  ['F', Flag.FIN],
  ['S', Flag.SYN],
  ['R', Flag.RST],
  ['P', Flag.PSH],
  ['A', Flag.ACK],
  ['U', Flag.URG],
  ['E', Flag.ECE],
  ['C', Flag.CWR],
];

function parseFlags(text: string): number {
  let flags = 0;
  for (const [letter, bit] of LETTERS) if (text.includes(letter)) flags |= bit;
  return flags;
}

function formatFlags(flags: number): string {
  return LETTERS.filter(([, bit]) => flags & bit)
    .map(([letter]) => letter)
    .join('');
}

/** Records what the application is told. */
export class Recorder {
  readonly events: string[] = [];
  received = '';
  reading = true;
  connected(): void {
    this.events.push('connected');
  }
  readable(socket: TcpSocket): void {
    this.events.push('readable');
    if (this.reading) this.drain(socket);
  }
  drain(socket: TcpSocket): void {
    for (let chunk = socket.read(); chunk !== undefined; chunk = socket.read()) {
      this.received += Buffer.from(chunk).toString('latin1');
    }
  }
  writable(): void {
    this.events.push('writable');
  }
  ended(): void {
    this.events.push('ended');
  }
  finished(): void {
    this.events.push('finished');
  }
  closed(_: TcpSocket, error: string | undefined): void {
    this.events.push(error === undefined ? 'closed' : `closed ${error}`);
  }
}

export interface ScriptOptions extends Partial<StackOptions> {
  /** Default IPv4. */
  readonly family?: Family;
}

export class Script {
  readonly stack: Stack;
  readonly family: Family;
  readonly #ours: Uint8Array;
  readonly #peer: Uint8Array;
  readonly #mtu: number;
  readonly app: Recorder = new Recorder();
  now = 1000;
  socket!: TcpSocket;
  localPort = 0;
  remotePort = 80;
  /** Absolute initial sequence number of the stack, once it was seen. */
  iss = 0;
  readonly peerIss: number = PEER_ISS;
  /** Segments emitted and not yet expected. */
  readonly out: TcpSegment[] = [];
  readonly outData: string[] = [];
  /** Packets sent since the last `clear`. */
  readonly packets: Uint8Array[] = [];
  accepted = 0;
  /** With an iss that is known (a SYN was seen). */
  #known = false;

  constructor(options: ScriptOptions = {}) {
    const random = new SeededRandom(11);
    this.family = options.family ?? 4;
    this.#mtu = options.mtu ?? 1280;
    this.#ours = parseAddr(this.ours)!;
    this.#peer = parseAddr(this.peer)!;
    this.stack = new Stack({
      randomBytes: (n) => random.bytes(n),
      ...options,
      output: (buf, offset, length) => this.#collect(buf.subarray(offset, offset + length)),
    });
    this.stack.setAddresses([this.ours]);
  }

  #collect(bytes: Uint8Array): void {
    checkPacket(bytes, this.#mtu);
    const packet = new IpPacket();
    assert.equal(parseIp(bytes, 0, bytes.length, packet), IpFault.NONE);
    if (packet.protocol !== Protocol.TCP) return;
    const segment = new TcpSegment();
    assert.ok(parseTcp(bytes, packet.payload, packet.payloadLength, segment));
    if (segment.flags & Flag.SYN) {
      this.iss = segment.seq;
      this.localPort = segment.sourcePort;
      this.#known = true;
    }
    const end = segment.payload + segment.payloadLength;
    this.out.push(segment);
    this.packets.push(bytes.slice());
    this.outData.push(Buffer.from(bytes.subarray(segment.payload, end)).toString('latin1'));
  }

  get ours(): string {
    return this.family === 4 ? OURS : OURS_V6;
  }

  get peer(): string {
    return this.family === 4 ? PEER : PEER_V6;
  }

  /** The MSS we offer: what the MTU leaves. */
  get fullMss(): number {
    return this.#mtu - ipHeaderLength(this.family) - 20;
  }

  poll(): void {
    this.stack.poll(this.now);
  }

  connect(timeout?: number): void {
    this.socket = this.stack.connect({
      remoteAddress: this.peer,
      remotePort: 80,
      handler: this.app,
      ...(timeout === undefined ? {} : { timeout }),
    });
    this.poll();
  }

  listen(backlog = 16): void {
    this.localPort = 80;
    this.remotePort = 40000;
    this.stack.listen({
      port: 80,
      backlog,
      accept: (socket) => {
        this.accepted++;
        this.socket = socket;
        socket.handler = this.app;
      },
    });
  }

  /** Builds the peer's segment as a packet. */
  packet(s: Segment): Uint8Array {
    const segment = new TcpSegment();
    segment.sourcePort = this.remotePort;
    segment.destinationPort = this.localPort;
    segment.flags = parseFlags(s.flags);
    const header = ipHeaderLength(this.family);
    segment.seq = ((s.seq ?? 0) + this.peerIss) >>> 0;
    segment.ack = segment.flags & Flag.ACK ? ((s.ack ?? 0) + this.iss) >>> 0 : 0;
    segment.window = s.window ?? 65535;
    segment.urgent = s.urgent ?? 0;
    segment.mss = s.mss ?? 0;
    segment.windowScale = s.scale ?? -1;
    segment.sackPermitted = s.sackOk ?? false;
    if (s.ts !== undefined) {
      segment.hasTimestamps = true;
      segment.tsVal = s.ts[0] >>> 0;
      segment.tsEcr = s.ts[1] >>> 0;
    }
    for (const [left, right] of s.sack ?? []) {
      segment.sackLeft[segment.sackCount] = left + this.iss;
      segment.sackRight[segment.sackCount] = right + this.iss;
      segment.sackCount++;
    }
    const data = Buffer.from(s.data ?? 'x'.repeat(s.length ?? 0), 'latin1');
    const bytes = new Uint8Array(header + 60 + data.length);
    const length = writeTcpHeader(bytes, header, segment) + data.length;
    bytes.set(data, header + length - data.length);
    const size = this.#ours.length;
    const sum = addressSum(this.#ours, 0, size) + addressSum(this.#peer, 0, size);
    writeIpHeader(bytes, 0, this.family, Protocol.TCP, this.#peer, 0, this.#ours, 0, sum, length);
    const at = header + 16;
    putU16(bytes, at, ~fold(sumBytes(bytes, header, length) + sum + Protocol.TCP + length));
    return bytes.subarray(0, header + length);
  }

  /** An ICMP error about the packet we sent last but `back`; `type`, `code` and bytes 4 to 7 as in the family. */
  icmp(type: number, code: number, rest = 0, back = 0): void {
    const about = this.packets.at(-1 - back)!;
    const quoted = about.subarray(0, this.family === 4 ? 28 : Math.min(about.length, 1232));
    const message = encodeIcmpError(type, code, quoted);
    putU32(message, 4, rest);
    const header = ipHeaderLength(this.family);
    const packet = new Uint8Array(header + message.length);
    const protocol = this.family === 4 ? Protocol.ICMP : Protocol.ICMPV6;
    const size = this.#ours.length;
    const sum = addressSum(this.#ours, 0, size) + addressSum(this.#peer, 0, size);
    writeIpHeader(
      packet,
      0,
      this.family,
      protocol,
      this.#peer,
      0,
      this.#ours,
      0,
      sum,
      message.length,
    );
    packet.set(message, header);
    const pseudo = this.family === 4 ? 0 : sum + protocol + message.length;
    putU16(packet, header + 2, ~fold(sumBytes(packet, header, message.length) + pseudo));
    this.stack.input(packet, 0, packet.length, this.now);
    this.poll();
  }

  /** The peer's segments arrive in one batch. */
  arrives(...segments: Segment[]): void {
    for (const s of segments) {
      const bytes = this.packet(s);
      this.stack.input(bytes, 0, bytes.length, this.now);
    }
    this.poll();
  }

  /** The next segment emitted; what `expected` names must agree. */
  expect(expected: Segment): TcpSegment {
    const got = this.out.shift();
    const data = this.outData.shift() ?? '';
    assert.ok(got !== undefined, `expected ${JSON.stringify(expected)}, but nothing was sent`);
    const shown: Record<string, unknown> = {};
    const wanted: Record<string, unknown> = { ...expected };
    const compare = expected.flags.includes('P') ? got.flags : got.flags & ~Flag.PSH;
    shown['flags'] = formatFlags(compare);
    wanted['flags'] = formatFlags(parseFlags(expected.flags));
    const seqBase = this.#known ? this.iss : 0;
    if (expected.seq !== undefined) shown['seq'] = (got.seq - seqBase) | 0;
    if (expected.ack !== undefined) shown['ack'] = (got.ack - this.peerIss) | 0;
    if (expected.window !== undefined) shown['window'] = got.window;
    if (expected.length !== undefined) shown['length'] = got.payloadLength;
    if (expected.data !== undefined) shown['data'] = data;
    if (expected.mss !== undefined) shown['mss'] = got.mss;
    if (expected.scale !== undefined) shown['scale'] = got.windowScale;
    if (expected.sackOk !== undefined) shown['sackOk'] = got.sackPermitted;
    if (expected.ts !== undefined) shown['ts'] = [got.tsVal, got.tsEcr];
    if (expected.sack !== undefined) {
      shown['sack'] = Array.from({ length: got.sackCount }, (_, i) => [
        (got.sackLeft[i]! - this.peerIss) | 0,
        (got.sackRight[i]! - this.peerIss) | 0,
      ]);
    }
    assert.deepEqual(shown, wanted);
    return got;
  }

  expectNothing(): void {
    const rest = this.out.map((s) => `${formatFlags(s.flags)} len ${s.payloadLength}`);
    assert.deepEqual(rest, [], 'nothing more is sent');
  }

  /** Ranges of sequence numbers of the data sent and not yet expected, which are forgotten. */
  sentRanges(): [number, number][] {
    const ranges = this.out
      .filter((s) => s.payloadLength > 0)
      .map((s): [number, number] => {
        const left = (s.seq - this.iss) | 0;
        return [left, left + s.payloadLength];
      });
    this.clear();
    return ranges;
  }

  /** Lets time pass, running timers when they are due. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const at = this.stack.nextTick;
      if (at === undefined || at > end) break;
      this.now = Math.max(this.now, at);
      this.poll();
    }
    this.now = end;
    this.poll();
  }

  /** Forgets what was sent. */
  clear(): void {
    this.out.length = 0;
    this.outData.length = 0;
    this.packets.length = 0;
  }

  write(data: string): number {
    const count = this.socket.write(new Uint8Array(Buffer.from(data, 'latin1')));
    this.poll();
    return count;
  }

  get state(): string {
    return this.socket.state;
  }

  get events(): string {
    return this.app.events.join(' ');
  }

  counter(name: string): number {
    return this.stack.counters()[name] ?? 0;
  }
}

export interface EstablishedOptions extends ScriptOptions {
  readonly passive?: boolean;
  /** What the peer's SYN offers besides; default MSS 1000, no other options. */
  readonly syn?: Partial<Segment>;
  readonly noDelay?: boolean;
}

/** A script past its handshake, 10 ms round trip, with nothing left to expect. */
export function established(options: EstablishedOptions = {}): Script {
  const script = new Script(options);
  const syn = { mss: 1000, ...options.syn };
  if (options.passive) {
    script.listen();
    script.arrives({ flags: 'S', seq: 0, ...syn });
    script.expect({ flags: 'SA', seq: 0, ack: 1 });
    script.now += 10;
    const ts = syn.ts === undefined ? {} : { ts: [syn.ts[0] + 10, 0] as const };
    script.arrives({ flags: 'A', seq: 1, ack: 1, ...ts, window: syn.window ?? 65535 });
  } else {
    script.connect();
    const sent = script.expect({ flags: 'S', seq: 0 });
    script.now += 10;
    const ts = syn.ts === undefined ? {} : { ts: [syn.ts[0], sent.tsVal] as const };
    script.arrives({ flags: 'SA', seq: 0, ack: 1, ...syn, ...ts });
    script.expect({ flags: 'A', seq: 1, ack: 1 });
  }
  assert.equal(script.state, 'ESTABLISHED');
  script.expectNothing();
  script.app.events.length = 0;
  if (options.noDelay) script.socket.setNoDelay(true);
  return script;
}
