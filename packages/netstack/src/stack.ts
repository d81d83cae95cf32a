// The stack: demultiplexing, ports, addresses; input, poll, nextTick.
import type {
  BindUdpOptions,
  ConnectOptions,
  ListenOptions,
  Ping,
  PingOptions,
  StackOptions,
  TcpListener,
  TcpSocket,
  UdpSocket,
} from './api.ts';

/** One host's IP, ICMP, UDP and TCP. Signatures stand; bodies follow. */
export class Stack {
  constructor(_options: StackOptions) {}
  /** Replaces the own addresses. Connections from removed addresses are left to their timers. */
  setAddresses(_addresses: readonly string[]): void {
    throw new Error('not yet');
  }
  get addresses(): readonly string[] {
    throw new Error('not yet');
  }
  /** One incoming IP packet, borrowed for the call. Call `poll` after the last of a batch. */
  input(_buf: Uint8Array, _offset: number, _length: number, _now: number): void {
    throw new Error('not yet');
  }
  /** End of a batch, or a timer: delivers events, sends acknowledgements and data, runs due timers. */
  poll(_now: number): void {
    throw new Error('not yet');
  }
  /** When `poll` is next needed if nothing else happens; undefined when idle. May lie in the past. */
  get nextTick(): number | undefined {
    throw new Error('not yet');
  }
  /** True stops new data segments (acknowledgements still go out): the link below is congested. */
  setOutputPaused(_paused: boolean): void {
    throw new Error('not yet');
  }
  connect(_options: ConnectOptions): TcpSocket {
    throw new Error('not yet');
  }
  listen(_options: ListenOptions): TcpListener {
    throw new Error('not yet');
  }
  bindUdp(_options: BindUdpOptions): UdpSocket {
    throw new Error('not yet');
  }
  ping(_options: PingOptions): Ping {
    throw new Error('not yet');
  }
  /** Counters by name; strangers' packets that were dropped are counted under `drop.*`. */
  counters(): Record<string, number> {
    throw new Error('not yet');
  }
}
