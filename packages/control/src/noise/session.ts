// One client connection after the upgrade to ts2021: Noise records on the socket, HTTP/2 inside them, and the bounds on
// how long it may do nothing.
import type { Socket } from 'node:net';
import { ProtocolError } from '@cove/protocol/bytes';
import type { AcceptedInitiation } from '@cove/protocol/controlbase';
import type { MachinePublic } from '@cove/protocol/keys';
import { Http2Connection } from '../http2/connection.ts';
import type { Exchange } from '../http2/exchange.ts';
import type { Connection } from './admission.ts';

/** A connection that waits for no answer is closed after this: soon if no known node ever spoke on it. */
const STRANGER_IDLE_MS = 30_000;
const KNOWN_IDLE_MS = 10 * 60_000;
/** Bytes are waiting for the client and it takes none of them. */
const STALLED_MS = 60_000;
/** Detects a client that vanished without a word; its map stream has no other traffic from its side. */
const TCP_KEEPALIVE_MS = 30_000;

export interface SessionOptions {
  readonly socket: Socket;
  readonly accepted: AcceptedInitiation;
  /** What sourceOf says of its peer. */
  readonly source: string | undefined;
  readonly onRequest: (session: Session, exchange: Exchange) => void;
  readonly onEnd: (session: Session, reason: string) => void;
  /** Our own mistake; it costs the connection and nothing else. */
  readonly onFault: (session: Session, error: unknown) => void;
}

export class Session implements Connection {
  readonly machine: MachinePublic;
  readonly source: string | undefined;
  /** A request on this connection named a node of its machine. */
  known = false;
  readonly #socket: Socket;
  readonly #http2: Http2Connection;
  #lastActivity: number;
  #written = 0;
  #stalledSince: number | undefined;
  #ended = false;
  #reason = 'closed by the client';

  /** head: bytes that came behind the upgrade request. The 101 head must have been written. */
  constructor(options: SessionOptions, head: Uint8Array) {
    const { socket, accepted } = options;
    const { channel } = accepted;
    this.machine = accepted.machine;
    this.source = options.source;
    this.#socket = socket;
    this.#lastActivity = performance.now();
    socket.setNoDelay(true);
    socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
    socket.setTimeout(0);
    socket.write(accepted.response);
    this.#http2 = new Http2Connection({
      transport: {
        send: (bytes) => {
          if (!socket.destroyed) socket.write(channel.seal(bytes));
        },
        get buffered() {
          return socket.writableLength;
        },
        close: (reason) => {
          this.#reason = reason;
          socket.end();
          socket.destroySoon();
        },
      },
      onRequest: (exchange) => {
        this.#lastActivity = performance.now();
        options.onRequest(this, exchange);
      },
      now: () => performance.now(),
    });
    const receive = (bytes: Uint8Array): void => {
      try {
        for (const plaintext of channel.push(bytes)) this.#http2.receive(plaintext);
      } catch (error) {
        if (!(error instanceof ProtocolError)) options.onFault(this, error);
        this.#reason = error instanceof Error ? error.message : String(error);
        socket.destroy();
      }
    };
    socket.on('data', receive);
    socket.on('error', (error) => {
      this.#reason = error.message;
    });
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      if (this.#ended) return;
      this.#ended = true;
      this.#http2.end();
      options.onEnd(this, this.#reason);
    });
    if (head.length > 0) receive(head);
    socket.resume();
  }

  /** Closes the connection if it has been idle, or its client stuck, for too long. */
  check(now: number): void {
    if (this.#http2.busy) {
      this.#lastActivity = now;
      this.#checkStalled(now);
      return;
    }
    if (now - this.#lastActivity > (this.known ? KNOWN_IDLE_MS : STRANGER_IDLE_MS)) {
      this.close('idle');
    }
  }

  #checkStalled(now: number): void {
    const written = this.#socket.bytesWritten - this.#socket.writableLength;
    if (this.#socket.writableLength === 0 || written !== this.#written) {
      this.#written = written;
      this.#stalledSince = undefined;
    } else if (this.#stalledSince === undefined) {
      this.#stalledSince = now;
    } else if (now - this.#stalledSince > STALLED_MS) {
      this.#reason = 'client takes no data';
      this.#socket.destroy();
    }
  }

  close(reason: string): void {
    this.#http2.close('NO_ERROR', reason);
    this.#reason = reason;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
