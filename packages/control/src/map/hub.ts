// Who must be told what: takes note of changes, gathers them for a moment, and gives every stream the part that its
// node may see. Receivers for whom the same changes mean the same get the same bytes, made and compressed once.
//
// A stream's state is its set of known peers and the number of the last change it includes. A change that a
// stream's first map already held is not repeated; a patch for a peer it does not know becomes the whole peer.
import type { DERPMap } from '@cove/protocol/tailcfg';
import type { PolicyView } from '../policy/view.ts';
import { type NodeState, TAGGED_USER_ID, type Tailnet } from '../state/tailnet.ts';
import { derpMapText } from './derpmap.ts';
import { KEEP_ALIVE, MapMessage } from './frame.ts';
import { type NodeJson, timeText, userProfile } from './nodejson.ts';
import type { MapStream } from './stream.ts';

const KEEP_ALIVE_MS = 50_000;
const KEEP_ALIVE_JITTER_MS = 9_000;

/** What happened to one node since the last flush. */
interface NodeChange {
  readonly node: NodeState;
  /** Number of the latest of these changes. */
  seq: number;
  /** Number of the latest change that needs the whole peer sent, 0: none. Others are told by the Patch bits. */
  wholeSeq: number;
  patch: number;
  removed: boolean;
  /** The node itself is to be told. */
  self: boolean;
}

/** What a change means to one receiver. */
const Outcome = { NONE: '0', REMOVED: '1', WHOLE: '2', PATCH: '3' } as const;

export interface HubCounters {
  fullMaps: number;
  deltas: number;
  /** Bodies made for those deltas; the quotient says how much is shared. */
  bodies: number;
  keepAlives: number;
  dropped: number;
}

export interface HubOptions {
  readonly json: NodeJson;
  readonly tailnet: () => Tailnet;
  readonly policy: () => PolicyView;
  readonly dnsConfig: string;
  readonly domain: string;
  /** Wall clock. */
  readonly now: () => number;
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
    // Telling everybody takes its time: at most half of all time goes there.
    const window = Math.max(this.#options.gatherWindow, 2 * this.#flushMs);
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

/** Whether the viewer is told of the peer. One that never opened a stream cannot be talked to and stays unannounced. */
function isShown(policy: PolicyView, viewer: NodeState, peer: NodeState): boolean {
  return peer.lastSeen !== undefined && policy.visible(viewer, peer);
}

/** The changes of one flush, turned into as few different messages as receivers allow. */
class Batch {
  readonly changes: readonly NodeChange[];
  bodies = 0;
  readonly #options: HubOptions;
  readonly #messages = new Map<string, MapMessage>();
  readonly #time: string;

  constructor(options: HubOptions, changes: NodeChange[]) {
    this.#options = options;
    this.changes = changes.sort((a, b) => a.node.id - b.node.id);
    this.#time = timeText(options.now());
  }

  messageFor(
    stream: MapStream,
    policyChanged: boolean,
    derpMap: string | undefined,
  ): MapMessage | undefined {
    const policy = this.#options.policy();
    if (policyChanged) return this.#afterPolicy(stream, derpMap);
    let outcomes = '';
    let self = false;
    const newUsers: number[] = [];
    let told = false;
    for (const change of this.changes) {
      const outcome = this.#outcome(stream, change, policy, newUsers);
      if (outcome !== Outcome.NONE) told = true;
      outcomes += outcome;
      if (change.self && change.node === stream.node && change.seq > stream.seq) self = true;
    }
    const filter = policy.filterOf(stream.node);
    const newFilter = filter === stream.filter ? undefined : filter;
    stream.filter = filter;
    if (!told && !self && newFilter === undefined && derpMap === undefined) return undefined;
    const key = `${stream.legacy}|${outcomes}|${newUsers.join()}|${derpMap ?? ''}|${newFilter ?? ''}`;
    const shared = self ? undefined : this.#messages.get(key);
    if (shared !== undefined) return shared;
    const message = this.#build(stream, outcomes, newUsers, { self, filter: newFilter, derpMap });
    if (!self) this.#messages.set(key, message);
    return message;
  }

  /** What the change means for the stream, which learns of it. */
  #outcome(stream: MapStream, change: NodeChange, policy: PolicyView, newUsers: number[]): string {
    const { node } = change;
    if (node === stream.node || change.seq <= stream.seq) return Outcome.NONE;
    const known = stream.known.has(node.slot);
    if (change.removed || !isShown(policy, stream.node, node)) {
      stream.known.delete(node.slot);
      return known ? Outcome.REMOVED : Outcome.NONE;
    }
    if (known && change.wholeSeq <= stream.seq) {
      return change.patch === 0 ? Outcome.NONE : Outcome.PATCH;
    }
    stream.known.add(node.slot);
    const user = node.userId ?? TAGGED_USER_ID;
    if (!stream.users.has(user)) {
      stream.users.add(user);
      newUsers.push(user);
    }
    return Outcome.WHOLE;
  }

  /** After a change of policy any pair of nodes may have come into or out of sight. */
  #afterPolicy(stream: MapStream, derpMap: string | undefined): MapMessage | undefined {
    const policy = this.#options.policy();
    const changes = new Map(this.changes.map((change) => [change.node.id, change]));
    for (const node of this.#options.tailnet().nodes.values()) {
      if (
        changes.has(node.id) ||
        stream.known.has(node.slot) === isShown(policy, stream.node, node)
      ) {
        continue;
      }
      changes.set(node.id, {
        node,
        seq: Number.POSITIVE_INFINITY,
        wholeSeq: Number.POSITIVE_INFINITY,
        patch: 0,
        removed: false,
        self: false,
      });
    }
    const batch = new Batch(this.#options, [...changes.values()]);
    const message = batch.messageFor(stream, false, derpMap);
    this.bodies += batch.bodies;
    return message;
  }

  #build(
    stream: MapStream,
    outcomes: string,
    newUsers: readonly number[],
    extra: {
      readonly self: boolean;
      readonly filter: string | undefined;
      readonly derpMap: string | undefined;
    },
  ): MapMessage {
    this.bodies++;
    const { json } = this.#options;
    const removed: number[] = [];
    const whole: string[] = [];
    const patches: string[] = [];
    this.changes.forEach(({ node, patch }, i) => {
      const outcome = outcomes[i];
      if (outcome === Outcome.REMOVED) removed.push(node.id);
      else if (outcome === Outcome.WHOLE) whole.push(json.peer(node, stream.legacy).toString());
      else if (outcome === Outcome.PATCH) patches.push(json.patch(node, patch));
    });
    const parts: string[] = [];
    if (extra.self) parts.push(`"Node":${json.self(stream.node, stream.legacy)}`);
    if (extra.derpMap !== undefined) parts.push(`"DERPMap":${extra.derpMap}`);
    if (removed.length > 0) parts.push(`"PeersRemoved":[${removed.join(',')}]`);
    if (whole.length > 0) parts.push(`"PeersChanged":[${whole.join(',')}]`);
    if (patches.length > 0) parts.push(`"PeersChangedPatch":[${patches.join(',')}]`);
    if (newUsers.length > 0) {
      const { users } = this.#options.tailnet();
      const profiles = newUsers.map((id) => userProfile(users.get(id)));
      parts.push(`"UserProfiles":[${profiles.join(',')}]`);
    }
    if (extra.filter !== undefined) parts.push(`"PacketFilters":{"base":${extra.filter}}`);
    parts.push(`"ControlTime":"${this.#time}"`);
    return new MapMessage(Buffer.from(`{${parts.join(',')}}`));
  }
}
