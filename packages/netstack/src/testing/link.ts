// Two or more stacks on simulated links with a virtual clock: seeded loss, reordering, duplication, corruption, delay, rate
// and queue. Packets are checked on the way (headers, checksums, size), because every test that moves packets should.
import assert from 'node:assert/strict';
import { formatAddr } from '@cove/protocol/netaddr';
import type { StackOptions } from '../api.ts';
import { Stack } from '../stack.ts';
import { sumBytes } from '../wire/checksum.ts';
import { IpFault, IpPacket, Protocol, parseIp } from '../wire/packet.ts';
import { parseTcp, TcpSegment } from '../wire/tcp.ts';
import { SeededRandom } from './random.ts';

export interface LinkConditions {
  /** One way, milliseconds. */
  readonly delay?: number;
  /** Probabilities per packet. */
  readonly loss?: number;
  readonly reorder?: number;
  readonly duplicate?: number;
  readonly corrupt?: number;
  /** Bytes per millisecond; 0 is unlimited. */
  readonly rate?: number;
  /** Packets that may wait for the rate. */
  readonly queue?: number;
  /** Extra delay of a reordered packet, as a multiple of `delay`, plus 1 ms. */
  readonly reorderBy?: number;
}

interface InFlight {
  readonly at: number;
  readonly order: number;
  readonly to: SimHost;
  readonly bytes: Uint8Array;
}

export interface SimHost {
  readonly name: string;
  readonly stack: Stack;
  /** Packets this host sent. */
  sent: number;
  busyUntil: number;
}

/** Checks what every emitted packet must fulfil. Returns the TCP header length, or 0. */
export function checkPacket(bytes: Uint8Array, mtu: number): void {
  assert.ok(bytes.length <= mtu, `packet of ${bytes.length} bytes exceeds the MTU ${mtu}`);
  const packet = new IpPacket();
  assert.equal(parseIp(bytes, 0, bytes.length, packet), IpFault.NONE, 'emitted packet parses');
  assert.equal(packet.payload + packet.payloadLength, bytes.length, 'length field is exact');
  if (packet.fragmented || packet.protocol === Protocol.ICMP) return;
  const pseudo = new Uint8Array(40 + packet.payloadLength);
  pseudo.set(bytes.subarray(packet.source, packet.source + 2 * packet.addressLength));
  pseudo[35] = packet.protocol;
  pseudo[32] = packet.payloadLength >>> 8;
  pseudo[33] = packet.payloadLength;
  pseudo.set(bytes.subarray(packet.payload), 40);
  assert.equal(sumBytes(pseudo, 0, pseudo.length), 0xffff, 'transport checksum');
  if (packet.protocol === Protocol.TCP) {
    const segment = new TcpSegment();
    assert.ok(parseTcp(bytes, packet.payload, packet.payloadLength, segment), 'TCP header parses');
  }
}

export class SimNetwork {
  now = 0;
  readonly random: SeededRandom;
  readonly #hosts: SimHost[] = [];
  readonly #owners = new Map<string, SimHost>();
  #flight: InFlight[] = [];
  #order = 0;
  conditions: LinkConditions;
  /** Called for each packet put on a link; false drops it. */
  tap: ((bytes: Uint8Array, from: SimHost) => boolean) | undefined;

  constructor(seed: number, conditions: LinkConditions) {
    this.random = new SeededRandom(seed);
    this.conditions = conditions;
  }

  add(name: string, addresses: readonly string[], options: Partial<StackOptions> = {}): SimHost {
    const mtu = options.mtu ?? 1280;
    const stack = new Stack({
      randomBytes: (n) => this.random.bytes(n),
      ...options,
      output: (buf, offset, length) => {
        const bytes = new Uint8Array(buf.subarray(offset, offset + length));
        checkPacket(bytes, mtu);
        host.sent++;
        this.#transmit(host, bytes);
      },
    });
    const host: SimHost = { name, stack, sent: 0, busyUntil: 0 };
    stack.setAddresses(addresses);
    this.#hosts.push(host);
    for (const address of stack.addresses) this.#owners.set(address, host);
    return host;
  }

  #transmit(from: SimHost, bytes: Uint8Array): void {
    const version = bytes[0]! >>> 4;
    const at = version === 4 ? 16 : 24;
    const to =
      this.#owners.get(formatAddr(bytes.subarray(at, at + (version === 4 ? 4 : 16)))) ??
      this.#hosts.find((host) => host !== from);
    if (to === undefined || (this.tap !== undefined && !this.tap(bytes, from))) return;
    const c = this.conditions;
    if (this.random.next() < (c.loss ?? 0)) return;
    let leaves = this.now;
    const rate = c.rate ?? 0;
    if (rate > 0) {
      const waiting = Math.max(0, from.busyUntil - this.now);
      if (waiting * rate > (c.queue ?? 100) * 1280) return;
      leaves = Math.max(this.now, from.busyUntil) + bytes.length / rate;
      from.busyUntil = leaves;
    }
    const delay = c.delay ?? 1;
    let arrival = leaves + delay;
    if (this.random.next() < (c.reorder ?? 0)) {
      arrival += 1 + delay * (c.reorderBy ?? 1) * this.random.next();
    }
    const copies = this.random.next() < (c.duplicate ?? 0) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      let copy = bytes;
      if (this.random.next() < (c.corrupt ?? 0)) {
        copy = new Uint8Array(bytes);
        copy[this.random.below(copy.length)]! ^= 1 << this.random.below(8);
      }
      this.#push({ at: arrival + i * delay * 0.1, order: this.#order++, to, bytes: copy });
    }
  }

  #push(item: InFlight): void {
    const heap = this.#flight;
    let i = heap.length;
    heap.push(item);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!earlier(item, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = item;
  }

  #pop(): InFlight {
    const heap = this.#flight;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && earlier(heap[child + 1]!, heap[child]!)) child++;
        if (!earlier(heap[child]!, last)) break;
        heap[i] = heap[child]!;
        i = child;
      }
      heap[i] = last;
    }
    return first;
  }

  /** Next moment at which anything happens, or undefined. */
  get next(): number | undefined {
    let at = this.#flight[0]?.at ?? Number.POSITIVE_INFINITY;
    for (const { stack } of this.#hosts) {
      const tick = stack.nextTick;
      // Drivers have timers of whole milliseconds.
      if (tick !== undefined) {
        at = Math.min(at, tick <= this.now ? this.now : Math.ceil(tick - this.now) + this.now);
      }
    }
    return at === Number.POSITIVE_INFINITY ? undefined : Math.max(at, this.now);
  }

  /** Handles one moment: everything that arrives now, then one poll of each stack. */
  step(): boolean {
    const at = this.next;
    if (at === undefined) return false;
    this.now = at;
    while (this.#flight.length > 0 && this.#flight[0]!.at <= at) {
      const { to, bytes } = this.#pop();
      to.stack.input(bytes, 0, bytes.length, at);
    }
    for (const { stack } of this.#hosts) stack.poll(at);
    return true;
  }

  /** Runs until `done`, until nothing is left to happen, or until the virtual time `limit`. */
  run(done: () => boolean = () => false, limit: number = Number.POSITIVE_INFINITY): void {
    for (const { stack } of this.#hosts) stack.poll(this.now);
    let steps = 0;
    while (!done()) {
      const at = this.next;
      if (at === undefined || at > limit) {
        if (limit !== Number.POSITIVE_INFINITY) this.now = Math.max(this.now, limit);
        return;
      }
      this.step();
      if (++steps > 5_000_000) throw new Error('the simulation does not come to an end');
    }
  }
}

function earlier(a: InFlight, b: InFlight): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
