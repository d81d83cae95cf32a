// Abort controllers in a chain, without listeners left behind on signals that outlive them.

/** A controller that follows a signal until it is unlinked. */
export function linked(signal: AbortSignal): { controller: AbortController; unlink(): void } {
  const controller = new AbortController();
  const follow = (): void => controller.abort(signal.reason);
  if (signal.aborted) follow();
  else signal.addEventListener('abort', follow, { once: true });
  return { controller, unlink: () => signal.removeEventListener('abort', follow) };
}
