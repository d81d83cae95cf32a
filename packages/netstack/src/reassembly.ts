// Reassembly of IP fragments (RFC 791 3.2, RFC 815, RFC 8200 4.5), bounded in datagrams, bytes and time. Overlapping
// fragments discard the whole datagram (RFC 5722; for IPv4 likewise, as nothing honest overlaps); exact repeats are ignored.
import { Counter, type Counters } from './counters.ts';
import { putU16 } from './wire/bigendian.ts';
import { sumBytes } from './wire/checksum.ts';
import { type IpPacket, ipHeaderLength } from './wire/packet.ts';

const DATAGRAM_LIMIT = 64;
const BYTE_LIMIT = 1024 * 1024;
/** One source gets half of each; beyond, its own oldest datagrams make room. */
const SOURCE_SHARE = 0.5;
const TIME_LIMIT = 15_000;
const MAX_PAYLOAD = 65535 - 20;
const FRAGMENT_LIMIT = 256;

interface Partial {
  readonly key: string;
  /** Address it came from. */
  readonly source: string;
  readonly expires: number;
  /** IP header of the reassembled packet, then payload. */
  data: Uint8Array;
  /** Payload ranges present: start, end, start, end, ... unsorted. */
  readonly ranges: number[];
  received: number;
  /** Payload length, once the last fragment is here. */
  total: number;
  protocol: number;
}

export class Reassembler {
  readonly #counters: Counters;
  /** In order of arrival, so the first expires first. */
  readonly #partials = new Map<string, Partial>();
  #bytes = 0;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  /** When `expire` has something to do. */
  get deadline(): number {
    for (const partial of this.#partials.values()) return partial.expires;
    return Number.POSITIVE_INFINITY;
  }

  get size(): number {
    return this.#partials.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes one fragment (copied); returns the whole packet, header rebuilt, when it was the last one missing. */
  add(buf: Uint8Array, packet: IpPacket, now: number): Uint8Array | undefined {
    this.expire(now);
    this.#counters.add(Counter['in.fragments']);
    const start = packet.fragmentOffset;
    const end = start + packet.payloadLength;
    const misaligned = packet.moreFragments && packet.payloadLength % 8 !== 0;
    if (packet.payloadLength === 0 || misaligned || end > MAX_PAYLOAD) {
      this.#counters.add(Counter['drop.fragment.malformed']);
      return undefined;
    }
    const source = addressKey(buf, packet.source, packet.addressLength);
    const key = `${source}${fragmentKey(buf, packet)}`;
    const partial = this.#partials.get(key) ?? this.#open(key, source, packet, now);
    switch (judge(partial, start, end, packet.moreFragments)) {
      case 'repeat':
        return undefined;
      case 'bad':
        this.#counters.add(Counter['drop.fragment.overlap']);
        this.#drop(partial);
        return undefined;
    }
    const header = ipHeaderLength(packet.version);
    if (!this.#reserve(partial, header + end)) {
      this.#counters.add(Counter['drop.fragment.limit']);
      this.#drop(partial);
      return undefined;
    }
    partial.data.set(
      buf.subarray(packet.payload, packet.payload + packet.payloadLength),
      header + start,
    );
    partial.ranges.push(start, end);
    partial.received += end - start;
    if (!packet.moreFragments) partial.total = end;
    if (start === 0) {
      partial.data.set(buf.subarray(packet.start, packet.start + header));
      partial.protocol = packet.protocol;
    }
    if (partial.received !== partial.total) return undefined;
    this.#drop(partial);
    this.#counters.add(Counter['in.reassembled']);
    return finishHeader(partial, packet.version);
  }

  expire(now: number): void {
    for (const partial of this.#partials.values()) {
      if (partial.expires > now) return;
      this.#counters.add(Counter['drop.fragment.timeout']);
      this.#drop(partial);
    }
  }

  #open(key: string, source: string, packet: IpPacket, now: number): Partial {
    const partial: Partial = {
      key,
      source,
      expires: now + TIME_LIMIT,
      data: new Uint8Array(0),
      ranges: [],
      received: 0,
      total: -1,
      protocol: packet.protocol,
    };
    this.#partials.set(key, partial);
    this.#makeRoom(partial, 0);
    return partial;
  }

  /** Drops the oldest datagrams until `more` bytes for `kept` fit: first those of its source, then those of all. */
  #makeRoom(kept: Partial, more: number): boolean {
    let count = 0;
    let bytes = more;
    for (const partial of this.#partials.values()) {
      if (partial.source !== kept.source) continue;
      count++;
      bytes += partial.data.length;
    }
    for (const partial of this.#partials.values()) {
      const greedy = count > DATAGRAM_LIMIT * SOURCE_SHARE || bytes > BYTE_LIMIT * SOURCE_SHARE;
      const full = this.#partials.size > DATAGRAM_LIMIT || this.#bytes + more > BYTE_LIMIT;
      if (!greedy && !full) return true;
      const own = partial.source === kept.source;
      if (partial === kept || (greedy && !own)) continue;
      this.#counters.add(Counter['drop.fragment.limit']);
      this.#drop(partial);
      if (!own) continue;
      count--;
      bytes -= partial.data.length;
    }
    return this.#bytes + more <= BYTE_LIMIT;
  }

  #reserve(partial: Partial, size: number): boolean {
    if (partial.ranges.length >= 2 * FRAGMENT_LIMIT) return false;
    if (size <= partial.data.length) return true;
    // Doubling, but never far beyond what has arrived makes necessary.
    const capacity = Math.min(Math.max(size, 2 * partial.data.length), 65535 + 40);
    if (!this.#makeRoom(partial, capacity - partial.data.length)) return false;
    const grown = new Uint8Array(capacity);
    grown.set(partial.data);
    this.#bytes += capacity - partial.data.length;
    partial.data = grown;
    return true;
  }

  #drop(partial: Partial): void {
    if (this.#partials.delete(partial.key)) this.#bytes -= partial.data.length;
  }
}

function judge(
  partial: Partial,
  start: number,
  end: number,
  more: boolean,
): 'new' | 'repeat' | 'bad' {
  const { ranges, total } = partial;
  let highest = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    const from = ranges[i]!;
    const to = ranges[i + 1]!;
    if (from === start && to === end) return 'repeat';
    if (start < to && from < end) return 'bad';
    highest = Math.max(highest, to);
  }
  if (total >= 0 && end > total) return 'bad';
  if (!more && (total >= 0 || highest > end)) return 'bad';
  return 'new';
}

/** RFC 791, RFC 8200: besides the source, destination and identification; the protocol for IPv4 only. */
function fragmentKey(buf: Uint8Array, packet: IpPacket): string {
  const id =
    packet.version === 4 ? `${packet.protocol}.${packet.fragmentId}` : `${packet.fragmentId}`;
  return `${addressKey(buf, packet.destination, packet.addressLength)}${id}`;
}

function addressKey(buf: Uint8Array, offset: number, length: number): string {
  let key = '';
  for (let i = 0; i < length; i++) key += `${buf[offset + i]}.`;
  return key;
}

function finishHeader(partial: Partial, version: number): Uint8Array {
  const header = ipHeaderLength(version);
  const whole = partial.data.subarray(0, header + partial.total);
  if (version === 4) {
    whole[0] = 0x45;
    putU16(whole, 2, whole.length);
    putU16(whole, 6, 0);
    whole[9] = partial.protocol;
    putU16(whole, 10, 0);
    putU16(whole, 10, ~sumBytes(whole, 0, 20));
  } else {
    putU16(whole, 4, partial.total);
    whole[6] = partial.protocol;
  }
  return whole;
}
