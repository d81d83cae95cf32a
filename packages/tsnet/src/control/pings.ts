// What the coordination server asks of a node between maps: a sign of life, or a small HTTP request carried inside
// the map stream (c2n) whose answer goes back over Noise.
import http from 'node:http';
import https from 'node:https';
import { utf8DecodeLossy, utf8Encode } from '@cove/protocol/bytes';
import { encodeJson } from '@cove/protocol/json';
import type { PingRequest } from '@cove/protocol/mapmessage';
import type { ControlConnection } from './connection.ts';
import { readBody } from './connection.ts';

const HEAD_TIMEOUT = 15_000;
const REPLY_TIMEOUT = 60_000;
const MAX_ANSWER = 64 * 1024;

/** Answers one PingRequest; failures are the caller's to log. Anything but a web address is ignored. */
export async function answerPing(
  ping: PingRequest,
  connection: ControlConnection,
  signal: AbortSignal,
): Promise<void> {
  let url: URL;
  try {
    url = new URL(ping.URL ?? '');
  } catch {
    return;
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return;
  const types = ping.Types ?? '';
  if (types === '') {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(HEAD_TIMEOUT)]);
    if (ping.URLIsNoise === true) await overNoise(connection, 'HEAD', url, undefined, limited);
    else await head(url, limited);
  } else if (types === 'c2n') {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(REPLY_TIMEOUT)]);
    await overNoise(connection, 'POST', url, answerC2n(ping.Payload ?? new Uint8Array(0)), limited);
  } else {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(HEAD_TIMEOUT)]);
    for (const type of types.split(',')) {
      const answer = { Type: type, IP: ping.IP ?? '', Err: 'this node does not send pings' };
      await overNoise(connection, 'POST', url, encodeJson(answer), limited);
    }
  }
}

async function overNoise(
  connection: ControlConnection,
  method: string,
  url: URL,
  body: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<void> {
  const response = await connection.request({
    method,
    path: `${url.pathname}${url.search}`,
    ...(body === undefined ? {} : { body }),
    headers: { ':authority': url.host },
    signal,
  });
  await readBody(response, MAX_ANSWER);
}

function head(url: URL, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const client = url.protocol === 'https:' ? https : http;
    const request = client.request(url, { method: 'HEAD', signal, agent: false }, (response) => {
      response.resume();
      response.on('end', resolve);
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });
}

/** The raw HTTP/1.1 answer to a raw HTTP/1.x request; `/echo` gives the body back, nothing else is known. */
export function answerC2n(payload: Uint8Array): Uint8Array {
  const end = Buffer.from(payload).indexOf('\r\n\r\n');
  const headEnd = end < 0 ? payload.length : end;
  const requestLine = utf8DecodeLossy(payload.subarray(0, headEnd)).split('\r\n')[0] ?? '';
  const [, , target = ''] = /^([A-Z]+) (\S+) HTTP\/1\.[01]$/.exec(requestLine) ?? [];
  const known = target.split('?')[0] === '/echo';
  const body = known
    ? payload.subarray(end < 0 ? payload.length : end + 4)
    : utf8Encode('unknown c2n path\n');
  const head = [
    `HTTP/1.1 ${known ? '200 OK' : '400 Bad Request'}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${body.length}`,
    'Connection: close',
    '',
    '',
  ].join('\r\n');
  return Buffer.concat([utf8Encode(head), body]);
}
