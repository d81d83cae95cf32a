// HTTPS on a node of the tailnet with a certificate of one's own, for networks that grant none.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { Conn, Listener } from '@cove/tsnet';
import { CliError } from '../errors.ts';

export interface Certificate {
  readonly context: SecureContext;
  /** DNS names it is for, without wildcards. */
  readonly names: readonly string[];
}

/** PEM files; read once. Throws `ERR_INPUT_FILE`. */
export function readCertificate(certFile: string, keyFile: string): Certificate {
  try {
    const cert = readFileSync(certFile);
    const context = createSecureContext({ cert, key: readFileSync(keyFile) });
    const { subjectAltName = '' } = new X509Certificate(cert);
    const names = [...subjectAltName.matchAll(/DNS:([^,\s"*]+)/g)].map((match) => match[1]!);
    return { context, names };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(
      'ERR_INPUT_FILE',
      `the certificate ${certFile} with the key ${keyFile} cannot be used: ${why}`,
      { cause },
    );
  }
}

const HANDSHAKE_MS = 10_000;
/** The tunnel's end under a TLS connection: that is who calls. */
const ends: WeakMap<Duplex, Conn> = new WeakMap();

/** Hands every connection to `http` once its handshake is done. */
export function serveTls(listener: Listener, http: HttpServer, { context }: Certificate): void {
  listener.on('connection', (conn) => {
    const socket = new TLSSocket(conn, { isServer: true, secureContext: context });
    ends.set(socket, conn);
    const timer = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      conn.destroy();
    });
    socket.on('error', () => socket.destroy());
    socket.once('secure', () => {
      clearTimeout(timer);
      http.emit('connection', socket);
    });
  });
}

/** What the node can be asked about a request. */
export function tunnelEnd(req: IncomingMessage): IncomingMessage['socket'] | Conn {
  return ends.get(req.socket) ?? req.socket;
}
