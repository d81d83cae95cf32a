// How long a command waits for a tailnet to let a node in.

/** Long enough for a slow server; a person at a login page has as long as it takes. */
const JOIN_TIMEOUT_MS = 15_000;

export interface Patience {
  /** Aborted with a TimeoutError when the time is over. */
  readonly signal: AbortSignal;
  /** Wait for ever. */
  extend(): void;
}

export function waitAtMost(milliseconds: number = JOIN_TIMEOUT_MS): Patience {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new DOMException('not in time', 'TimeoutError'));
  const timer = setTimeout(abort, milliseconds).unref();
  return { signal: controller.signal, extend: () => clearTimeout(timer) };
}
