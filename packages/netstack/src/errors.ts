// The one error class of this package, and the codes it and the sockets report.
// Codes are Node's, so that a connection through the stack fails like a `net.Socket`.

/** Why a TCP connection ended other than by an orderly close. */
export type TcpErrorCode =
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'ECONNABORTED'
  | 'ETIMEDOUT'
  | 'EHOSTUNREACH'
  | 'ENETUNREACH';

/** What a call on the stack can fail with. */
export type NetstackErrorCode =
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EAFNOSUPPORT'
  | 'EINVAL'
  | 'EMSGSIZE'
  | 'ENOBUFS'
  | 'ERR_CLOSED';

/** Thrown by calls of the application; never by packets from the network. */
export class NetstackError extends Error {
  override readonly name = 'NetstackError';
  readonly code: NetstackErrorCode;
  constructor(code: NetstackErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
