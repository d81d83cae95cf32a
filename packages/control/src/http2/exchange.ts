// The narrow door between HTTP/2 and those who answer requests: a whole request in, one answer or a stream of chunks out.

/** What carries the connection's bytes. */
export interface Transport {
  /** Takes ownership of the bytes. */
  send(bytes: Uint8Array): void;
  /** Bytes sent and not yet taken by the operating system. */
  readonly buffered: number;
  /** Called once, after everything sent; the connection is over. `reason` is for the log. */
  close(reason: string): void;
}

/** One request and the means to answer it, once. All calls after the end are ignored. */
export interface Exchange {
  readonly method: string;
  /** With query. */
  readonly path: string;
  /** At most MAX_BODY of the connection. */
  readonly body: Uint8Array;
  /** Called once if the client gave up before the answer was complete. */
  onClose: (() => void) | undefined;
  reply(status: number, contentType: string, body: Uint8Array): void;
  /** Begins a 200 answer of unknown length. */
  stream(): BodyStream;
}

export interface BodyStream {
  /** Queues a borrowed chunk, never changed afterwards by either side. */
  write(chunk: Uint8Array): void;
  /** Bytes accepted and not yet taken by the operating system, those of other streams included. */
  readonly queued: number;
  end(): void;
  /** Drops what is queued and resets the stream. */
  abort(): void;
}
