// Datagrams for paths through peer relays: the relay's header is put in front of them.
import {
  GENEVE_HEADER_LENGTH,
  GeneveProtocol,
  geneveProtocol,
  isGeneveControl,
  writeGeneve,
} from '@cove/protocol/geneve';
import type { ViaPath } from './paths.ts';
import type { UdpTransport } from './udpsocket.ts';

const ORDINARY_LENGTH = 2_048;

export class Encapsulation {
  readonly #udp: UdpTransport;
  #buffer: Uint8Array = new Uint8Array(ORDINARY_LENGTH);

  constructor(udp: UdpTransport) {
    this.#udp = udp;
  }

  /** Sends a WireGuard datagram; returns as UdpTransport.send does. */
  send(path: ViaPath, buf: Uint8Array, offset: number, length: number): boolean {
    const whole = GENEVE_HEADER_LENGTH + length;
    if (this.#buffer.length < whole) this.#buffer = new Uint8Array(whole);
    writeGeneve(this.#buffer, GeneveProtocol.wireguard, path.vni, false);
    this.#buffer.set(buf.subarray(offset, offset + length), GENEVE_HEADER_LENGTH);
    return this.#udp.send(path.hop, this.#buffer, 0, whole);
  }

  /** Sends a discovery message; isForRelay: to the relay itself, not to who is behind it. */
  probe(path: ViaPath, envelope: Uint8Array, isForRelay: boolean): void {
    const datagram = new Uint8Array(GENEVE_HEADER_LENGTH + envelope.length);
    writeGeneve(datagram, GeneveProtocol.disco, path.vni, isForRelay);
    datagram.set(envelope, GENEVE_HEADER_LENGTH);
    this.#udp.probe(path.hop, datagram);
  }
}

export type Inner = 'wireguard' | 'disco' | 'relay' | undefined;

/** What a datagram at buf[offset] (geneveProtocol was asked) carries; `relay`: discovery of the relay itself. */
export function innerKind(buf: Uint8Array, offset: number): Inner {
  const isControl = isGeneveControl(buf, offset);
  if (geneveProtocol(buf, offset) === GeneveProtocol.disco) return isControl ? 'relay' : 'disco';
  return isControl ? undefined : 'wireguard';
}
