// The body of an HTTP/2 response as it arrives. Read by events: Node 24 and later call a stream over another stream than a
// socket closed too early when it is iterated and ends at once.
import { type ClientHttp2Stream, constants } from 'node:http2';

/** Bytes held for a reader that is behind; then the sender's window fills. */
const MAX_HELD = 1024 * 1024;

/**
 * To be called while 'response' is emitted, so that nothing is missed. Leaving the iteration early cancels the rest. Throws
 * what `lost` makes of the cause when the stream did not end well.
 */
export function http2Body(
  stream: ClientHttp2Stream,
  lost: (cause?: unknown) => Error,
): AsyncIterable<Uint8Array> {
  const held: Uint8Array[] = [];
  let bytes = 0;
  let state: 'open' | 'ended' | Error = 'open';
  let wake = (): void => {};
  const settle = (to: 'ended' | Error): void => {
    if (state === 'open') state = to;
    wake();
  };
  stream.on('data', (chunk: Uint8Array) => {
    held.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_HELD) stream.pause();
    wake();
  });
  // A stream that ends with its connection ended early, not well.
  stream.on('end', () => settle(stream.rstCode === constants.NGHTTP2_NO_ERROR ? 'ended' : lost()));
  stream.on('error', (cause) => settle(lost(cause)));
  stream.on('close', () => settle(lost()));

  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = held.shift();
        if (chunk !== undefined) {
          bytes -= chunk.length;
          if (bytes <= MAX_HELD && stream.isPaused()) stream.resume();
          yield chunk;
        } else if (state === 'ended') return;
        else if (state !== 'open') throw state;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      stream.close(constants.NGHTTP2_CANCEL);
    }
  }
  return read();
}
