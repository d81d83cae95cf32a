// Initial sequence numbers (RFC 9293 3.4.1, RFC 6528): a clock of 4 us plus a keyed hash of the four-tuple. The other half of
// the hash shifts the timestamp clock of the connection (RFC 7323 5.4).
import { sipHash } from '../siphash.ts';
import { putU16 } from '../wire/bigendian.ts';
import { seqAdd } from './seq.ts';
import type { Tcb } from './tcb.ts';

const TICKS_PER_MS = 250;

/** `secret`: 16 bytes that never leave. */
export function setInitialSequence(tcb: Tcb, secret: Uint8Array, now: number): void {
  const { local, remote } = tcb;
  const tuple = new Uint8Array(local.bytes.length + remote.bytes.length + 4);
  tuple.set(local.bytes);
  tuple.set(remote.bytes, local.bytes.length);
  putU16(tuple, tuple.length - 4, tcb.localPort);
  putU16(tuple, tuple.length - 2, tcb.remotePort);
  const [low, high] = sipHash(secret, tuple);
  tcb.iss = seqAdd(low, Math.floor(now * TICKS_PER_MS) >>> 0);
  tcb.tsOffset = high;
}
