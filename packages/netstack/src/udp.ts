// UDP sockets (RFC 768, RFC 1122 4.1). Datagrams in and out wait in bounded queues for the poll.

import { formatAddr } from '@cove/protocol/netaddr';
import type { AddressEntry, AddressTable } from './addresses.ts';
import type { BindUdpOptions, UdpDatagram, UdpSocket, UdpTarget } from './api.ts';
import { Counter, type Counters } from './counters.ts';
import { NetstackError, type TcpErrorCode } from './errors.ts';
import type { PacketWriter, Route } from './output.ts';
import { type EphemeralPorts, requirePort } from './ports.ts';
import { u16 } from './wire/bigendian.ts';
import { fold, type InternetChecksum } from './wire/checksum.ts';
import { type IpPacket, Protocol } from './wire/packet.ts';
import { encodeUdp, MAX_UDP_PAYLOAD, parseUdp, UDP_HEADER } from './wire/udp.ts';

/** Bytes waiting for one socket's application, and for the poll that sends; a datagram counts at least this much. */
const RECEIVE_LIMIT = 1024 * 1024;
const SEND_LIMIT = 1024 * 1024;
const OVERHEAD = 256;

interface Bound {
  readonly port: number;
  /** Identifier of the one local address, or 0 for all. */
  readonly addressId: number;
  readonly options: BindUdpOptions;
  queued: number;
  closed: boolean;
}

interface Waiting {
  readonly socket: Bound | undefined;
  readonly datagram: UdpDatagram;
}

interface Outgoing {
  readonly route: Route;
  readonly payload: Uint8Array;
}

export interface UdpHooks {
  wake(): void;
  /** Resolves a target to both addresses; undefined without an own address of the family. */
  route(target: UdpTarget, bound: AddressEntry | undefined): Route | undefined;
  unhandled?: ((datagram: UdpDatagram) => boolean) | undefined;
}

export class UdpLayer {
  readonly #sockets = new Map<number, Bound[]>();
  readonly #addresses: AddressTable;
  readonly #counters: Counters;
  readonly #writer: PacketWriter;
  readonly #incoming: InternetChecksum;
  readonly #ports: EphemeralPorts;
  readonly #hooks: UdpHooks;
  #arrived: Waiting[] = [];
  #outgoing: Outgoing[] = [];
  #outgoingBytes = 0;
  #events: (() => void)[] = [];

  constructor(
    addresses: AddressTable,
    counters: Counters,
    writer: PacketWriter,
    incoming: InternetChecksum,
    ports: EphemeralPorts,
    hooks: UdpHooks,
  ) {
    this.#addresses = addresses;
    this.#counters = counters;
    this.#writer = writer;
    this.#incoming = incoming;
    this.#ports = ports;
    this.#hooks = hooks;
  }

  get due(): boolean {
    return this.#arrived.length + this.#outgoing.length + this.#events.length > 0;
  }

  /** One datagram; returns false if nobody has the port (the caller answers with ICMP). */
  input(buf: Uint8Array, packet: IpPacket, own: boolean): boolean {
    const header = parseUdp(buf, packet.payload, packet.payloadLength);
    if (header === undefined) {
      this.#counters.add(Counter['drop.udp.malformed']);
      return true;
    }
    const length = header.dataLength + UDP_HEADER;
    if (header.checksum === 0 ? packet.version === 6 : !this.#verify(buf, packet, length)) {
      this.#counters.add(Counter['drop.udp.checksum']);
      return true;
    }
    const local = own
      ? this.#addresses.find(buf, packet.destination, packet.addressLength)
      : undefined;
    const socket = this.#lookup(local?.id ?? -1, header.destinationPort);
    if (socket === undefined && this.#hooks.unhandled === undefined) return false;
    if (socket !== undefined && socket.queued + length + OVERHEAD > RECEIVE_LIMIT) {
      this.#counters.add(Counter['drop.udp.queue']);
      return true;
    }
    const start = packet.payload + UDP_HEADER;
    const datagram: UdpDatagram = {
      remoteAddress: addressText(buf, packet.source, packet.addressLength),
      remotePort: header.sourcePort,
      localAddress: local?.text ?? addressText(buf, packet.destination, packet.addressLength),
      localPort: header.destinationPort,
      bytes: new Uint8Array(buf.subarray(start, start + header.dataLength)),
    };
    if (socket === undefined && !this.#hooks.unhandled!(datagram)) return false;
    this.#counters.add(Counter['udp.datagrams.received']);
    if (socket !== undefined) {
      socket.queued += length + OVERHEAD;
      this.#arrived.push({ socket, datagram });
    }
    return true;
  }

  hasPort(port: number): boolean {
    return this.#sockets.has(port);
  }

  has(local: AddressEntry, port: number): boolean {
    return local.own && this.#lookup(local.id, port) !== undefined;
  }

  #verify(buf: Uint8Array, packet: IpPacket, length: number): boolean {
    const sum = this.#incoming.sum(buf, packet.payload, length);
    return fold(sum + packet.addressSum + Protocol.UDP + length) === 0xffff;
  }

  #lookup(addressId: number, port: number): Bound | undefined {
    const sockets = this.#sockets.get(port);
    if (sockets === undefined || addressId < 0) return undefined;
    return sockets.find((s) => s.addressId === addressId) ?? sockets.find((s) => s.addressId === 0);
  }

  /** `address`: held for the socket, or undefined for all. */
  bind(address: AddressEntry | undefined, options: BindUdpOptions): UdpSocket {
    let port = requirePort('port', options.port, 0);
    if (port === 0) port = this.#ports.pickFree((candidate) => this.#sockets.has(candidate));
    const sockets = this.#sockets.get(port) ?? [];
    const addressId = address?.id ?? 0;
    if (sockets.some((s) => s.addressId === addressId)) {
      if (address !== undefined) this.#addresses.release(address);
      throw new NetstackError('EADDRINUSE', `UDP port ${port} is bound`);
    }
    const bound: Bound = { port, addressId, options, queued: 0, closed: false };
    sockets.push(bound);
    this.#sockets.set(port, sockets);
    return {
      port,
      address: options.address,
      send: (to, bytes) => this.#send(bound, address, to, bytes),
      close: () => {
        if (bound.closed) return;
        bound.closed = true;
        const rest = (this.#sockets.get(port) ?? []).filter((s) => s !== bound);
        if (rest.length > 0) this.#sockets.set(port, rest);
        else this.#sockets.delete(port);
        if (address !== undefined) this.#addresses.release(address);
      },
    };
  }

  #send(
    bound: Bound,
    address: AddressEntry | undefined,
    to: UdpTarget,
    bytes: Uint8Array,
  ): boolean {
    if (bound.closed) throw new NetstackError('ERR_CLOSED', 'the UDP socket is closed');
    if (bytes.length > MAX_UDP_PAYLOAD) {
      throw new NetstackError('EMSGSIZE', `a datagram holds ${MAX_UDP_PAYLOAD} bytes at most`);
    }
    requirePort('port', to.port, 1);
    if (this.#outgoingBytes + bytes.length + OVERHEAD > SEND_LIMIT) return false;
    const route = this.#hooks.route(to, address);
    if (route === undefined) return false;
    this.#outgoing.push({ route, payload: encodeUdp(bound.port, to.port, bytes) });
    this.#outgoingBytes += bytes.length + OVERHEAD;
    this.#hooks.wake();
    return true;
  }

  /** An ICMP error quotes a datagram of ours; `quoted` is the offset of its UDP header. */
  icmpError(
    buf: Uint8Array,
    source: number,
    destination: number,
    addressLength: number,
    quoted: number,
    code: TcpErrorCode,
  ): boolean {
    const local = this.#addresses.find(buf, source, addressLength);
    const socket = this.#lookup(local?.id ?? -1, u16(buf, quoted));
    if (socket === undefined) return false;
    const { error } = socket.options;
    if (error === undefined || this.#events.length >= 64) return true;
    const address = addressText(buf, destination, addressLength);
    const port = u16(buf, quoted + 2);
    this.#events.push(() => {
      if (!socket.closed) error(code, address, port);
    });
    return true;
  }

  /** Delivers what arrived, then sends what was queued. */
  poll(): void {
    const arrived = this.#arrived;
    if (arrived.length > 0) {
      this.#arrived = [];
      let delivered = 0;
      try {
        for (const { socket, datagram } of arrived) {
          delivered++;
          if (socket === undefined || socket.closed) continue;
          socket.queued -= datagram.bytes.length + UDP_HEADER + OVERHEAD;
          socket.options.receive(datagram);
        }
      } finally {
        // A receiver that throws keeps the rest for the next poll.
        if (delivered < arrived.length)
          this.#arrived = arrived.slice(delivered).concat(this.#arrived);
      }
    }
    for (const event of this.#events.splice(0)) event();
    const outgoing = this.#outgoing;
    if (outgoing.length === 0) return;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    for (const { route, payload } of outgoing) {
      this.#counters.add(Counter['udp.datagrams.sent']);
      this.#writer.send(route, Protocol.UDP, payload, 6, true);
    }
  }
}

function addressText(buf: Uint8Array, offset: number, length: number): string {
  return formatAddr(buf.subarray(offset, offset + length));
}
