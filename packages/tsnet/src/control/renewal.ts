// The new login of a node whose key has expired: with a new key, and for as long as it takes, while map streams under
// the old key come and go; one of them may yet say that the old key lives.
import { sleep } from '../clock.ts';
import { closedError, TsnetError } from '../errors.ts';
import type { Login } from '../profile.ts';
import { backoffDelay } from './backoff.ts';
import type { ControlConnection } from './connection.ts';
import { linked } from './linked.ts';
import { Registration, type RegistrationOptions } from './register.ts';

export interface RenewalOptions {
  readonly registration: RegistrationOptions;
  connect(): Promise<ControlConnection>;
  /** The server accepted the new key, which is stored. */
  renewed(login: Login): void;
  /** Why it is not done yet. */
  problem(error: TsnetError): void;
}

export class Renewal {
  readonly #options: RenewalOptions;
  #running: AbortController | undefined;
  #wake: (() => void) | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  get isPending(): boolean {
    return this.#running !== undefined;
  }

  /** Settles when the login is done, or given up. Never rejects. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Begins, unless it is under way. Ends with the signal. */
  start(signal: AbortSignal): void {
    if (this.#running !== undefined || signal.aborted) return;
    const running = linked(signal);
    this.#running = running.controller;
    this.#ended = this.#run(running.controller.signal)
      .catch(() => {})
      .finally(() => {
        running.unlink();
        if (this.#running === running.controller) this.#running = undefined;
      });
  }

  /** Gives it up: the old key lives on. */
  cancel(): void {
    this.#running?.abort(closedError('the login'));
    this.#running = undefined;
  }

  /** Tries again now. */
  wake(): void {
    this.#wake?.();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { registration: options, connect, renewed, problem } = this.#options;
    const registration = new Registration('renew', options);
    for (let failures = 1; ; failures++) {
      try {
        const login = await registration.run(await connect(), signal);
        this.#running = undefined;
        renewed(login);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof TsnetError) problem(error);
        options.log('warn', 'the login could not be renewed', { error });
        await this.#pause(backoffDelay(failures, Math.random()), signal);
      }
    }
  }

  async #pause(delay: number, signal: AbortSignal): Promise<void> {
    const pause = linked(signal);
    this.#wake = () => pause.controller.abort();
    try {
      await sleep(this.#options.registration.clock, delay, pause.controller.signal, true);
    } catch {
      // Woken, or given up.
      signal.throwIfAborted();
    } finally {
      this.#wake = undefined;
      pause.unlink();
    }
  }
}
