// Connections that the application is done with, whose last bytes are still on their way. A kernel would see to them
// after the process has gone; here the process, or the closing node, waits a moment.
import type { TcpSocket } from '@cove/netstack';
import type { Clock } from './clock.ts';
import type { LoopHold } from './loophold.ts';

/** Who does not acknowledge within this time keeps neither process nor node. */
const LINGER = 2_000;

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
    if (socket.state === 'CLOSED') return;
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

  /** Resolves once nothing is left, at the latest after the time a connection may linger. */
  async drained(): Promise<void> {
    if (this.#sockets.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
  }
}
