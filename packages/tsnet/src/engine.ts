// The data path of one node: joins magicsock, wireguard, the packet filter and netstack, and nothing else.
//
// In:  relay -> magicsock -> wireguard.receive -> allowed source? -> filter -> netstack.input -> Conn.
// Out: Conn.write -> netstack -> filter notes the flow -> route to peer -> wireguard.send -> magicsock.
import type { Crypto } from '@cove/protocol/crypto';
import type { NodePublic, PrivateKey } from '@cove/protocol/keys';
import type { Clock } from './clock.ts';
import type { Conn } from './conn.ts';
import type { Listener } from './listener.ts';
import type { NetworkMap } from './netmap.ts';
import type { PacketConn } from './packetconn.ts';
import type { WhoIs } from './whois.ts';

/** What the engine tells its owner. All are called outside the packet path; none may throw. */
export interface EngineCallbacks {
  /** The home relay region was chosen or changed (0: none); control is told as NetInfo.PreferredDERP. */
  homeDerp(regionId: number): void;
  /** Some relay connection is up (ServerInfo received), or the last one went down. */
  derpConnected(connected: boolean): void;
  /** New relay latencies, seconds by `<region>-v4` (control: NetInfo.DERPLatency). */
  derpLatency?(latency: Readonly<Record<string, number>>): void;
}

export interface EngineOptions {
  readonly nodeKey: PrivateKey;
  readonly discoKey: PrivateKey;
  readonly crypto: Crypto;
  readonly clock: Clock;
  /** One line per event worth knowing. Absent: silent. */
  readonly log?: ((line: string) => void) | undefined;
  readonly callbacks: EngineCallbacks;
}

export interface ListenTcpOptions {
  /** Port in host order; 0 takes a free one of 10002-19999. */
  readonly port: number;
  /** An own address; absent, `0.0.0.0` or `::`: every own address. */
  readonly address?: string | undefined;
  /** Handshakes completed but not yet taken; default 511. */
  readonly backlog?: number | undefined;
  readonly allowHalfOpen?: boolean | undefined;
}

export interface DialTcpOptions {
  /** IP literal. */
  readonly address: string;
  readonly port: number;
  readonly signal?: AbortSignal | undefined;
  readonly allowHalfOpen?: boolean | undefined;
}

export interface ListenUdpOptions {
  /** Port in host order; 0 takes a free one. */
  readonly port: number;
  /** An own address; absent: every own address. */
  readonly address?: string | undefined;
}

export interface PeerStatus {
  readonly nodeKey: NodePublic;
  /** Relay region the next packet goes through; 0: none known. */
  readonly relay: number;
  /** Direct `ip:port` in use; absent: relayed. */
  readonly currentAddress?: string;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Engine clock, milliseconds; absent: no session yet. */
  readonly lastHandshake?: number;
  /** A session is up. */
  readonly active: boolean;
}

export class Engine {
  constructor(options: EngineOptions) {
    void options;
  }

  /**
   * The login was renewed and the server knows this node by a new key (T1 calls it before the map that says so):
   * new WireGuard sessions and relay connections; listeners, and TCP connections where possible, live on.
   */
  setNodeKey(nodeKey: PrivateKey): void {
    void nodeKey;
  }

  /** Applies the difference to the previous map. The value is kept by reference and must not change. */
  setNetworkMap(map: NetworkMap): void {
    void map;
  }

  /** Throws EADDRINUSE, EADDRNOTAVAIL, RangeError. */
  listenTcp(options: ListenTcpOptions): Listener {
    throw new Error(`not built: ${options.port}`);
  }

  /** Resolves when the handshake is done. Rejects ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, AbortError. */
  dialTcp(options: DialTcpOptions): Promise<Conn> {
    throw new Error(`not built: ${options.port}`);
  }

  listenUdp(options: ListenUdpOptions): PacketConn {
    throw new Error(`not built: ${options.port}`);
  }

  /** Addresses of a tailnet name (short or full, dot or not), preferred family first; empty: unknown. */
  resolve(name: string): string[] {
    return name === '' ? [] : [];
  }

  /** Does the address belong to a peer (or to this node), so that a dial goes through the tunnel? */
  routesTo(address: string): boolean {
    return address === '';
  }

  /** Who has this source address (text; `::ffff:` forms are unmapped). Undefined: no node has it as its own. */
  whoIsAddr(address: string, port?: number): WhoIs | undefined {
    void address;
    void port;
    return undefined;
  }

  /** Port on which this node's peerapi answers (Hostinfo.Services peerapi4/6); 0 before the first map. */
  get peerApiPort(): number {
    return 0;
  }

  /** Refuse all new inbound flows; replies still pass. */
  setShieldsUp(on: boolean): void {
    void on;
  }

  /** Peers that the node has exchanged something with. */
  peerStatus(): PeerStatus[] {
    return [];
  }

  /** Dropped packets by reason, packets and bytes by direction, since the start. */
  counters(): Readonly<Record<string, number>> {
    return {};
  }

  /** Resets open connections, closes relays. Idempotent. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
