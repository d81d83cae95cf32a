// One request and its answer over UDP with the gateway, repeated until answered or given up.
import { createSocket } from 'node:dgram';
import type { Timer } from '../clock.ts';
import type { Gateway, Surroundings } from './lease.ts';

export interface Patience {
  /** Milliseconds from the start at which the request is sent. */
  readonly sendAt: readonly number[];
  /** Milliseconds from the start. */
  readonly giveUpAfter: number;
}

/** Is anybody there? Twice before others stop waiting, then once more. */
export const PROBING: Patience = { sendAt: [0, 100, 500], giveUpAfter: 1_500 };
/** Doubling from 250 ms (RFC 6886 section 3.1), shorter than its 64 s: the node has other ways. */
export const ASKING: Patience = { sendAt: [0, 250, 750], giveUpAfter: 1_750 };
/** On the way out; the gateway forgets by itself in the end. */
export const LEAVING: Patience = { sendAt: [0, 250], giveUpAfter: 500 };

/**
 * Resolves with what `accept` makes of an answer; with undefined when none came in time, the gateway's port is
 * closed, or the signal is aborted. Never rejects. The socket is connected, so answers of others do not arrive.
 */
export function exchange<T>(
  { clock, counters, ports }: Surroundings,
  gateway: Gateway,
  request: Uint8Array,
  accept: (bytes: Uint8Array) => T | undefined,
  patience: Patience,
  signal: AbortSignal,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const timers: Timer[] = [];
    let done = false;
    const finish = (answer?: T): void => {
      if (done) return;
      done = true;
      for (const timer of timers) timer.cancel();
      signal.removeEventListener('abort', onAbort);
      socket.close();
      resolve(answer);
    };
    const onAbort = (): void => finish();
    const send = (): void => {
      // A closed port shows as an error of the socket or of the next send.
      if (!done) socket.send(request, (error) => error && finish());
    };
    socket.on('error', () => finish());
    socket.on('message', (bytes) => {
      const answer = accept(bytes);
      if (answer === undefined) counters.malformed++;
      else finish(answer);
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) {
      finish();
      return;
    }
    timers.push(clock.schedule(patience.giveUpAfter, () => finish()));
    socket.bind({ address: gateway.self, port: 0 }, () => {
      if (done) return;
      socket.connect(ports.natPmp, gateway.address, ((error?: Error) => {
        if (done) return;
        if (error) {
          finish();
          return;
        }
        for (const at of patience.sendAt) {
          if (at === 0) send();
          else timers.push(clock.schedule(at, send));
        }
      }) as () => void);
    });
  });
}
