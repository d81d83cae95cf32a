// How long to wait after the n-th failure in a row: n² x 10 ms, give or take half, at most 30 seconds.

const LONGEST = 30_000;

/** Milliseconds. `random` is in [0, 1). */
export function backoffDelay(failures: number, random: number): number {
  const delay = Math.min(failures * failures * 10, LONGEST);
  return Math.min(delay * (0.5 + random), LONGEST);
}
