// The one error class of this package.

export type NativeErrorCode =
  /** The addon is not there: not Linux, no compiler at installation, or switched off. */
  | 'ERR_NOT_BUILT'
  /** Root or CAP_NET_ADMIN is needed. */
  | 'ERR_PERMISSION'
  /** The kernel offers no TUN devices here. */
  | 'ERR_NO_TUN'
  | 'ERR_NAME_IN_USE'
  /** No name for a network interface. */
  | 'ERR_NAME'
  /** Another system call failed; `cause` has its error. */
  | 'ERR_SYSTEM';

export class NativeError extends Error {
  override readonly name: string = 'NativeError';
  readonly code: NativeErrorCode;

  constructor(code: NativeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
