// Asking a gateway in one of the two protocols that share a port: it may answer in the other one.
import { exchange, type Patience } from './exchange.ts';
import type { Gateway, Surroundings } from './lease.ts';

/** What both protocols answer with. */
interface Response {
  readonly type: string;
  /** Seconds that the gateway has been counting. */
  readonly epoch: number;
}

/** undefined: nobody answered in time. */
export type Answer<R extends Response> = R | 'other-protocol' | undefined;

export type Ask<R extends Response> = (
  env: Surroundings,
  gateway: Gateway,
  request: Uint8Array,
  wanted: (answer: R) => boolean,
  patience: Patience,
  signal: AbortSignal,
) => Promise<Answer<R>>;

/** `parseOther`: of the other protocol, in which a gateway refuses a version that it does not speak (RFC 6887 appendix A). */
export function asker<R extends Response>(
  protocol: 'nat-pmp' | 'pcp',
  parse: (bytes: Uint8Array) => R | undefined,
  parseOther: (bytes: Uint8Array) => Response | undefined,
): Ask<R> {
  return async (env, gateway, request, wanted, patience, signal) => {
    const answer = await exchange<R | 'other-protocol'>(
      env,
      gateway,
      request,
      (bytes) => {
        const parsed = parse(bytes);
        if (parsed) return parsed.type === 'error' || wanted(parsed) ? parsed : undefined;
        return parseOther(bytes)?.type === 'error' ? 'other-protocol' : undefined;
      },
      patience,
      signal,
    );
    if (typeof answer === 'object') env.epoch(protocol, answer.epoch);
    return answer;
  };
}
