// Connections that the application is done with, whose last bytes are still on their way. A kernel would see to them
// after the process has gone; here the process, or the closing node, waits a moment.
import type { TcpHandler, TcpSocket, TcpState } from '@cove/netstack';
import type { Clock } from './clock.ts';
import type { LoopHold } from './loophold.ts';

/** Who does not acknowledge within this time keeps the process no longer. */
const LINGER = 2_000;
/** A node that closes waits no longer than this. */
const CLOSE_WAIT = 1_000;

/** Our end is acknowledged in these states, or there never was a connection. */
const NOTHING_UNSENT: ReadonlySet<TcpState> = new Set([
  'CLOSED',
  'SYN-SENT',
  'FIN-WAIT-2',
  'TIME-WAIT',
] as const);

const SILENT: TcpHandler = { readable: () => {}, closed: () => {} };

export class Linger {
  readonly #clock: Clock;
  readonly #hold: LoopHold;
  readonly #sockets: Set<TcpSocket> = new Set();
  #onEmpty: (() => void) | undefined;

  constructor(clock: Clock, hold: LoopHold) {
    this.#clock = clock;
    this.#hold = hold;
  }

  /** Closes the socket in good order. `holds`: the process waits for it. */
  close(socket: TcpSocket, holds: boolean): void {
    const { state } = socket;
    if (NOTHING_UNSENT.has(state)) {
      // It stays for a minute, and must not keep the connection; the others are over at once, which a dial waits for.
      if (state === 'FIN-WAIT-2' || state === 'TIME-WAIT') socket.handler = SILENT;
      socket.close();
      return;
    }
    const timer = this.#clock.schedule(LINGER, () => done());
    const done = (): void => {
      if (!this.#sockets.delete(socket)) return;
      timer.cancel();
      if (holds) this.#hold.release();
      if (this.#sockets.size === 0) this.#onEmpty?.();
    };
    this.#sockets.add(socket);
    if (holds) this.#hold.acquire();
    socket.handler = { readable: () => {}, finished: done, closed: done };
    socket.close();
  }

  /** Resolves once nothing is left, or after a second. */
  async drained(): Promise<void> {
    if (this.#sockets.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.schedule(CLOSE_WAIT, resolve, true);
      this.#onEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
