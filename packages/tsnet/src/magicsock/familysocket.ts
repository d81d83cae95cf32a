// What udpsocket.ts asks of one UDP socket, of which there are two kinds: the system's through node:dgram, and one that
// sends and receives trains of datagrams (@cove/native).
import type { Family } from './netcheck.ts';
import type { PathTable, UdpPath } from './paths.ts';

export interface FamilySocketEvents {
  /** First and once, unless notBound: the local port, and the system's buffers as it counts them. */
  bound(port: number, receiveBuffer: number, sendBuffer: number): void;
  /** The system's code; nothing follows. */
  notBound(code: string): void;
  /** A datagram at buf[offset, offset + length), borrowed for the call; it may be overwritten. */
  packet(buf: Uint8Array, offset: number, length: number, from: UdpPath): void;
  /** The packets of the next calls came in one piece. */
  train(): void;
  /** What send() took waits for flush(). */
  waiting(): void;
  /** The system takes nothing at the moment (true), or again. */
  congested(on: boolean): void;
  /** The socket itself does not work. */
  broken(code: string): void;
  /** What probe() sent did not leave. */
  probeFailed(path: UdpPath, code: string): void;
}

export interface FamilySocketOptions {
  readonly family: Family;
  /** 0: any. */
  readonly port: number;
  readonly paths: PathTable;
  readonly events: FamilySocketEvents;
}

export interface FamilySocket {
  /** Datagrams the system did not take in time. */
  readonly dropped: number;
  /** Datagrams the system refused: too long, no way there, not allowed. */
  readonly refused: number;
  /** The bytes are the caller's again at once. They may leave no sooner than flush(). */
  send(path: UdpPath, buf: Uint8Array, offset: number, length: number): void;
  /** Sends at once, and tells of failure. */
  probe(path: UdpPath, datagram: Uint8Array): void;
  /** Sends what waits. */
  flush(): void;
  /** No events follow. */
  close(closed: () => void): void;
}

/** A burst for every peer fits; the operating system gives what it may. */
export const BUFFER_BYTES: number = 4 << 20;
/** Bytes the system has not taken beyond which TCP makes no new segments, and beyond which datagrams are dropped. */
export const CONGESTED_BYTES: number = 256 << 10;
export const MOST_QUEUED_BYTES: number = 1 << 20;
