// The one error of this package.

export type DerpErrorCode =
  /** The connection or server was closed, here or by the other side. */
  | 'ERR_CLOSED'
  /** The other side did not answer in time. */
  | 'ERR_TIMEOUT'
  /** No node of the region could be reached; the cause is the last attempt's error. */
  | 'ERR_UNREACHABLE'
  /** The certificate is not the one expected. */
  | 'ERR_CERTIFICATE'
  /** The server answered the HTTP request with something else than an upgrade. */
  | 'ERR_REFUSED'
  /** The other side does not keep to DERP. */
  | 'ERR_PROTOCOL';

export class DerpError extends Error {
  override readonly name = 'DerpError';
  readonly code: DerpErrorCode;
  constructor(code: DerpErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
