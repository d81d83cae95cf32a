// Who is there: a node is online from its first map stream until some seconds after its last one ended; an ephemeral
// node that stays away is given up. Time is monotonic here, and nothing survives a restart: timers begin anew.
import type { NodeState } from './state/tailnet.ts';

export interface PresenceOptions {
  /** Milliseconds. */
  readonly offlineGrace: number;
  readonly ephemeralTimeout: number;
  readonly onOnline: (node: NodeState) => void;
  readonly onOffline: (node: NodeState) => void;
  /** An ephemeral node has been away for ephemeralTimeout. */
  readonly onAbandoned: (node: NodeState) => void;
}

export class Presence {
  readonly #options: PresenceOptions;
  readonly #offlineAt = new Map<NodeState, number>();
  readonly #abandonAt = new Map<NodeState, number>();
  readonly #connected = new Set<NodeState>();

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  get online(): number {
    return this.#connected.size;
  }

  /** The node exists, connected or not. */
  known(node: NodeState): void {
    if (!node.ephemeral) this.#abandonAt.delete(node);
    else if (!this.#connected.has(node)) {
      this.#abandonAt.set(node, performance.now() + this.#options.ephemeralTimeout);
    }
  }

  /** A map stream of the node is open. */
  joined(node: NodeState): void {
    this.#connected.add(node);
    this.#offlineAt.delete(node);
    this.#abandonAt.delete(node);
    this.#options.onOnline(node);
  }

  /** The node's last map stream is over. */
  left(node: NodeState): void {
    if (!this.#connected.delete(node)) return;
    const now = performance.now();
    this.#offlineAt.set(node, now + this.#options.offlineGrace);
    if (node.ephemeral) this.#abandonAt.set(node, now + this.#options.ephemeralTimeout);
  }

  forget(node: NodeState): void {
    this.#connected.delete(node);
    this.#offlineAt.delete(node);
    this.#abandonAt.delete(node);
  }

  clear(): void {
    this.#connected.clear();
    this.#offlineAt.clear();
    this.#abandonAt.clear();
  }

  /** Acts on what is due. */
  tick(): void {
    const now = performance.now();
    for (const [node, at] of this.#offlineAt) {
      if (at > now) continue;
      this.#offlineAt.delete(node);
      this.#options.onOffline(node);
    }
    for (const [node, at] of this.#abandonAt) {
      if (at > now) continue;
      this.#abandonAt.delete(node);
      this.#options.onAbandoned(node);
    }
  }
}
