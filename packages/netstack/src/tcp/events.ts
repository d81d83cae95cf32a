// Delivery of a connection's events to its handler, in an order a stream can follow: connected, urgent, readable, ended, writable,
// finished, closed.
import type { TcpContext } from './context.ts';
import { Socket, sendLimit } from './socket.ts';
import { Event, type Tcb } from './tcb.ts';

/** Calls the handler for what is due. Without a handler events wait. */
export function dispatch(ctx: TcpContext, tcb: Tcb): void {
  if (tcb.events & Event.ACCEPTED) {
    tcb.events &= ~Event.ACCEPTED;
    const { listener } = tcb;
    tcb.listener = undefined;
    const socket = tcb.socket ?? new Socket(ctx, tcb);
    if (listener === undefined || listener.closed) socket.abort();
    else listener.accept(socket);
  }
  const { socket, handler } = tcb;
  if (handler === undefined || socket === undefined) return;
  if (take(tcb, Event.CONNECTED)) handler.connected?.(socket);
  if (take(tcb, Event.URGENT)) handler.urgent?.(socket);
  if (take(tcb, Event.READABLE) && tcb.queue.length > 0) tcb.handler!.readable(socket);
  if (tcb.queue.length === 0 && take(tcb, Event.ENDED) && !tcb.readClosed) {
    tcb.handler!.ended?.(socket);
  }
  if (take(tcb, Event.WRITABLE) && tcb.wantsWritable) {
    const limit = sendLimit(ctx, tcb);
    if (tcb.finQueued) {
      tcb.wantsWritable = false;
    } else if (limit - tcb.ring.length >= limit / 4) {
      tcb.wantsWritable = false;
      tcb.handler!.writable?.(socket);
    }
  }
  if (take(tcb, Event.FINISHED)) tcb.handler!.finished?.(socket);
  // An orderly end waits until everything received was read.
  if (tcb.queue.length === 0 && (tcb.events & Event.ENDED) === 0 && take(tcb, Event.CLOSED)) {
    tcb.handler!.closed(socket, tcb.error);
    tcb.handler = undefined;
  }
}

function take(tcb: Tcb, event: number): boolean {
  if ((tcb.events & event) === 0) return false;
  tcb.events &= ~event;
  return true;
}
