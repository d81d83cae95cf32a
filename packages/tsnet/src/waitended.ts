// What to say when somebody's patience with a starting node ended.
import { TsnetError } from './errors.ts';
import type { NodeState } from './status.ts';

/** How far the node has come. */
export interface Standing {
  readonly state: NodeState;
  readonly problem: TsnetError | undefined;
  readonly loginUrl: string | undefined;
  /** Control's clock minus ours, milliseconds. */
  readonly clockOffset: number;
  /** There is a network map, and no relay of it answers. */
  readonly lacksRelay: boolean;
}

const DAY = 86_400_000;

/**
 * The error for a wait that ended for this reason. Where it was a timeout, the error names what held the node up, with
 * the reason as its cause.
 */
export function waitEnded(reason: unknown, standing: Standing): unknown {
  if (!(reason instanceof DOMException) || reason.name !== 'TimeoutError') return reason;
  const { state, problem, loginUrl, clockOffset, lacksRelay } = standing;
  const cause = { cause: reason };
  if (problem !== undefined) return new TsnetError(problem.code, problem.message, cause);
  if (state === 'NeedsLogin' && loginUrl !== undefined) {
    return new TsnetError('ERR_LOGIN_REQUIRED', `nobody logged this node in at ${loginUrl}`, cause);
  }
  if (state === 'NeedsMachineAuth') {
    return new TsnetError(
      'ERR_MACHINE_NOT_AUTHORIZED',
      'no administrator of the tailnet approved this node in time',
      cause,
    );
  }
  // Beyond a day a clock, not the network, is likely what keeps a node from its relays.
  if (Math.abs(clockOffset) >= DAY) {
    const days = Math.round(Math.abs(clockOffset) / DAY);
    const side = clockOffset > 0 ? 'behind' : 'ahead of';
    return new TsnetError(
      'ERR_CONTROL_CLOCK',
      `this machine's clock is ${days} days ${side} the control server's, too far to trust the certificates of its relays: set it`,
      cause,
    );
  }
  if (lacksRelay) {
    return new TsnetError(
      'ERR_NOT_RUNNING',
      'no relay of the tailnet could be reached in time',
      cause,
    );
  }
  return reason;
}
