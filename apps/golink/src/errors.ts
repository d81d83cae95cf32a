// What can go wrong in golink: one class, a stable code, and the HTTP status each code answers with.

export type GolinkErrorCode =
  /** No link of that name. */
  | 'ERR_NOT_FOUND'
  /** A name that no link can have. */
  | 'ERR_NAME'
  /** A destination that cannot be saved: empty, a scheme that runs script, a template that does not parse. */
  | 'ERR_DESTINATION'
  /** A destination that uses something of the template language this version does not have. */
  | 'ERR_UNSUPPORTED'
  /** The destination's template failed while it ran: unknown field, wrong type, budget spent. */
  | 'ERR_TEMPLATE'
  /** What the template gave is no URL that may be redirected to. */
  | 'ERR_LOCATION'
  /** The destination uses `.User` and the caller is unknown. */
  | 'ERR_USER_REQUIRED'
  /** Links that lead to each other without end. */
  | 'ERR_LOOP'
  | 'ERR_FORBIDDEN'
  /** Another link has the name. */
  | 'ERR_TAKEN'
  /** The link was changed since the caller looked. */
  | 'ERR_CONFLICT'
  | 'ERR_OWNER'
  | 'ERR_TOKEN'
  /** An API token that is unknown, expired or revoked. */
  | 'ERR_API_TOKEN'
  /** A method the address does not have. */
  | 'ERR_METHOD'
  | 'ERR_IDENTITY'
  | 'ERR_READ_ONLY'
  | 'ERR_REQUEST'
  | 'ERR_DATABASE'
  | 'ERR_DATABASE_CORRUPT'
  | 'ERR_DATABASE_FOREIGN'
  | 'ERR_CLOSED';

const STATUS: Readonly<Record<GolinkErrorCode, number>> = {
  ERR_NOT_FOUND: 404,
  ERR_NAME: 400,
  ERR_DESTINATION: 400,
  ERR_UNSUPPORTED: 500,
  ERR_TEMPLATE: 500,
  ERR_LOCATION: 500,
  ERR_USER_REQUIRED: 401,
  ERR_LOOP: 500,
  ERR_FORBIDDEN: 403,
  ERR_TAKEN: 409,
  ERR_CONFLICT: 412,
  ERR_OWNER: 400,
  ERR_TOKEN: 400,
  ERR_API_TOKEN: 401,
  ERR_METHOD: 405,
  ERR_IDENTITY: 500,
  ERR_READ_ONLY: 405,
  ERR_REQUEST: 400,
  ERR_DATABASE: 500,
  ERR_DATABASE_CORRUPT: 500,
  ERR_DATABASE_FOREIGN: 500,
  ERR_CLOSED: 503,
};

/** The message is a sentence for the person who asked; `cause` is kept. */
export class GolinkError extends Error {
  override readonly name = 'GolinkError';
  readonly code: GolinkErrorCode;
  /** HTTP status to answer with. */
  readonly status: number;

  constructor(code: GolinkErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.status = STATUS[code];
  }
}
