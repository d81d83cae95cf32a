// Listening ports: which listener a SYN is for, and the handshakes under way at each (RFC 9293 3.9.1, MUST-41..43).
import type { AddressEntry, AddressTable } from '../addresses.ts';
import type { ListenOptions, TcpListener, TcpSocket } from '../api.ts';
import { NetstackError } from '../errors.ts';
import { type EphemeralPorts, requirePort } from '../ports.ts';
import { Backlog } from './backlog.ts';
import type { Tcb } from './tcb.ts';

const DEFAULT_BACKLOG = 256;
/** A SYN-ACK is lost, or its answer late; by then it was repeated twice (RFC 6298 2, 5.5). */
const PATIENCE = 3000;

export class ListenerState {
  readonly port: number;
  /** Identifier of the one local address, or 0 for all. */
  readonly addressId: number;
  readonly accept: (socket: TcpSocket) => void;
  readonly backlog: Backlog;
  closed = false;

  constructor(
    port: number,
    addressId: number,
    backlog: number,
    accept: (socket: TcpSocket) => void,
  ) {
    this.port = port;
    this.addressId = addressId;
    this.backlog = new Backlog(backlog, PATIENCE);
    this.accept = accept;
  }
}

export class Listeners {
  readonly #byPort = new Map<number, ListenerState[]>();
  readonly #ports: EphemeralPorts;
  readonly #addresses: AddressTable;
  readonly #drop: (tcb: Tcb) => void;

  /** `drop` ends a half-open connection whose listener closes. */
  constructor(ports: EphemeralPorts, addresses: AddressTable, drop: (tcb: Tcb) => void) {
    this.#ports = ports;
    this.#addresses = addresses;
    this.#drop = drop;
  }

  has(port: number): boolean {
    return this.#byPort.has(port);
  }

  /** The listener of that one address goes before the one of all. */
  find(addressId: number, port: number): ListenerState | undefined {
    const listeners = this.#byPort.get(port);
    if (listeners === undefined) return undefined;
    return (
      listeners.find((l) => l.addressId === addressId) ?? listeners.find((l) => l.addressId === 0)
    );
  }

  /** `address`: held for the listener, or undefined for all. Throws EADDRINUSE, RangeError. */
  open(address: AddressEntry | undefined, options: ListenOptions): TcpListener {
    let port = requirePort('port', options.port, 0);
    if (port === 0) port = this.#ports.pickFree((candidate) => this.#byPort.has(candidate));
    const listeners = this.#byPort.get(port) ?? [];
    const addressId = address?.id ?? 0;
    if (listeners.some((l) => l.addressId === addressId)) {
      if (address !== undefined) this.#addresses.release(address);
      throw new NetstackError('EADDRINUSE', `port ${port} has a listener`);
    }
    const backlog = Math.max(1, options.backlog ?? DEFAULT_BACKLOG);
    const state = new ListenerState(port, addressId, backlog, options.accept);
    listeners.push(state);
    this.#byPort.set(port, listeners);
    return {
      port,
      address: options.address,
      close: () => this.#close(state, address),
    };
  }

  #close(state: ListenerState, address: AddressEntry | undefined): void {
    if (state.closed) return;
    state.closed = true;
    const rest = (this.#byPort.get(state.port) ?? []).filter((l) => l !== state);
    if (rest.length > 0) this.#byPort.set(state.port, rest);
    else this.#byPort.delete(state.port);
    for (const tcb of [...state.backlog]) this.#drop(tcb);
    if (address !== undefined) this.#addresses.release(address);
  }
}
