// DERP inside WebSocket (RFC 6455), for browsers and proxies that know nothing else: subprotocol `derp`, binary
// messages that are one continuous byte stream, no compression.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';

const SUBPROTOCOL = 'derp';
const MAX_MESSAGE = 1 << 20;
/** Stock relays end a connection at a message of more than 32 KiB, whatever frames it holds. */
const MAX_SENT = 16 << 10;
const POLICY_VIOLATION = 1008;
const UNSUPPORTED_DATA = 1003;

function byteStream(socket: WebSocket): Duplex {
  socket.on('message', (_data, isBinary) => {
    if (!isBinary) socket.close(UNSUPPORTED_DATA);
  });
  const stream = createWebSocketStream(socket);
  stream._write = (chunk: Buffer, _encoding, done) => {
    let at = 0;
    for (; chunk.length - at > MAX_SENT; at += MAX_SENT)
      socket.send(chunk.subarray(at, at + MAX_SENT));
    socket.send(chunk.subarray(at), done);
  };
  return stream;
}

/** Completes upgrades; hands over the byte stream of each that speaks the subprotocol. */
export class WebSocketUpgrader {
  readonly #server: WebSocketServer = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MAX_MESSAGE,
    perMessageDeflate: false,
    handleProtocols: (offered) => offered.has(SUBPROTOCOL) && SUBPROTOCOL,
  });

  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    accept: (stream: Duplex) => void,
  ): void {
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      if (webSocket.protocol === SUBPROTOCOL) {
        accept(byteStream(webSocket));
      } else {
        webSocket.on('error', () => {});
        webSocket.close(POLICY_VIOLATION, 'subprotocol derp expected');
      }
    });
  }
}

/**
 * The client's end over a connected (TLS) socket. Rejects with what ws reports, or the signal's reason; the socket
 * is destroyed then.
 */
export function openWebSocket(
  socket: Duplex,
  hostHeader: string,
  signal: AbortSignal,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const webSocket = new WebSocket(`ws://${hostHeader}/derp`, SUBPROTOCOL, {
      createConnection: (() => socket) as never,
      maxPayload: MAX_MESSAGE,
      perMessageDeflate: false,
    });
    const onAbort = (): void => {
      webSocket.terminate();
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    webSocket.once('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      reject(error);
    });
    // Made before 'open', so that bytes right behind the response are not lost.
    const stream = byteStream(webSocket);
    stream.on('error', () => {});
    webSocket.once('open', () => {
      signal.removeEventListener('abort', onAbort);
      resolve(stream);
    });
  });
}
