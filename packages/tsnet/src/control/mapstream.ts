// The map stream: one request whose answer goes on, message after message, for as long as both sides live.
import { encodeJson, MAX_JSON_BYTES } from '@cove/protocol/json';
import {
  MapFrameReader,
  type MapRequest,
  type MapResponse,
  parseMapResponse,
} from '@cove/protocol/mapmessage';
import type { Clock, Timer } from '../clock.ts';
import { TsnetError } from '../errors.ts';
import type { ControlConnection } from './connection.ts';
import { expectOk } from './register.ts';

/** Without a complete message for this long the stream is dead; servers send one every minute. */
export const WATCHDOG = 120_000;

export interface MapStreamOptions {
  readonly connection: ControlConnection;
  readonly request: MapRequest;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called for each message in turn; the next is not read before it is done. */
  message(message: MapResponse): Promise<void> | void;
}

/**
 * Resolves when the server ends the stream. Throws ERR_CONTROL_UNREACHABLE (lost, or silent for 120 seconds),
 * ERR_CONTROL_STATUS, ERR_CONTROL_PROTOCOL (what it sends makes no sense), or the signal's reason.
 */
export async function runMapStream(options: MapStreamOptions): Promise<void> {
  const { connection, clock, request } = options;
  const abort = new AbortController();
  const onAbort = (): void => abort.abort(options.signal.reason);
  let watchdog: Timer | undefined;
  const rearm = (): void => {
    watchdog?.cancel();
    watchdog = clock.schedule(WATCHDOG, () => {
      abort.abort(
        new TsnetError(
          'ERR_CONTROL_UNREACHABLE',
          `the control server has been silent for ${WATCHDOG / 1000} seconds`,
        ),
      );
      connection.close();
    });
  };
  if (options.signal.aborted) throw options.signal.reason;
  options.signal.addEventListener('abort', onAbort, { once: true });
  rearm();
  try {
    const response = await connection.request({
      method: 'POST',
      path: '/machine/map',
      body: encodeJson(request),
      headers: { 'ts-lb': request.NodeKey },
      signal: abort.signal,
    });
    await expectOk(response, 'the map request');
    const frames = new MapFrameReader(MAX_JSON_BYTES);
    for await (const chunk of response.body) {
      for (const payload of understand(() => frames.push(chunk))) {
        const message = understand(() => parseMapResponse(payload));
        await options.message(message);
        rearm();
      }
    }
  } finally {
    watchdog?.cancel();
    options.signal.removeEventListener('abort', onAbort);
  }
}

function understand<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new TsnetError(
      'ERR_CONTROL_PROTOCOL',
      `the control server sends a map this node cannot read: ${(cause as Error).message}`,
      { cause },
    );
  }
}
