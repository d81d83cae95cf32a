// The one error class of the node. Codes are stable and part of the public API: Node's own where a tailnet
// connection fails as a net.Socket would, and ERR_ names where the failure belongs to the tailnet.

export type TsnetErrorCode =
  // As node:net and node:dns name them.
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'ECONNABORTED'
  | 'ETIMEDOUT'
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EHOSTUNREACH'
  | 'ENETUNREACH'
  | 'ENOTFOUND'
  | 'EPIPE'
  | 'EMSGSIZE'
  | 'EINVAL'
  // Reaching and trusting the coordination server.
  | 'ERR_CONTROL_UNREACHABLE'
  | 'ERR_CONTROL_NOT_TAILSCALE'
  | 'ERR_CONTROL_TLS'
  | 'ERR_CONTROL_CLOCK'
  | 'ERR_CONTROL_KEY'
  | 'ERR_CONTROL_PROTOCOL'
  | 'ERR_CONTROL_STATUS'
  // Login.
  | 'ERR_LOGIN_REFUSED'
  | 'ERR_LOGIN_REQUIRED'
  | 'ERR_MACHINE_NOT_AUTHORIZED'
  | 'ERR_AUTH_KEY'
  | 'ERR_AUTH_KEY_UNSUPPORTED'
  // State on disk.
  | 'ERR_STATE_LOCKED'
  | 'ERR_STATE_CORRUPT'
  | 'ERR_STATE_IO'
  // The machine's interface.
  /** No TUN devices here: not Linux, no addon, no /dev/net/tun. */
  | 'ERR_TUN_UNAVAILABLE'
  | 'ERR_TUN_PERMISSION'
  /** Taken, or no name for an interface. */
  | 'ERR_TUN_NAME'
  | 'ERR_TUN_SYSTEM'
  // Use of the API.
  | 'ERR_CLOSED'
  | 'ERR_NOT_RUNNING'
  | 'ERR_NO_ADDRESS'
  | 'ERR_NO_SUCH_PEER'
  /** A fault of this library; the cause has the stack. */
  | 'ERR_INTERNAL';

/** Facts about a failed call, named as node:net names them. */
export interface TsnetErrorFacts extends ErrorOptions {
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  /** The file concerned, for ERR_STATE_*. */
  readonly path?: string;
}

export class TsnetError extends Error {
  override readonly name: string = 'TsnetError';
  readonly code: TsnetErrorCode;
  declare readonly syscall?: string;
  declare readonly address?: string;
  declare readonly port?: number;
  declare readonly path?: string;

  constructor(code: TsnetErrorCode, message: string, facts?: TsnetErrorFacts) {
    super(message, facts?.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    if (facts?.syscall !== undefined) this.syscall = facts.syscall;
    if (facts?.address !== undefined) this.address = facts.address;
    if (facts?.port !== undefined) this.port = facts.port;
    if (facts?.path !== undefined) this.path = facts.path;
  }
}

/** The error of every call on something that has been closed. */
export function closedError(what: string): TsnetError {
  return new TsnetError('ERR_CLOSED', `${what} is closed`);
}
