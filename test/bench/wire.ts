// What the peers of the benchmark understand: one JSON request per line on standard input, one answer per line on
// standard output. Cove's peer is covepeer.ts, Go's is test/interop/go/benchpeer; both serve the same ports.

export const HTTP_PORT = 80;
/** Counts what it is sent. */
export const SINK_PORT = 7001;
export const ECHO_PORT = 7002;
/** Keeps a connection open until the other side ends it. */
export const HOLD_PORT = 7003;
export const UDP_PORT = 7004;
/** Cove only: golink, and beside it the same redirect from node:http alone. */
export const GOLINK_PORT = 7005;
export const REDIRECT_PORT = 7006;
/** Body of the page served. */
export const PAGE_BYTES = 128;

export interface Target {
  /** Tunnel address. */
  readonly address: string;
}

export interface Timed extends Target {
  readonly seconds: number;
}

/** One message after the other; each when it is due and the last is back, or (rate 0) as soon as the last is back. */
export interface EchoRequest extends Timed {
  /** Per second. */
  readonly rate: number;
  readonly size: number;
}

/** rate 0: as fast as it goes, every connection one request after the other; else at fixed times whatever comes back. */
export interface HttpRequest extends Timed {
  readonly connections: number;
  readonly rate: number;
  /** Cove only: this address, which answers with a redirect, rather than the page. */
  readonly redirect?: { readonly port: number; readonly path: string };
}

/** connections: how many clients open and close, each one after the other. */
export interface ConnectRequest extends Timed {
  readonly connections: number;
}

export type Request =
  | { readonly op: 'serve' }
  /** Cove only: golink over this database, and a bare redirect to where its link `short` leads. */
  | {
      readonly op: 'golink';
      readonly database: string;
      readonly short: string;
      readonly long: string;
    }
  /** Waits up to the time for a direct path; the answer is the one in use, '' for a relay. */
  | ({ readonly op: 'path' } & Timed)
  /** gc: collect garbage first. */
  | { readonly op: 'sample'; readonly gc?: boolean }
  /** Writes on so many connections until `stop`. */
  | ({ readonly op: 'stream'; readonly connections: number } & Target)
  | { readonly op: 'stop' }
  | ({ readonly op: 'echo' } & EchoRequest)
  | ({ readonly op: 'http' } & HttpRequest)
  | ({ readonly op: 'connect' } & ConnectRequest)
  | ({ readonly op: 'flood'; readonly size: number } & Timed)
  /** Opens connections that stay idle until `stop`. */
  | ({ readonly op: 'idle'; readonly count: number } & Target)
  /** Starts further nodes in this process. */
  | { readonly op: 'nodes'; readonly count: number }
  /** Cove only: begins a CPU profile; with a file ends it and writes it there. */
  | { readonly op: 'profile'; readonly file?: string }
  | { readonly op: 'close' };

export interface Latencies {
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly count: number;
  readonly perSecond: number;
}

export interface Sample {
  /** The peer's own clock. */
  readonly atMs: number;
  /** Bytes into the sink. */
  readonly received: number;
  readonly datagrams: number;
  /** Since the start, if the node counts any. */
  readonly counters?: Readonly<Record<string, number>>;
}

/** The first line a peer prints, once its node is Running. */
export interface Ready {
  readonly event: 'ready';
  readonly address: string;
  /** What up() took; absent without a node. */
  readonly upMs?: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** What a Cove peer is told on its command line, as JSON. */
export interface PeerConfig {
  readonly hostname: string;
  readonly dir: string;
  readonly controlUrl: string;
  readonly crypto: 'default' | 'noble';
}

export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}
