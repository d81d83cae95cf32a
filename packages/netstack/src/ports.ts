// Ephemeral ports (RFC 6056, algorithm 3): a keyed hash of the destination plus a counter, so that the next port is
// unpredictable to others and rarely collides.
import { NetstackError } from './errors.ts';
import { sipHash } from './siphash.ts';
import { putU16 } from './wire/bigendian.ts';

/** RFC 6335 section 6. */
const FIRST = 49152;
const LAST = 65535;

/** Throws RangeError unless `value` is a port of at least `least`. */
export function requirePort(name: string, value: number, least: number): number {
  if (!Number.isInteger(value) || value < least || value > 65535) {
    throw new RangeError(`${name} must be an integer from ${least} to 65535, got ${value}`);
  }
  return value;
}

export class EphemeralPorts {
  readonly #secret: Uint8Array;
  readonly #first: number;
  readonly #count: number;
  #counter: number;

  constructor(secret: Uint8Array, first: number = FIRST) {
    this.#secret = secret;
    this.#first = requirePort('firstEphemeralPort', first, 1);
    this.#count = LAST - first + 1;
    this.#counter = sipHash(secret, secret)[0] % this.#count;
  }

  /** A port for a flow to `remote:remotePort` that is not `taken`. Throws EADDRINUSE when all are. */
  pick(
    local: Uint8Array,
    remote: Uint8Array,
    remotePort: number,
    taken: (port: number) => boolean,
  ): number {
    const tuple = new Uint8Array(local.length + remote.length + 2);
    tuple.set(local);
    tuple.set(remote, local.length);
    putU16(tuple, tuple.length - 2, remotePort);
    return this.#search(sipHash(this.#secret, tuple)[0] % this.#count, taken);
  }

  /** A port for a listener or a socket without a peer. */
  pickFree(taken: (port: number) => boolean): number {
    return this.#search(0, taken);
  }

  #search(offset: number, taken: (port: number) => boolean): number {
    for (let i = 0; i < this.#count; i++) {
      // The rest of a division comes as a floating-point number.
      const port = (this.#first + ((offset + this.#counter) % this.#count)) | 0;
      this.#counter = (this.#counter + 1) % this.#count;
      if (!taken(port)) return port;
    }
    throw new NetstackError('EADDRINUSE', 'no ephemeral port is free');
  }
}
