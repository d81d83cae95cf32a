// Asks the doorway for each service until it answers: only then is the tailnet ready, tunnel included.
import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Doorway, DoorwayService } from './doorway.ts';

const RETRY_MS = 100;

/** Resolves when every service has answered through the tunnel with anything below 500. Rejects with the signal's reason. */
export async function waitForDoorway(
  doorway: Doorway,
  services: readonly DoorwayService[],
  signal: AbortSignal,
): Promise<void> {
  for (const { name } of services) {
    while ((await statusOf(doorway.port, `${name}.localhost`, signal)) >= 500) {
      await delay(RETRY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

function statusOf(port: number, host: string, signal: AbortSignal): Promise<number> {
  return new Promise((done, fail) => {
    const headers = { host: `${host}:${port}`, accept: 'text/html' };
    const req = request({ host: '127.0.0.1', port, headers, agent: false, signal }, (res) => {
      res.resume();
      res.once('end', () => done(res.statusCode ?? 599));
      res.once('error', fail);
    });
    req.once('error', (error) => fail(signal.aborted ? signal.reason : error));
    req.end();
  });
}
