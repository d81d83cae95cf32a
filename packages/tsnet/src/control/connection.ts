// HTTP/2 over a Noise stream, behind the narrow interface the control client needs.
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { Duplex } from 'node:stream';
import { TsnetError } from '../errors.ts';
import type { ControlUrl } from './controlurl.ts';
import { http2Body } from './http2body.ts';

export interface ControlRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface ControlResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The body as it arrives; leaving the iteration early cancels the rest. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface ControlConnection {
  readonly closed: boolean;
  /** Settles when the connection has ended, whatever ended it. */
  readonly ended: Promise<void>;
  /** Resolves with the response's head. Rejects with the signal's reason, or ERR_CONTROL_UNREACHABLE. */
  request(request: ControlRequest): Promise<ControlResponse>;
  close(): void;
}

const STREAM_WINDOW = 4 * 1024 * 1024;
const CONNECTION_WINDOW = 16 * 1024 * 1024;

export function openHttp2(url: ControlUrl, stream: Duplex): ControlConnection {
  const host = url.host.includes(':') ? `[${url.host}]` : url.host;
  const session = connect(`https://${host}:${url.port}`, {
    createConnection: () => stream,
    settings: { enablePush: false, initialWindowSize: STREAM_WINDOW, maxHeaderListSize: 64 * 1024 },
  });
  return new Http2Connection(url, session, stream);
}

class Http2Connection implements ControlConnection {
  readonly ended: Promise<void>;
  readonly #url: ControlUrl;
  readonly #session: ClientHttp2Session;
  readonly #stream: Duplex;
  #failure: Error | undefined;

  constructor(url: ControlUrl, session: ClientHttp2Session, stream: Duplex) {
    this.#url = url;
    this.#session = session;
    this.#stream = stream;
    session.on('error', (error) => {
      this.#failure ??= error;
    });
    stream.on('error', (error) => {
      this.#failure ??= error;
    });
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(CONNECTION_WINDOW);
    });
    // A stream that dies under the session leaves it open on some errors; one ends with the other.
    stream.once('close', () => session.destroy());
    this.ended = new Promise((resolve) => {
      session.once('close', () => {
        stream.destroy();
        resolve();
      });
    });
  }

  get closed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  request(request: ControlRequest): Promise<ControlResponse> {
    const { signal } = request;
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      if (this.closed) {
        reject(this.#lost());
        return;
      }
      let stream: ClientHttp2Stream;
      try {
        stream = this.#session.request(
          {
            ...request.headers,
            [constants.HTTP2_HEADER_METHOD]: request.method,
            [constants.HTTP2_HEADER_PATH]: request.path,
          },
          { endStream: request.body === undefined },
        );
      } catch (cause) {
        reject(this.#lost(cause));
        return;
      }
      const onAbort = (): void => {
        reject(signal.reason);
        stream.close(constants.NGHTTP2_CANCEL);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      stream.on('error', (cause) => reject(this.#lost(cause)));
      stream.on('close', () => {
        signal.removeEventListener('abort', onAbort);
        reject(this.#lost());
      });
      stream.on('response', (headers) => {
        resolve({
          status: Number(headers[':status'] ?? 0),
          headers,
          body: http2Body(stream, (cause) => (signal.aborted ? signal.reason : this.#lost(cause))),
        });
      });
      if (request.body !== undefined) stream.end(request.body);
    });
  }

  #lost(cause: unknown = this.#failure): TsnetError {
    const why = cause instanceof Error && cause.message !== '' ? `: ${cause.message}` : '';
    return new TsnetError(
      'ERR_CONTROL_UNREACHABLE',
      `the connection to the control server ${this.#url.text} was lost${why}`,
      { cause },
    );
  }

  close(): void {
    // The session follows. Destroyed first, it would write a last frame, and Node asserts that none is under way.
    this.#stream.destroy();
  }
}

/** A whole body of at most `limit` bytes. Throws ERR_CONTROL_PROTOCOL beyond. */
export async function readBody(response: ControlResponse, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    if (length > limit) {
      throw new TsnetError('ERR_CONTROL_PROTOCOL', `an answer of more than ${limit} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
