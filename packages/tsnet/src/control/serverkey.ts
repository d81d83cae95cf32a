// GET /key?v=<version>: the coordination server's Noise key. The one request whose TLS certificate decides whom we
// trust.
import http from 'node:http';
import https from 'node:https';
import { utf8Decode } from '@cove/protocol/bytes';
import { isZeroKey, type MachinePublic, parseMachinePublic } from '@cove/protocol/keys';
import { TsnetError } from '../errors.ts';
import type { ControlUrl } from './controlurl.ts';
import { connectError } from './problems.ts';

const MAX_BODY = 64 * 1024;

export interface ServerKeyOptions {
  readonly url: ControlUrl;
  /** Capability version claimed. */
  readonly version: number;
  /** PEM certificates trusted besides the system's. */
  readonly ca?: string | readonly string[] | undefined;
  readonly signal: AbortSignal;
}

/**
 * Throws ERR_CONTROL_UNREACHABLE, ERR_CONTROL_TLS, ERR_CONTROL_CLOCK, ERR_CONTROL_NOT_TAILSCALE (something else
 * answers there), ERR_CONTROL_STATUS (a proxy or server in trouble).
 */
export async function fetchServerKey(options: ServerKeyOptions): Promise<MachinePublic> {
  const { url, version } = options;
  const { status, location, body } = await get(options, `${url.basePath}/key?v=${version}`);
  if (status >= 500) {
    throw new TsnetError(
      'ERR_CONTROL_STATUS',
      `the control server ${url.text} answers ${status} to a request for its key`,
    );
  }
  if (status !== 200) {
    const where = location === undefined ? '' : `, redirecting to ${location}`;
    throw notTailscale(url, `it answers ${status} to a request for its key${where}`);
  }
  let key: unknown;
  try {
    key = (JSON.parse(utf8Decode(body)) as { publicKey?: unknown } | null)?.publicKey;
  } catch (cause) {
    throw notTailscale(url, 'its answer to a request for its key is not JSON', cause);
  }
  if (typeof key !== 'string') throw notTailscale(url, 'its answer holds no key');
  try {
    const parsed = parseMachinePublic(key);
    if (!isZeroKey(parsed)) return parsed;
  } catch (cause) {
    throw notTailscale(url, 'its answer holds no key', cause);
  }
  throw notTailscale(url, 'it is too old to have a key');
}

function notTailscale(url: ControlUrl, why: string, cause?: unknown): TsnetError {
  return new TsnetError(
    'ERR_CONTROL_NOT_TAILSCALE',
    `${url.text} is not a Tailscale control server: ${why}`,
    { cause },
  );
}

interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: Uint8Array;
}

function get(options: ServerKeyOptions, path: string): Promise<Answer> {
  const { url, signal } = options;
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => {
      reject(signal.aborted ? signal.reason : connectError(url, cause));
    };
    const base = { host: url.host, port: url.port, path, signal, agent: false } as const;
    const ca = options.ca === undefined ? {} : { ca: [options.ca].flat() as string[] };
    const request = url.secure ? https.get({ ...base, ...ca }) : http.get(base);
    request.on('error', fail);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('error', fail);
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_BODY) request.destroy(new Error(`more than ${MAX_BODY} bytes`));
        else chunks.push(chunk);
      });
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          location: response.headers.location,
          body: Buffer.concat(chunks),
        });
      });
    });
  });
}
