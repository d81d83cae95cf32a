// The ways to one peer. Sans I/O: told what was heard, asked where to send.
//
// Today a peer is reached through relays only; direct UDP paths will be chosen here.
import type { Peer } from '../nodetable.ts';

/** Where a datagram came from or goes to. The same object for the same path every time. */
export interface RelayPath {
  readonly kind: 'relay';
  readonly region: number;
  readonly peer: Peer;
}

export type Path = RelayPath;

export class Endpoint {
  readonly #peer: Peer;
  readonly #relayPaths: Map<number, RelayPath> = new Map();
  /** Relay region the peer was last heard through; 0: none, or the relay said it left. */
  #heardRegion = 0;

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  get heardRegion(): number {
    return this.#heardRegion;
  }

  /** Something of the peer arrived through the region. */
  heardThrough(region: number): RelayPath {
    this.#heardRegion = region;
    return this.relayPath(region);
  }

  /** The region lost the peer, or we lost the region. */
  forgetRegion(region: number): void {
    if (this.#heardRegion === region) this.#heardRegion = 0;
  }

  relayPath(region: number): RelayPath {
    let path = this.#relayPaths.get(region);
    if (!path) {
      path = { kind: 'relay', region, peer: this.#peer };
      this.#relayPaths.set(region, path);
    }
    return path;
  }

  /**
   * The region for the next packet, 0 when none is known: where the peer was heard, unless we are connected to its
   * home anyway.
   */
  relayRegion(isConnected: (region: number) => boolean): number {
    const home = this.#peer.homeRegion;
    if (this.#heardRegion !== 0 && (home === 0 || !isConnected(home))) return this.#heardRegion;
    return home;
  }
}
