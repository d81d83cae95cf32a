// What the fuzzer in test/fuzz runs. Each package names its targets in testing/fuzz.ts; those are the files that know how
// its decoders are called.

export interface FuzzTarget {
  readonly name: string;
  /**
   * Feeds one input. Whatever it throws is a finding, so it catches the typed errors its decoder is allowed. The same
   * input must do the same thing every time.
   */
  readonly run: (input: Uint8Array) => void;
  /** Well-formed inputs to start from. */
  readonly seeds: readonly Uint8Array[];
  /** Byte strings that comparisons of the decoder look for and chance would not find. */
  readonly words?: readonly Uint8Array[];
  /** Longest input worth trying; default 2048. */
  readonly maxLength?: number;
}

/** Runs `decode`; an error with a `code` of `allowed` is a proper answer to a malformed input. */
export function tolerate(allowed: (error: unknown) => boolean, decode: () => void): void {
  try {
    decode();
  } catch (error) {
    if (!allowed(error)) throw error;
  }
}
