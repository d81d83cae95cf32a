// Tokens for forms that change something: base64url(HMAC-SHA-256(key, [caller, action, issued] as JSON)) ":" issued,
// issued being milliseconds since the epoch.
import { createHmac, timingSafeEqual } from 'node:crypto';

/** How long a form may stay open. */
export const TOKEN_LIFETIME_MS: number = 24 * 60 * 60 * 1000;
/** A token may seem this far in the future, for replicas whose clocks differ. */
const CLOCK_SKEW_MS = 60_000;

export class FormTokens {
  readonly #key: Uint8Array;
  readonly #now: () => number;

  /** `key`: at least 16 secret bytes, copied; keep it across restarts so that open forms survive them. */
  constructor(key: Uint8Array, now: () => number = Date.now) {
    if (key.length < 16) throw new RangeError(`key: at least 16 bytes, got ${key.length}`);
    this.#key = Uint8Array.from(key);
    this.#now = now;
  }

  issue(caller: string, action: string): string {
    const issued = String(Math.floor(this.#now()));
    return `${this.#mac(caller, action, issued)}:${issued}`;
  }

  verify(token: string, caller: string, action: string): boolean {
    const match = /^([A-Za-z0-9_-]{43}):(\d{1,15})$/.exec(token);
    if (match === null) return false;
    const age = this.#now() - Number(match[2]);
    if (age >= TOKEN_LIFETIME_MS || age < -CLOCK_SKEW_MS) return false;
    return timingSafeEqual(
      Buffer.from(match[1]!),
      Buffer.from(this.#mac(caller, action, match[2]!)),
    );
  }

  #mac(caller: string, action: string, issued: string): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([caller, action, issued]))
      .digest('base64url');
  }
}
