// Whether a gateway forgot its mappings, told from the seconds it has been counting (its epoch) in two answers.

export interface EpochSample {
  /** Seconds, as the gateway said. */
  readonly epoch: number;
  /** Milliseconds of our monotonic clock when it said so. */
  readonly at: number;
}

/**
 * RFC 6886 section 3.6: the gateway's count may run slow by an eighth; two seconds and more behind that, it began anew.
 */
export function natPmpLostState(before: EpochSample, now: EpochSample): boolean {
  const elapsed = (now.at - before.at) / 1000;
  return now.epoch + 2 < before.epoch + (elapsed * 7) / 8;
}

/**
 * RFC 6887 section 8.5: it began anew when its count ran backwards by more than a second, or when the two clocks
 * advanced by amounts that differ by more than a sixteenth and two seconds, whichever was faster.
 */
export function pcpLostState(before: EpochSample, now: EpochSample): boolean {
  const client = (now.at - before.at) / 1000;
  const server = now.epoch - before.epoch;
  if (server < -1) return true;
  return client + 2 < server - server / 16 || server + 2 < client - client / 16;
}
