// HTTP with the gateway and nobody else: bounded in time and size, no redirects.
import { request as httpRequest } from 'node:http';
import type { Gateway, Surroundings } from './lease.ts';

/** Descriptions have some 5 kB, answers 500 bytes. */
const MAX_BODY = 65_536;
const MAX_HEADERS = 8_192;

export interface GatewayRequest {
  readonly method: 'GET' | 'POST';
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Milliseconds for the whole. */
  readonly timeout: number;
}

/** Undefined when nothing came, not all of it in time, or too much. Never rejects. */
export function askGateway(
  { clock }: Surroundings,
  gateway: Gateway,
  { method, port, path, headers, body, timeout }: GatewayRequest,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly body: string } | undefined> {
  return new Promise((resolve) => {
    const limit = new AbortController();
    const timer = clock.schedule(timeout, () => limit.abort());
    const finish = (answer?: { status: number; body: string }): void => {
      timer.cancel();
      resolve(answer);
      limit.abort();
    };
    try {
      const request = httpRequest({
        host: gateway.address,
        localAddress: gateway.self,
        port,
        path,
        method,
        headers: {
          ...headers,
          Connection: 'close',
          ...(body !== undefined && { 'Content-Length': String(Buffer.byteLength(body)) }),
        },
        agent: false,
        maxHeaderSize: MAX_HEADERS,
        signal: AbortSignal.any([signal, limit.signal]),
      });
      request.on('error', () => finish());
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > MAX_BODY) finish();
          else chunks.push(chunk);
        });
        response.on('end', () =>
          finish({
            status: response.statusCode ?? 0,
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        );
        response.on('error', () => finish());
      });
      request.end(body);
    } catch {
      // A path with characters that no request may have.
      finish();
    }
  });
}
