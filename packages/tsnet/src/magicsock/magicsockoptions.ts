// What magicsock needs of the node around it, and what it tells it.
import type { Crypto } from '@cove/protocol/crypto';
import type { PrivateKey } from '@cove/protocol/keys';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Peer } from '../nodetable.ts';
import type { RelayDial } from './derp.ts';
import type { OwnEndpoint } from './endpoints.ts';
import type { NetcheckReport } from './netcheck.ts';
import type { Path } from './paths.ts';
import type { UdpOpen } from './udpsocket.ts';

export interface MagicsockSink {
  /** A WireGuard datagram; borrowed for the call, may be overwritten. */
  receive(buf: Uint8Array, offset: number, length: number, from: Path): void;
  /** A relay connection came up, or (false) the last one went down. */
  relayConnected(connected: boolean): void;
  /** What is received next came together. */
  train(): void;
  /** What was sent waits for flush(). */
  flushSoon(): void;
  /** Stop (true) or resume making new segments. */
  congested(on: boolean): void;
  /** Packets to the peer take another path than before. `isLoss`: because what was sent by the last one got lost. */
  pathChanged(peer: Peer, isLoss: boolean): void;
  /** The home region is another now; 0: none. */
  homeChanged(region: number): void;
  measured(report: NetcheckReport): void;
  /** Where peers may try us changed. */
  endpointsChanged(endpoints: readonly OwnEndpoint[]): void;
  /** The local UDP port, and IPv4's alone; 0: no socket. */
  portChanged(port: number, portV4: number): void;
}

export interface MagicsockOptions {
  /** The node's public key, as of now. */
  readonly nodeKeyBytes: () => Uint8Array;
  readonly discoKey: PrivateKey;
  readonly crypto: Crypto;
  readonly clock: Clock;
  /** The clock's time as of this batch of packets. */
  readonly now: () => number;
  readonly log: Log;
  readonly dialRelay: RelayDial;
  readonly openUdp: UdpOpen;
  /** UDP port; 0: any. */
  readonly port: number;
  /** The port of the last run, taken again where it is free; 0: none. */
  readonly lastPort: number;
  readonly sink: MagicsockSink;
}

export interface MagicsockPong {
  readonly path: Path;
  /** Milliseconds. */
  readonly latency: number;
}

export type MagicsockCounters = Readonly<Record<string, number>>;
