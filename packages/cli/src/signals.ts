// Ctrl-C and SIGTERM: the first asks everything to end in order, a second ends at once.

export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
  /** Resolves when the person or the system asks for the end. */
  readonly asked: Promise<void>;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** What a shell reports for a program ended by SIGINT. */
const INTERRUPTED = 130;

export function onInterruption(): Interruption {
  const controller = new AbortController();
  let resolve: () => void;
  const asked = new Promise<void>((done) => {
    resolve = done;
  });
  const handle = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort(new Interrupted());
    resolve();
  };
  for (const name of SIGNALS) process.on(name, handle);
  return {
    signal: controller.signal,
    asked,
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, handle);
    },
  };
}

/** The reason of an abort that somebody asked for: not a failure worth a sentence. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly code = 'ERR_INTERRUPTED';
  constructor() {
    super('interrupted');
  }
}
