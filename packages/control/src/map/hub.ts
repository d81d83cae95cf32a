// Who must be told what: takes note of changes, gathers them for a moment, and gives every stream the part that its
// node may see. Receivers for whom the same changes mean the same get the same bytes, made and compressed once.
//
// A stream's state is its set of known peers and the number of the last change it includes. A change that a
// stream's first map already held is not repeated; a patch for a peer it does not know becomes the whole peer.
import type { DERPMap } from '@cove/protocol/tailcfg';
import { type NodeState, TAGGED_USER_ID } from '../state/tailnet.ts';
import { Batch, type BatchOptions, isShown, type NodeChange } from './batch.ts';
import { derpMapText } from './derpmap.ts';
import { KEEP_ALIVE, MapMessage } from './frame.ts';
import { timeText, userProfile } from './nodejson.ts';
import type { MapStream } from './stream.ts';

/** Longest time changes are gathered, however long telling them takes. */
const MAX_WINDOW_MS = 100;
const KEEP_ALIVE_MS = 50_000;
const KEEP_ALIVE_JITTER_MS = 9_000;

export interface HubCounters {
  fullMaps: number;
  deltas: number;
  /** Bodies made for those deltas; the quotient says how much is shared. */
  bodies: number;
  keepAlives: number;
  dropped: number;
}

export interface HubOptions extends BatchOptions {
  /** JSON text. */
  readonly dnsConfig: string;
  /** Milliseconds for which changes are gathered while they keep coming. */
  readonly gatherWindow: number;
  readonly random: () => number;
  /** The stream was dropped by us; its node is no longer connected by it. */
  readonly onDrop: (stream: MapStream) => void;
}

export class Hub {
  readonly counters: HubCounters = {
    fullMaps: 0,
    deltas: 0,
    bodies: 0,
    keepAlives: 0,
    dropped: 0,
  };
  readonly streams: Set<MapStream> = new Set();
  readonly #options: HubOptions;
  readonly #byNode = new Map<number, MapStream>();
  readonly #derpTexts = new Map<string, string>();
  #changes = new Map<number, NodeChange>();
  #derpMapChanged = false;
  #policyChanged = false;
  #seq = 0;
  #lastFlush = 0;
  #flushMs = 0;
  #flushedChanges = 0;
  #cancel: (() => void) | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  streamOf(node: NodeState): MapStream | undefined {
    return this.#byNode.get(node.id);
  }

  /** Peers need the whole node again. */
  changed(node: NodeState): void {
    const change = this.#change(node);
    change.wholeSeq = change.seq;
  }

  /** Peers need some fields (bits of Patch). */
  patched(node: NodeState, fields: number): void {
    this.#change(node).patch |= fields;
  }

  /** The node itself is to be told of its new state. */
  selfChanged(node: NodeState): void {
    this.#change(node).self = true;
  }

  removed(node: NodeState): void {
    this.#change(node).removed = true;
  }

  policyChanged(): void {
    this.#policyChanged = true;
    this.#schedule();
  }

  derpMapChanged(): void {
    this.#derpMapChanged = true;
    this.#derpTexts.clear();
    this.#schedule();
  }

  #change(node: NodeState): NodeChange {
    this.#options.json.forget(node);
    let change = this.#changes.get(node.id);
    if (change === undefined) {
      change = { node, seq: 0, wholeSeq: 0, patch: 0, removed: false, self: false };
      this.#changes.set(node.id, change);
    }
    change.seq = ++this.#seq;
    this.#schedule();
    return change;
  }

  #schedule(): void {
    if (this.#cancel !== undefined) return;
    // Telling everybody takes its time. In a storm (many changes a flush) at most a quarter of all time goes there;
    // changes that come one by one wait for the window and no longer.
    const storm = Math.min(4, this.#flushedChanges) * this.#flushMs;
    const window = Math.max(this.#options.gatherWindow, Math.min(storm, MAX_WINDOW_MS));
    const wait = this.#lastFlush + window - performance.now();
    if (wait <= 0) {
      const timer = setImmediate(() => this.flush());
      this.#cancel = () => clearImmediate(timer);
    } else {
      const timer = setTimeout(() => this.flush(), wait);
      this.#cancel = () => clearTimeout(timer);
    }
  }

  /** Sends the full map and every change from now on. A stream the node already had is ended. */
  open(stream: MapStream): void {
    const previous = this.#byNode.get(stream.node.id);
    if (previous !== undefined) {
      this.streams.delete(previous);
      previous.end();
    }
    this.streams.add(stream);
    this.#byNode.set(stream.node.id, stream);
    stream.seq = this.#seq;
    this.counters.fullMaps++;
    this.#send(stream, this.fullMap(stream));
  }

  /** The stream is over; true if it was the node's current one. */
  close(stream: MapStream): boolean {
    stream.closed = true;
    this.streams.delete(stream);
    if (this.#byNode.get(stream.node.id) !== stream) return false;
    this.#byNode.delete(stream.node.id);
    return true;
  }

  /** Tells a node that was removed to log in again, and ends its stream. */
  farewell(stream: MapStream): void {
    const { json, now } = this.#options;
    const self = json.self(stream.node, stream.legacy);
    const text = `{"Node":${self},"ControlTime":"${timeText(now())}"}`;
    this.close(stream);
    if (stream.send(new MapMessage(Buffer.from(text)))) stream.end();
    else stream.abort();
  }

  /** The whole tailnet as this stream's node sees it; marks what the stream now knows. */
  fullMap(stream: MapStream): MapMessage {
    const { json, dnsConfig, domain } = this.#options;
    const tailnet = this.#options.tailnet();
    const policy = this.#options.policy();
    const { node, legacy } = stream;
    const peers: Buffer[] = [];
    const users = new Set<number>([node.userId ?? TAGGED_USER_ID]);
    for (const peer of tailnet.nodes.values()) {
      if (peer === node || !isShown(policy, node, peer)) continue;
      stream.known.add(peer.slot);
      users.add(peer.userId ?? TAGGED_USER_ID);
      peers.push(json.peer(peer, legacy));
    }
    stream.filter = policy.filterOf(node);
    const profiles: string[] = [];
    for (const id of users) {
      stream.users.add(id);
      profiles.push(userProfile(tailnet.users.get(id)));
    }
    const parts = [
      `"Node":${json.self(node, legacy)}`,
      `"DERPMap":${this.#derpMap(stream.unpinned)}`,
      `"DNSConfig":${dnsConfig}`,
      `"Domain":${JSON.stringify(domain)}`,
      '"CollectServices":false',
      `"PacketFilters":{"base":${stream.filter}}`,
      `"UserProfiles":[${profiles.join(',')}]`,
      '"SSHPolicy":{"rules":[]}',
      '"Debug":{"DisableLogTail":true}',
      `"ControlTime":"${timeText(this.#options.now())}"`,
    ];
    const head = `{${parts.join(',')}`;
    // An empty list means "none" to some clients and "unchanged" to others: a fresh stream needs neither.
    if (peers.length === 0) return new MapMessage(Buffer.from(`${head}}`));
    const chunks: Uint8Array[] = [Buffer.from(`${head},"Peers":[`)];
    const comma = Buffer.from(',');
    peers.forEach((peer, i) => {
      if (i > 0) chunks.push(comma);
      chunks.push(peer);
    });
    chunks.push(Buffer.from(']}'));
    return new MapMessage(Buffer.concat(chunks));
  }

  #derpMap(unpinned: boolean): string {
    const key = unpinned ? 'unpinned' : 'pinned';
    let text = this.#derpTexts.get(key);
    if (text === undefined) {
      const map: DERPMap = this.#options.tailnet().derpMap ?? {};
      text = derpMapText(map, unpinned);
      this.#derpTexts.set(key, text);
    }
    return text;
  }

  #send(stream: MapStream, message: MapMessage): void {
    stream.keepAliveAt =
      performance.now() + KEEP_ALIVE_MS + this.#options.random() * KEEP_ALIVE_JITTER_MS;
    if (stream.send(message)) return;
    this.counters.dropped++;
    stream.abort();
    this.#options.onDrop(stream);
  }

  /** Sends keep-alives that are due; call about once per second. */
  keepAlive(): void {
    const now = performance.now();
    for (const stream of this.streams) {
      if (stream.keepAliveAt > now) continue;
      this.counters.keepAlives++;
      this.#send(stream, KEEP_ALIVE);
    }
  }

  /** Tells every stream what it has to know of the changes so far. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#lastFlush = performance.now();
    const batch = new Batch(this.#options, [...this.#changes.values()]);
    const derpChanged = this.#derpMapChanged;
    const policyChanged = this.#policyChanged;
    this.#changes = new Map();
    this.#derpMapChanged = false;
    this.#policyChanged = false;
    const seq = this.#seq;
    for (const stream of this.streams) {
      const derpMap = derpChanged ? this.#derpMap(stream.unpinned) : undefined;
      const message = batch.messageFor(stream, policyChanged, derpMap);
      stream.seq = seq;
      if (message === undefined) continue;
      this.counters.deltas++;
      this.#send(stream, message);
    }
    this.counters.bodies += batch.bodies;
    // Every stream has forgotten the removed nodes: their bits may serve others.
    for (const { node, removed } of batch.changes) {
      if (removed) this.#options.tailnet().releaseSlot(node.slot);
    }
    this.#flushMs = performance.now() - this.#lastFlush;
    this.#flushedChanges = batch.changes.length;
  }

  /** Ends all streams; clients come back for a full map. */
  reset(): void {
    for (const stream of [...this.streams]) {
      stream.end();
      this.close(stream);
    }
    this.#changes = new Map();
    this.#derpTexts.clear();
    this.#options.json.clear();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.reset();
  }
}
