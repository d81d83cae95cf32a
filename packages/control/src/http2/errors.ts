// HTTP/2 error codes (RFC 9113 section 7) as the connection's one error.

export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  ENHANCE_YOUR_CALM: 0xb,
} as const;

export type Http2ErrorCode = keyof typeof ErrorCode;

/** Ends the connection with GOAWAY and this code. */
export class Http2Error extends Error {
  override readonly name = 'Http2Error';
  readonly code: Http2ErrorCode;
  constructor(code: Http2ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
