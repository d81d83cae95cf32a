// The ways to one peer: the relay it is at, and direct paths once there was a reason to look for them. Sans I/O: told
// what was heard, asked where to send. A peer that nothing is sent to, and that does not ping, costs one small object.
import { parseAddr, parseAddrPort, prefixContains } from '@cove/protocol/netaddr';
import type { Peer } from '../nodetable.ts';
import { type AddressAndPort, DirectPath, type DirectPathSink } from './directpath.ts';
import type { DatagramPath, PathTable, RelayPath } from './paths.ts';
import type { ViaPaths } from './viapaths.ts';

const LINK_LOCAL_V6 = {
  addr: Uint8Array.of(0xfe, 0x80, ...new Array<number>(14).fill(0)),
  bits: 10,
};

export class Endpoint {
  readonly peer: Peer;
  /** One for each region that anything went through. */
  #relayPaths: RelayPath[] | undefined;
  /** Relay region the peer was last heard through; 0: none, or the relay said it left. */
  #heardRegion = 0;
  #direct: DirectPath | undefined;
  /** Of WireGuard, when hasHeard was asked last. */
  #heardBytes = 0;

  constructor(peer: Peer) {
    this.peer = peer;
  }

  get heardRegion(): number {
    return this.#heardRegion;
  }

  /** Undefined until somebody needed it. */
  get direct(): DirectPath | undefined {
    return this.#direct;
  }

  /** Begins with the addresses that the network map has. */
  openDirect(paths: PathTable, vias: ViaPaths, sink: DirectPathSink): DirectPath {
    this.#direct = new DirectPath(paths, vias, sink);
    this.#direct.setMapCandidates(mapCandidates(this.peer));
    return this.#direct;
  }

  /** The peer's node has other addresses now. */
  mapChanged(): void {
    this.#direct?.setMapCandidates(mapCandidates(this.peer));
  }

  /** Of the direct paths. */
  get nextTick(): number {
    return this.#direct?.nextTick ?? Number.POSITIVE_INFINITY;
  }

  tick(now: number): void {
    this.#direct?.tick(now);
  }

  close(): void {
    this.#direct?.close();
    this.#direct = undefined;
  }

  /** Something of the peer arrived through the region. */
  heardThrough(region: number): RelayPath {
    this.#heardRegion = region;
    return this.relayPath(region);
  }

  /** Whether WireGuard of the peer came by the path since this was asked last. */
  hasHeard(path: DatagramPath): boolean {
    const { wireguard, heardFrom } = this.peer;
    const before = this.#heardBytes;
    this.#heardBytes = wireguard?.rxBytes ?? 0;
    return this.#heardBytes !== before && heardFrom === path;
  }

  /** The region lost the peer, or we lost the region. */
  forgetRegion(region: number): void {
    if (this.#heardRegion === region) this.#heardRegion = 0;
  }

  relayPath(region: number): RelayPath {
    let path = this.#relayPaths?.find((one) => one.region === region);
    if (!path) {
      path = { kind: 'relay', region, peer: this.peer };
      this.#relayPaths = [...(this.#relayPaths ?? []), path];
    }
    return path;
  }

  /**
   * The region for the next packet, 0 when none is known: where the peer was heard, unless we are connected to its
   * home anyway.
   */
  relayRegion(isConnected: (region: number) => boolean): number {
    const home = this.peer.homeRegion;
    if (this.#heardRegion !== 0 && (home === 0 || !isConnected(home))) return this.#heardRegion;
    return home;
  }
}

function mapCandidates(peer: Peer): AddressAndPort[] {
  return (peer.node.Endpoints ?? []).flatMap((text) => {
    const parsed = parseAddrPort(text);
    return parsed && isReachable(parseAddr(parsed.addr)!)
      ? [{ address: parsed.addr, port: parsed.port }]
      : [];
  });
}

/** Link-local IPv6 means nothing without a zone, and zones do not travel. */
export function isReachable(addr: Uint8Array): boolean {
  return !prefixContains(LINK_LOCAL_V6, addr);
}
