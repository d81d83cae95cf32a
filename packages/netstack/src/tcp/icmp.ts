// What an ICMP error does to the connection it names (RFC 9293 3.9.2.2, RFC 5927). The caller has checked that the quoted
// segment is in flight.
import type { IcmpError } from '../wire/icmp.ts';
import { fail } from './close.ts';
import type { TcpContext } from './context.ts';
import { packetTooBig } from './pathmtu.ts';
import { State, type Tcb } from './tcb.ts';

export function icmpErrorArrives(ctx: TcpContext, tcb: Tcb, seq: number, fault: IcmpError): void {
  if (fault.mtu !== undefined) {
    packetTooBig(ctx, tcb, seq, fault.mtu);
  } else if (tcb.state === State.SYN_SENT && fault.hard) {
    fail(ctx, tcb, fault.code);
    ctx.owner.release(tcb);
  } else {
    // May pass; kept for the case that the connection times out (MUST-56, RFC 5461).
    tcb.softError = fault.code === 'ECONNREFUSED' ? 'EHOSTUNREACH' : fault.code;
  }
}
