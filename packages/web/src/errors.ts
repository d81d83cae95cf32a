// What a page cannot do with a request: one class, a stable code, and the HTTP status it answers with.

export type WebErrorCode =
  | 'ERR_BODY_TOO_LARGE'
  | 'ERR_BODY_MALFORMED'
  | 'ERR_BODY_TYPE'
  | 'ERR_CROSS_SITE'
  | 'ERR_FOREIGN_HOST';

const STATUS: Readonly<Record<WebErrorCode, number>> = {
  ERR_BODY_TOO_LARGE: 413,
  ERR_BODY_MALFORMED: 400,
  ERR_BODY_TYPE: 415,
  ERR_CROSS_SITE: 403,
  ERR_FOREIGN_HOST: 421,
};

/** A request refused before the application saw it. The message is a sentence for the person who sent it. */
export class WebError extends Error {
  override readonly name = 'WebError';
  readonly code: WebErrorCode;
  /** HTTP status to answer with. */
  readonly status: number;

  constructor(code: WebErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.status = STATUS[code];
  }
}
