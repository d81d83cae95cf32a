// What the lab and the program at its sites say to each other.

/** Which of the site's two nodes. The stock one is asked through its local API at this Unix socket. */
export type Through =
  | { readonly flavour: 'cove' }
  | { readonly flavour: 'stock'; readonly socket: string };

export interface ContactRequest {
  readonly op: 'contact';
  readonly through: Through;
  /** The peer's tailnet address. */
  readonly address: string;
  /** Milliseconds after which the path found so far is the answer. */
  readonly window: number;
  /** Milliseconds between two looks at the path. */
  readonly poll: number;
  /** Milliseconds between two messages on the connection, which keep both ends looking for a path. */
  readonly pace: number;
  /** What to wait for. */
  readonly return: 'first byte' | 'direct';
}

export interface ContactAnswer {
  /** Names the connection, which stays open. */
  readonly contact: number;
  /** The beginning of the dial, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  /** Milliseconds from the dial. */
  readonly firstByte: number;
  /** Milliseconds from the dial until this side sent over UDP only; absent: it never did. */
  readonly direct?: number;
  /** `ip:port`; '' through the relay. */
  readonly path?: string;
}

export interface PathRequest {
  readonly op: 'await path';
  readonly through: Through;
  readonly address: string;
  readonly wanted: 'direct' | 'relay';
  readonly window: number;
  readonly poll: number;
}

export interface PathAnswer {
  /** Milliseconds from the request; absent: not within the window. */
  readonly after?: number;
  readonly path: string;
}

export interface EchoReport {
  readonly echoes: number;
  /** Milliseconds without an echo, at most and since the last one. */
  readonly longestGap: number;
  readonly current: number;
  /** Why the connection ended, if it did. */
  readonly closed?: string;
}

export type Command =
  | {
      readonly op: 'up';
      readonly controlUrl: string;
      readonly authKey: string;
      readonly hostname: string;
    }
  | { readonly op: 'down' }
  | {
      readonly op: 'strangers';
      readonly through: Through;
      readonly addresses: readonly string[];
    }
  | ContactRequest
  | PathRequest
  | { readonly op: 'bulk'; readonly contact: number; readonly bytes: number }
  | { readonly op: 'mark' | 'report' | 'end'; readonly contact: number };

export type Request = Command & { readonly id: number };

export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}
