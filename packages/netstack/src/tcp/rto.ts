// Round-trip estimate and retransmission timeout (RFC 6298). Milliseconds.
import { FLOAT_ZERO } from '../floatzero.ts';

/** RFC 6298 2.1: before the first sample. */
export const INITIAL_RTO = 1000;
/** RFC 6298 5.7: for data after a SYN was lost. */
const RTO_AFTER_SYN_LOSS = 3000;
/** Clock granularity G: timers of the driver fire on whole milliseconds. */
const GRANULARITY = 1;

export class RttEstimator {
  /** Negative before the first sample. */
  srtt: number = FLOAT_ZERO;
  rttvar: number = FLOAT_ZERO;
  /** The base timeout, without back-off. */
  rto: number = FLOAT_ZERO;
  /** How often the timer was doubled since the last fresh sample. */
  backoff = 0;
  readonly #min: number;
  readonly #max: number;

  constructor(min: number, max: number) {
    this.srtt = -1;
    this.rto = INITIAL_RTO;
    this.#min = min;
    this.#max = max;
  }

  /** A round trip of `rtt` that is not ambiguous (Karn). */
  sample(rtt: number): void {
    if (this.srtt < 0) {
      this.srtt = rtt;
      this.rttvar = rtt / 2;
    } else {
      this.rttvar = 0.75 * this.rttvar + 0.25 * Math.abs(this.srtt - rtt);
      this.srtt = 0.875 * this.srtt + 0.125 * rtt;
    }
    const rto = this.srtt + Math.max(GRANULARITY, 4 * this.rttvar);
    this.rto = Math.min(Math.max(rto, this.#min), this.#max);
    this.backoff = 0;
  }

  /** The timeout to arm now. */
  get timeout(): number {
    return Math.min(this.rto * 2 ** this.backoff, this.#max);
  }

  /** RFC 6298 5.5: the timer expired. */
  backOff(): void {
    if (this.backoff < 16) this.backoff++;
  }

  /** RFC 6298 5.7: the SYN was retransmitted; data starts from 3 s unless a sample says better. */
  afterSynLoss(): void {
    this.backoff = 0;
    if (this.srtt < 0) this.rto = RTO_AFTER_SYN_LOSS;
  }
}
