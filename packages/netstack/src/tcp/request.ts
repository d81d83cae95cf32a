// A SYN that waits for its verdict: the connection is in SYN-RECEIVED, but its SYN-ACK is held back.
import type { TcpRequest } from '../api.ts';
import { Backlog } from './backlog.ts';
import type { TcpContext } from './context.ts';
import { Socket } from './socket.ts';
import { Event, State, type Tcb } from './tcb.ts';

/** Requests waiting for their verdict at once, and for how long. */
const LIMIT = 1024;
const TIMEOUT = 60_000;

export class HeldRequests {
  /** Without patience: no SYN-ACK was sent, so that nobody is reset who comes again. */
  readonly backlog: Backlog = new Backlog(LIMIT, 0);
  readonly #ctx: TcpContext;
  readonly #untold: { tcb: Tcb; unhandled: (request: TcpRequest) => void }[] = [];

  constructor(ctx: TcpContext) {
    this.#ctx = ctx;
  }

  /** The caller has made room in the backlog, and reschedules. */
  hold(tcb: Tcb, unhandled: (request: TcpRequest) => void): void {
    tcb.held = true;
    tcb.lingerAt = this.#ctx.now + TIMEOUT;
    this.#untold.push({ tcb, unhandled });
  }

  /** Asks the application about those that came since. */
  deliver(): void {
    for (const { tcb, unhandled } of this.#untold.splice(0)) {
      unhandled(tcpRequest(this.#ctx, tcb, () => this.backlog.remove(tcb)));
    }
  }
}

/** `decided` is called once, with the first verdict. */
function tcpRequest(ctx: TcpContext, tcb: Tcb, decided: () => void): TcpRequest {
  /** The peer may have given up, or the wait may have taken too long. */
  const decide = (): boolean => {
    if (!tcb.held || tcb.state !== State.SYN_RECEIVED) return false;
    tcb.held = false;
    tcb.lingerAt = Number.POSITIVE_INFINITY;
    decided();
    return true;
  };
  return {
    localAddress: tcb.local.text,
    localPort: tcb.localPort,
    remoteAddress: tcb.remote.text,
    remotePort: tcb.remotePort,
    accept(handler) {
      const socket = tcb.socket ?? new Socket(ctx, tcb);
      tcb.handler = handler;
      if (!decide() && (tcb.events & Event.CLOSED) === 0) {
        tcb.error = 'ECONNABORTED';
        tcb.events |= Event.CLOSED;
      }
      ctx.owner.touch(tcb);
      return socket;
    },
    refuse() {
      if (!decide()) return;
      tcb.aborting = true;
      ctx.owner.touch(tcb);
    },
    ignore() {
      if (!decide()) return;
      ctx.owner.release(tcb);
    },
  };
}
