// Writing of IP packets into slots, and fragmentation of those that do not fit (RFC 791 3.2, RFC 8200 4.5).
import type { SlotSource, StackOptions } from './api.ts';
import { Counter, type Counters } from './counters.ts';
import { copyBytes, putU16 } from './wire/bigendian.ts';
import { fold, InternetChecksum } from './wire/checksum.ts';
import {
  addressSum,
  ipHeaderLength,
  markIpv4Fragment,
  Protocol,
  writeIpHeader,
  writeIpv6Fragment,
} from './wire/packet.ts';

/** One slot, used again for every packet. */
function singleSlot(headroom: number, mtu: number, tailroom: number): SlotSource {
  return { buffer: new Uint8Array(headroom + ((mtu + 3) & ~3) + tailroom), next: () => headroom };
}

/** Both ends of a packet, as ranges of byte arrays. */
export interface Route {
  version: number;
  source: Uint8Array;
  sourceOffset: number;
  destination: Uint8Array;
  destinationOffset: number;
}

export class PacketWriter {
  readonly checksum: InternetChecksum = new InternetChecksum();
  readonly mtu: number;
  /** The slot being written. */
  buffer: Uint8Array;
  offset = 0;
  readonly #slots: SlotSource;
  readonly #counters: Counters;
  readonly #emit: (buf: Uint8Array, offset: number, length: number) => void;
  #fragmentId: number;

  /** `emit` takes the finished packet (loopback or the link). */
  constructor(
    options: StackOptions,
    mtu: number,
    counters: Counters,
    emit: (buf: Uint8Array, offset: number, length: number) => void,
  ) {
    this.mtu = mtu;
    this.#slots = options.slots ?? singleSlot(options.headroom ?? 16, mtu, options.tailroom ?? 32);
    this.buffer = this.#slots.buffer;
    this.#counters = counters;
    this.#emit = emit;
    const seed = options.randomBytes(2);
    this.#fragmentId = (seed[0]! << 8) | seed[1]!;
  }

  /** Opens the next slot: `buffer` and `offset`. */
  begin(): void {
    this.offset = this.#slots.next();
    this.buffer = this.#slots.buffer;
  }

  /** Hands the packet of `length` bytes in the open slot on. */
  commit(length: number): void {
    this.#counters.add(Counter['out.packets']);
    this.#counters.add(Counter['out.bytes'], length);
    this.#emit(this.buffer, this.offset, length);
  }

  /**
   * Sends `payload` (a whole UDP datagram or ICMP message, its checksum field at `checksumAt` still zero) and fills in the
   * checksum; in fragments if it does not fit. `pseudoHeader`: the checksum covers the addresses too.
   */
  send(
    route: Route,
    protocol: number,
    payload: Uint8Array,
    checksumAt: number,
    pseudoHeader: boolean,
  ): void {
    const addressLength = route.version === 4 ? 4 : 16;
    const addresses =
      addressSum(route.source, route.sourceOffset, addressLength) +
      addressSum(route.destination, route.destinationOffset, addressLength);
    let sum = this.checksum.sum(payload, 0, payload.length);
    if (pseudoHeader) sum = fold(sum + addresses + protocol + payload.length);
    sum = ~sum & 0xffff;
    // RFC 768: a computed zero goes out as all ones; zero would mean "no checksum".
    putU16(payload, checksumAt, sum === 0 && protocol === Protocol.UDP ? 0xffff : sum);
    const header = ipHeaderLength(route.version);
    if (header + payload.length <= this.mtu) {
      this.begin();
      this.#header(route, protocol, addresses, payload.length);
      this.buffer.set(payload, this.offset + header);
      this.commit(header + payload.length);
      return;
    }
    this.#fragment(route, protocol, addresses, payload);
  }

  #header(route: Route, protocol: number, addresses: number, payloadLength: number): void {
    writeIpHeader(
      this.buffer,
      this.offset,
      route.version,
      protocol,
      route.source,
      route.sourceOffset,
      route.destination,
      route.destinationOffset,
      addresses,
      payloadLength,
    );
  }

  #fragment(route: Route, protocol: number, addresses: number, payload: Uint8Array): void {
    const v4 = route.version === 4;
    const header = v4 ? 20 : 48;
    const step = (this.mtu - header) & ~7;
    this.#fragmentId = (this.#fragmentId + 1) >>> 0;
    for (let at = 0; at < payload.length; at += step) {
      const length = Math.min(step, payload.length - at);
      const more = at + length < payload.length;
      this.begin();
      if (v4) {
        this.#header(route, protocol, addresses, length);
        markIpv4Fragment(this.buffer, this.offset, this.#fragmentId & 0xffff, at >>> 3, more);
      } else {
        this.#header(route, Protocol.FRAGMENT, addresses, length + 8);
        writeIpv6Fragment(
          this.buffer,
          this.offset + 40,
          protocol,
          this.#fragmentId,
          at >>> 3,
          more,
        );
      }
      copyBytes(payload, at, this.buffer, this.offset + header, length);
      this.#counters.add(Counter['out.fragments']);
      this.commit(header + length);
    }
  }
}
