// What an application of the stack sees: options, sockets, handlers. Types only; README.md is the manual.
// Units: times in milliseconds (fractional, monotonic), sizes in bytes, ports in host order, addresses as
// canonical text ('100.64.0.1', 'fd7a:115c:a1e0::1').
import type { TcpErrorCode } from './errors.ts';

export type TcpState =
  | 'CLOSED'
  | 'SYN-SENT'
  | 'SYN-RECEIVED'
  | 'ESTABLISHED'
  | 'FIN-WAIT-1'
  | 'FIN-WAIT-2'
  | 'CLOSE-WAIT'
  | 'CLOSING'
  | 'LAST-ACK'
  | 'TIME-WAIT';

/** Where outgoing packets are written. The default is one internal slot, reused for every packet. */
export interface SlotSource {
  /** The memory all slots lie in. Read anew for each packet, so it may be replaced between packets. */
  readonly buffer: Uint8Array;
  /** Offset of the next packet in `buffer`: a multiple of 4, with at least the MTU of room behind it. */
  next(): number;
}

export interface StackOptions {
  /** Largest IP packet sent and the basis of the MSS. Default 1280. */
  readonly mtu?: number;
  /** Source of unpredictable bytes for sequence numbers, ports and timestamps. */
  readonly randomBytes: (length: number) => Uint8Array;
  /**
   * Takes one outgoing IP packet at `buf[offset .. offset+length]`. The memory is borrowed for the call; the
   * callee may write into it, and into `headroom` bytes before and `tailroom` bytes after it.
   * Called from `input` and `poll` only.
   */
  readonly output: (buf: Uint8Array, offset: number, length: number) => void;
  /** Asks for a `poll` soon; called at most once between two polls, and never from inside `input` or `poll`. */
  readonly wake?: () => void;
  /** Free bytes before each packet, a multiple of 4. Default 16 (the WireGuard header). */
  readonly headroom?: number;
  /** Free bytes after the MTU. Default 32 (padding and tag). */
  readonly tailroom?: number;
  /** Packet memory of the caller, for example WebAssembly memory laid out as a train of slots. */
  readonly slots?: SlotSource;
  /**
   * Makes the chunks that `TcpSocket.read` returns; their content need not be zero. In Node `Buffer.allocUnsafeSlow` is
   * cheaper than the default, a new Uint8Array.
   */
  readonly allocate?: (length: number) => Uint8Array;
  /**
   * Segments with data that all connections together send in one poll; the rest has to wait for the next. Default 128. A
   * driver that hands in fewer packets between two polls than this drowns what it reads in what it sends.
   */
  readonly segmentsPerPoll?: number;
  /** Accept packets to any destination address, and let sockets use any local address. Default false. */
  readonly promiscuous?: boolean;
  /** A SYN no listener takes. The handshake waits until the request is accepted or refused; absent: reset. */
  readonly unhandledTcp?: (request: TcpRequest) => void;
  /** A datagram no socket takes; called from `input`. Return true if it was taken; otherwise ICMP port unreachable answers. */
  readonly unhandledUdp?: (datagram: UdpDatagram) => boolean;
  /** Three retransmissions in a row to this address went unanswered (RFC 9293 R1): try another path. */
  readonly pathSuspect?: (remoteAddress: string) => void;
  /** Ports for flows that name none: from here to 65535. Default 49152. */
  readonly firstEphemeralPort?: number;
  /** Settings of TCP. */
  readonly tcp?: Partial<TcpOptions>;
}

export interface TcpOptions {
  /** Receive buffer of a new connection. Default 256 KiB. */
  readonly receiveBuffer: number;
  /** What autotuning may grow it to. Default 8 MiB. */
  readonly receiveBufferLimit: number;
  /** What the send buffer may grow to. Default 6 MiB. */
  readonly sendBufferLimit: number;
  /** Bytes buffered over all connections beyond which windows stop growing. Default 256 MiB. */
  readonly memoryLimit: number;
  /** Bounds of the retransmission timeout. Default 200 and 60 000. */
  readonly rtoMin: number;
  readonly rtoMax: number;
  /** RFC 9293 R2: a connection whose data stays unanswered this long ends with ETIMEDOUT. Default 100 000. */
  readonly userTimeout: number;
  /** The same for a SYN. Default 180 000. */
  readonly connectTimeout: number;
  /** Twice the maximum segment lifetime. Default 60 000. */
  readonly timeWait: number;
  /** Longest wait of a closed socket for the FIN of the peer. Default 60 000. */
  readonly finWait2: number;
  /** Longest delay of an acknowledgement. Default 30. */
  readonly delayedAck: number;
  readonly congestion: 'cubic' | 'newreno';
  readonly sack: boolean;
  readonly timestamps: boolean;
  readonly windowScaling: boolean;
}

/**
 * Events of one connection. Called from `Stack.poll` only, so each may call anything on socket and stack.
 * Order: `connected` first, `closed` last and exactly once.
 */
export interface TcpHandler {
  /** The handshake of a `connect` is complete. Not called for accepted sockets. */
  connected?(socket: TcpSocket): void;
  /** Data was queued since the last call, at most once per batch. Take it with `read`, now or later. */
  readable(socket: TcpSocket): void;
  /** There is room again after `write` took less than it was given. */
  writable?(socket: TcpSocket): void;
  /** The peer calls attention to data up to `socket.urgentBytes` from here (RFC 9293 3.8.5); it is read in line. */
  urgent?(socket: TcpSocket): void;
  /** The peer has finished and everything it sent was read. */
  ended?(socket: TcpSocket): void;
  /** Our FIN (`shutdownWrite`) and all data before it are acknowledged. */
  finished?(socket: TcpSocket): void;
  /** Both directions are over. `error` is absent after an orderly close and after our own `abort`. */
  closed(socket: TcpSocket, error: TcpErrorCode | undefined): void;
}

export interface ConnectOptions {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Default: the first own address of the same family. */
  readonly localAddress?: string;
  /** Default: an unpredictable free port of 49152-65535 (RFC 6056). */
  readonly localPort?: number;
  readonly handler: TcpHandler;
  /** Longest wait for the handshake; then ETIMEDOUT. Default `TcpOptions.connectTimeout`. */
  readonly timeout?: number;
}

export interface ListenOptions {
  /** 0 picks a free port. */
  readonly port: number;
  /** Absent: every own address of both families. */
  readonly address?: string;
  /** Handshakes under way at once; one source gets at most two thirds, and SYNs beyond that come again. Default 256. */
  readonly backlog?: number;
  /** The handshake of a connection is complete. Set `socket.handler`, at once or later. */
  readonly accept: (socket: TcpSocket) => void;
}

export interface TcpListener {
  readonly port: number;
  readonly address: string | undefined;
  /** Stops listening and drops handshakes under way; accepted connections live on. */
  close(): void;
}

export interface KeepAliveOptions {
  /** Idle time before the first probe. Default 7 200 000. */
  readonly idle?: number;
  /** Time between probes. Default 75 000. */
  readonly interval?: number;
  /** Unanswered probes before ETIMEDOUT. Default 9. */
  readonly probes?: number;
}

export interface TcpSocket {
  /** May be set at any time; events that are already due are delivered to the new handler. */
  handler: TcpHandler;
  readonly state: TcpState;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Payload bytes taken by `read` or still queued for it. */
  readonly bytesReceived: number;
  /** Payload bytes accepted by `write`. */
  readonly bytesSent: number;
  /** Accepted by `write` and not yet acknowledged. */
  readonly unacknowledged: number;
  /** How many bytes `write` would take now. */
  readonly writable: number;
  /** Queued for `read`. */
  readonly readable: number;
  /** The peer has finished and everything it sent was read: `read` will give nothing more. */
  readonly readEnded: boolean;
  /** How far the urgent data reaches beyond what was read; 0 without any. */
  readonly urgentBytes: number;
  /** What ICMP reported of late and may pass (RFC 9293 MUST-56); the reason given should the connection time out. */
  readonly softError: TcpErrorCode | undefined;
  /** Smoothed round-trip time, or undefined before the first sample. */
  readonly roundTripTime: number | undefined;
  /** Copies as much of `bytes[offset ..]` as there is room for; returns how many bytes. 0 once closed for writing. */
  write(bytes: Uint8Array, offset?: number): number;
  /** Next chunk of received data, owned by the caller; undefined when none is queued. Reading opens the window. */
  read(): Uint8Array | undefined;
  /** Sends FIN after everything written. Receiving goes on. */
  shutdownWrite(): void;
  /**
   * Closes both directions: sends what was written, then FIN, and takes nothing more from the peer.
   * With data unread, or when more arrives, the peer gets RST (RFC 9293 3.6 SHLD-3).
   */
  close(): void;
  /** Resets the connection at once. */
  abort(): void;
  setNoDelay(on: boolean): void;
  /** Undefined turns keep-alive off. */
  setKeepAlive(options: KeepAliveOptions | undefined): void;
  /** R2 of this connection (RFC 9293 MUST-21), instead of `TcpOptions.userTimeout`. Throws RangeError unless positive. */
  setUserTimeout(ms: number): void;
  /** Type of service or traffic class of what is sent from now on (MUST-48). The two ECN bits are cleared. Throws RangeError. */
  setTypeOfService(value: number): void;
  /** TTL or hop limit of what is sent from now on (MUST-49). Default 64. Throws RangeError unless 1 to 255. */
  setHopLimit(hops: number): void;
}

/** A SYN that waits for a verdict (subnet routing: dial first, then complete the handshake). */
export interface TcpRequest {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Completes the handshake; `connected` of the handler tells when. */
  accept(handler: TcpHandler): TcpSocket;
  /** Answers RST. */
  refuse(): void;
  /** Forgets the request without an answer. */
  ignore(): void;
}

export interface UdpDatagram {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Owned by the receiver. */
  readonly bytes: Uint8Array;
}

export interface BindUdpOptions {
  /** 0 picks a free port. */
  readonly port: number;
  /** Absent: every own address of both families. */
  readonly address?: string;
  /** Called from `Stack.poll`. */
  readonly receive: (datagram: UdpDatagram) => void;
  /** An ICMP error about a datagram sent to this destination. Called from `Stack.poll`. */
  readonly error?: (code: TcpErrorCode, remoteAddress: string, remotePort: number) => void;
}

export interface UdpTarget {
  readonly address: string;
  readonly port: number;
  /** Source address; default the bound one, else the first own address of the family. */
  readonly localAddress?: string;
}

export interface UdpSocket {
  readonly port: number;
  readonly address: string | undefined;
  /**
   * Queues one datagram for the next poll (copied); longer than the MTU goes out in fragments.
   * False when the queue is full or no own address has the family. Throws EMSGSIZE over 65 507 bytes, ERR_CLOSED.
   */
  send(to: UdpTarget, bytes: Uint8Array): boolean;
  close(): void;
}

export interface PingOptions {
  readonly address: string;
  /** Echo payload; default 32 zero bytes. */
  readonly payload?: Uint8Array;
  /** Default 5000. */
  readonly timeout?: number;
  /** Called from `Stack.poll`, exactly once unless cancelled. */
  readonly done: (result: PingResult) => void;
}

export type PingResult =
  | { readonly ok: true; readonly roundTripTime: number; readonly payload: Uint8Array }
  | { readonly ok: false; readonly error: TcpErrorCode };

export interface Ping {
  cancel(): void;
}
