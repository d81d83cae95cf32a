// Address allocation: one IPv4 out of 100.64.0.0/10 and one IPv6 out of fd7a:115c:a1e0::/48 per node, paired by
// the node's offset in the IPv4 range (fd7a:115c:a1e0::12:3456 belongs to offset 0x123456).
import { formatAddr } from '@cove/protocol/netaddr';
import { ControlError } from '../errors.ts';

const BASE = 0x6440_0000;
const SIZE = 1 << 22;

/** Offsets never given out, inclusive. */
const EXCLUDED: readonly (readonly [number, number])[] = [
  [0, 0], // network address
  [0x53, 0x53], // its IPv6 twin is fd7a:115c:a1e0::53, the service address
  [offset(100, 100, 0, 0), offset(100, 100, 0, 255)], // reserved
  [offset(100, 100, 100, 0), offset(100, 100, 100, 255)], // holds the service address 100.100.100.100
  [offset(100, 101, 102, 103), offset(100, 101, 102, 103)], // reserved
  [offset(100, 115, 92, 0), offset(100, 115, 93, 255)], // ChromeOS containers
  [SIZE - 1, SIZE - 1], // broadcast address
];

function offset(a: number, b: number, c: number, d: number): number {
  return ((a << 24) | (b << 16) | (c << 8) | d) - BASE;
}

/** End of the excluded range the offset lies in. */
function excludedUntil(at: number): number | undefined {
  return EXCLUDED.find(([first, last]) => at >= first && at <= last)?.[1];
}

export interface AddressPair {
  readonly ipv4: string;
  readonly ipv6: string;
}

export function addressPair(at: number): AddressPair {
  const v4 = BASE + at;
  const v6 = new Uint8Array(16);
  v6.set([0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0]);
  v6.set([at >> 24, at >> 16, at >> 8, at], 12);
  return {
    ipv4: formatAddr(Uint8Array.of(v4 >> 24, v4 >> 16, v4 >> 8, v4)),
    ipv6: formatAddr(v6),
  };
}

/** Offset of an address this module made; NaN for any other text. */
export function offsetOf(ipv4: string): number {
  const [a, b, c, d] = ipv4.split('.').map(Number);
  return offset(a!, b!, c!, d!);
}

/** Gives out the next free offset behind the last one given, so that a freed address rests before its return. */
export class AddressPool {
  readonly #used = new Set<number>();
  #last = 0;

  /** Marks an address as taken. */
  claim(at: number): void {
    this.#used.add(at);
    this.#last = at;
  }

  release(at: number): void {
    this.#used.delete(at);
  }

  /** Throws ERR_EXHAUSTED if take would. */
  check(): void {
    if (this.#used.size > SIZE - 2048) throw new ControlError('ERR_EXHAUSTED', 'no address left');
  }

  /** Throws ERR_EXHAUSTED. */
  take(): number {
    this.check();
    let at = (this.#last + 1) % SIZE;
    while (this.#used.has(at) || excludedUntil(at) !== undefined) {
      at = ((excludedUntil(at) ?? at) + 1) % SIZE;
    }
    this.claim(at);
    return at;
  }
}
