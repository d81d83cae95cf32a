// TAI64N handshake timestamps (white paper section 5.1; https://cr.yp.to/libtai/tai64.html): 8 bytes big endian
// 2^62 + 10 + Unix seconds, 4 bytes nanoseconds. The low 24 bits of the nanoseconds are cleared, so that a stamp
// tells little about the machine's clock. A responder takes only stamps greater than the last: two stamps for one
// peer must never be equal, and a clock that steps back must not be followed.
import type { WallTime } from './types.ts';

export const TIMESTAMP_LENGTH = 12;

/** 2^24 ns, about 16.8 ms. */
const GRANULE = 0x100_0000;
const NANOS = 1_000_000_000;

export function encodeTai64n(time: WallTime): Uint8Array {
  const out = new Uint8Array(TIMESTAMP_LENGTH);
  const view = new DataView(out.buffer);
  const seconds = time.seconds + 10;
  view.setUint32(0, 0x4000_0000 + Math.floor(seconds / 2 ** 32));
  view.setUint32(4, seconds >>> 0);
  view.setUint32(8, time.nanos);
  return out;
}

/** Negative, zero or positive as a is before, equal to or after b. */
export function compareTai64n(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < TIMESTAMP_LENGTH; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

function isAfter(a: WallTime, b: WallTime): boolean {
  return a.seconds > b.seconds || (a.seconds === b.seconds && a.nanos > b.nanos);
}

/** The time with its low bits cleared, or the first later than `last` if it is not later already. */
export function stampAfter(time: WallTime, last: WallTime | undefined): WallTime {
  const stamp = { seconds: time.seconds, nanos: time.nanos - (time.nanos % GRANULE) };
  if (last === undefined || isAfter(stamp, last)) return stamp;
  const nanos = last.nanos + GRANULE;
  return nanos < NANOS ? { seconds: last.seconds, nanos } : { seconds: last.seconds + 1, nanos: 0 };
}

/** A wall clock that stands still where the one underneath steps back. */
export function steadyClock(wallClock: () => WallTime): () => WallTime {
  let latest: WallTime = { seconds: 0, nanos: 0 };
  return () => {
    const time = wallClock();
    if (isAfter(time, latest)) latest = time;
    return latest;
  };
}
