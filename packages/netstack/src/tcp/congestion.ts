// Congestion control behind one interface: NewReno (RFC 5681, RFC 6582) and CUBIC (RFC 9438). Windows in bytes; growth
// counts bytes acknowledged (RFC 3465), because peers and we ourselves acknowledge whole batches.
// Slow start ends by HyStart++ (hystart.ts).
// Who is in recovery, what is lost and what may be sent during recovery is decided elsewhere (recovery.ts).
import { FLOAT_ZERO } from '../floatzero.ts';
import { HyStart } from './hystart.ts';

export interface CongestionControl {
  readonly name: string;
  cwnd: number;
  ssthresh: number;
  /**
   * `acked` bytes were delivered outside fast recovery. `limited`: the window, not the application, was the limit.
   * `rtt`: smoothed round trip.
   */
  onAck(acked: number, rtt: number, now: number, limited: boolean): void;
  /** A round trip was measured, see `HyStart.onSample`. Called before `onAck`. */
  onSample(rtt: number, ack: number, next: number, now: number): void;
  /** Loss was detected with `flight` bytes in the network: sets ssthresh. The caller lowers cwnd. */
  onLoss(flight: number, now: number): void;
  /** Fast recovery is over: cwnd = ssthresh. */
  onRecovered(now: number): void;
  /** The retransmission timer expired; `first` unless it had expired for the same data before. */
  onTimeout(flight: number, now: number, first: boolean): void;
  /** Nothing was sent for longer than a retransmission timeout (RFC 5681 4.1). */
  onIdle(): void;
  /** The handshake settled the MSS: start from the initial window. */
  begin(mss: number): void;
  /** A reduction may follow: keep what is needed to take it back. */
  remember(): void;
  /** The reductions since `remember` were a mistake (RFC 9438 4.9, RFC 3522, RFC 3708). */
  undo(): void;
  /** The effective MSS changed. */
  setMss(mss: number): void;
}

/** RFC 6928: ten segments, at most 14 600 bytes or two segments. */
export function initialWindow(mss: number): number {
  return Math.min(10 * mss, Math.max(2 * mss, 14600));
}

export class NewReno implements CongestionControl {
  readonly name = 'newreno';
  cwnd: number = FLOAT_ZERO;
  ssthresh: number = Number.POSITIVE_INFINITY;
  #mss: number;
  #credit = FLOAT_ZERO;
  #before: { cwnd: number; ssthresh: number } | undefined;
  /** From the first sample on: a connection that sends nothing has none. */
  #hystart: HyStart | undefined;

  constructor(mss: number) {
    this.#mss = mss;
    this.cwnd = initialWindow(mss);
  }

  onAck(acked: number, _rtt: number, _now: number, limited: boolean): void {
    if (!limited) return;
    if (this.cwnd < this.ssthresh) {
      this.cwnd += acked / (this.#hystart?.divisor(this.cwnd) ?? 1);
      return;
    }
    // RFC 5681 3.1: one segment per window of bytes acknowledged.
    this.#credit += acked;
    if (this.#credit >= this.cwnd) {
      this.#credit -= this.cwnd;
      this.cwnd += this.#mss;
    }
  }

  onSample(rtt: number, ack: number, next: number, now: number): void {
    if (this.cwnd >= this.ssthresh) return;
    this.#hystart ??= new HyStart();
    this.#hystart.onSample(rtt, ack, next, this.cwnd, now);
    if (this.#hystart.finished) this.ssthresh = this.cwnd;
  }

  onLoss(flight: number, _now: number): void {
    this.ssthresh = Math.max(flight / 2, 2 * this.#mss);
    this.#credit = 0;
  }

  onRecovered(_now: number): void {
    this.cwnd = this.ssthresh;
  }

  onTimeout(flight: number, _now: number, first: boolean): void {
    if (first) this.ssthresh = Math.max(flight / 2, 2 * this.#mss);
    this.cwnd = this.#mss;
    this.#credit = 0;
    this.#hystart?.reset();
  }

  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.#mss));
  }

  begin(mss: number): void {
    this.#mss = mss;
    this.cwnd = initialWindow(mss);
  }

  setMss(mss: number): void {
    this.#mss = mss;
    this.cwnd = Math.max(this.cwnd, 2 * mss);
  }

  remember(): void {
    this.#before = { cwnd: this.cwnd, ssthresh: this.ssthresh };
  }

  undo(): void {
    if (this.#before === undefined) return;
    this.cwnd = Math.max(this.cwnd, this.#before.cwnd);
    this.ssthresh = Math.max(this.ssthresh, this.#before.ssthresh);
  }
}

/** RFC 9438 4.1. */
const C = 0.4;
const BETA = 0.7;
/** RFC 9438 4.3: keeps the estimate as aggressive as Reno. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/** What a reduction changes. */
interface CubicState {
  readonly cwnd: number;
  readonly ssthresh: number;
  readonly wMax: number;
  readonly k: number;
  readonly epoch: number;
  readonly estimate: number;
  readonly prior: number;
}

export class Cubic implements CongestionControl {
  readonly name = 'cubic';
  cwnd: number = FLOAT_ZERO;
  ssthresh: number = Number.POSITIVE_INFINITY;
  #mss: number;
  /** Windows in segments; times in milliseconds. */
  #wMax = FLOAT_ZERO;
  #k = FLOAT_ZERO;
  #epoch = FLOAT_ZERO;
  #estimate = FLOAT_ZERO;
  #prior = FLOAT_ZERO;
  #lastAck = FLOAT_ZERO;
  #before: CubicState | undefined;
  /** From the first sample on: a connection that sends nothing has none. */
  #hystart: HyStart | undefined;

  constructor(mss: number) {
    this.#epoch = -1;
    this.#mss = mss;
    this.cwnd = initialWindow(mss);
  }

  onAck(acked: number, rtt: number, now: number, limited: boolean): void {
    if (!limited) {
      // RFC 9438 5.8: time in which the window was not used does not count.
      if (this.#epoch >= 0) this.#epoch += now - this.#lastAck;
      this.#lastAck = now;
      return;
    }
    this.#lastAck = now;
    let left = acked;
    if (this.cwnd < this.ssthresh) {
      const divisor = this.#hystart?.divisor(this.cwnd) ?? 1;
      const room = Math.min(left / divisor, this.ssthresh - this.cwnd);
      this.cwnd += room;
      left -= room * divisor;
      if (left <= 0) return;
    }
    this.#avoid(left / this.#mss, rtt, now);
  }

  #avoid(acked: number, rtt: number, now: number): void {
    const cwnd = this.cwnd / this.#mss;
    if (this.#epoch < 0) {
      this.#epoch = now;
      this.#estimate = cwnd;
      if (cwnd < this.#wMax) {
        this.#k = Math.cbrt((this.#wMax - cwnd) / C);
      } else {
        this.#wMax = cwnd;
        this.#k = 0;
      }
    }
    const t = (now - this.#epoch) / 1000;
    this.#estimate += ((this.#estimate < this.#prior ? ALPHA : 1) * acked) / cwnd;
    if (cubicWindow(t, this.#k, this.#wMax) < this.#estimate) {
      this.cwnd = Math.max(cwnd, this.#estimate) * this.#mss;
      return;
    }
    const ahead = cubicWindow(t + Math.max(rtt, 0) / 1000, this.#k, this.#wMax);
    const target = Math.min(Math.max(ahead, cwnd), 1.5 * cwnd);
    this.cwnd += ((target - cwnd) / cwnd) * acked * this.#mss;
  }

  #reduce(flight: number): void {
    const cwnd = this.cwnd / this.#mss;
    this.#prior = cwnd;
    // RFC 9438 4.7, fast convergence: leave room for newcomers.
    this.#wMax = cwnd < this.#wMax ? (cwnd * (1 + BETA)) / 2 : cwnd;
    this.#epoch = -1;
    this.ssthresh = Math.max(Math.min(flight, this.cwnd) * BETA, 2 * this.#mss);
  }

  onSample(rtt: number, ack: number, next: number, now: number): void {
    if (this.cwnd >= this.ssthresh) return;
    this.#hystart ??= new HyStart();
    this.#hystart.onSample(rtt, ack, next, this.cwnd, now);
    if (this.#hystart.finished) this.ssthresh = this.cwnd;
  }

  onLoss(flight: number, _now: number): void {
    this.#reduce(flight);
  }

  onRecovered(_now: number): void {
    this.cwnd = this.ssthresh;
  }

  onTimeout(flight: number, _now: number, first: boolean): void {
    if (first) this.#reduce(flight);
    this.cwnd = this.#mss;
    this.#epoch = -1;
    this.#hystart?.reset();
  }

  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.#mss));
    this.#epoch = -1;
  }

  begin(mss: number): void {
    this.#mss = mss;
    this.cwnd = initialWindow(mss);
  }

  setMss(mss: number): void {
    this.#mss = mss;
    this.cwnd = Math.max(this.cwnd, 2 * mss);
  }

  remember(): void {
    this.#before = {
      cwnd: this.cwnd,
      ssthresh: this.ssthresh,
      wMax: this.#wMax,
      k: this.#k,
      epoch: this.#epoch,
      estimate: this.#estimate,
      prior: this.#prior,
    };
  }

  undo(): void {
    const before = this.#before;
    if (before === undefined) return;
    this.cwnd = Math.max(this.cwnd, before.cwnd);
    this.ssthresh = Math.max(this.ssthresh, before.ssthresh);
    this.#wMax = before.wMax;
    this.#k = before.k;
    this.#epoch = before.epoch;
    this.#estimate = before.estimate;
    this.#prior = before.prior;
  }
}

/** RFC 9438 4.2, equation 1: segments after `t` seconds. */
export function cubicWindow(t: number, k: number, wMax: number): number {
  return C * (t - k) ** 3 + wMax;
}
