// The package's one error class.

export type ControlErrorCode =
  /** The database file is damaged, or no SQLite database at all. */
  | 'ERR_DATABASE_CORRUPT'
  /** The file is a database, but of another program, or written by a later version of this one. */
  | 'ERR_DATABASE_FOREIGN'
  /** Another process (or another server in this one) holds the database. */
  | 'ERR_DATABASE_LOCKED'
  /** The database could not be opened or written; what was asked for did not happen. */
  | 'ERR_DATABASE_IO'
  /** The thing named does not exist. */
  | 'ERR_NOT_FOUND'
  /** An argument is not of the form required. */
  | 'ERR_INVALID_ARGUMENT'
  /** What was asked for contradicts what exists: name taken, user has nodes, ... */
  | 'ERR_CONFLICT'
  /** The policy text is not valid; the message names the place. */
  | 'ERR_POLICY'
  /** No address, or no room in a bounded table, is left. */
  | 'ERR_EXHAUSTED'
  /** The server is closed. */
  | 'ERR_CLOSED';

/** What the coordination server throws at its caller. What strangers send never becomes one of these. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly code: ControlErrorCode;
  constructor(code: ControlErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
