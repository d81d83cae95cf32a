// What the changes of a moment mean to each receiver: found by the peers it knows and may see, and written once for all
// to whom they mean the same.
import type { PolicyView } from '../policy/view.ts';
import { type NodeState, TAGGED_USER_ID, type Tailnet } from '../state/tailnet.ts';
import { MapMessage } from './frame.ts';
import { type NodeJson, timeText, userProfile } from './nodejson.ts';
import type { MapStream } from './stream.ts';

export interface BatchOptions {
  readonly json: NodeJson;
  readonly tailnet: () => Tailnet;
  readonly policy: () => PolicyView;
  /** Tailnet name for people. */
  readonly domain: string;
  /** Wall clock. */
  readonly now: () => number;
}

/** What happened to one node since the last flush. */
export interface NodeChange {
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

/** Whether the viewer is told of the peer. One that never opened a stream cannot be talked to and stays unannounced. */
export function isShown(policy: PolicyView, viewer: NodeState, peer: NodeState): boolean {
  return peer.lastSeen !== undefined && policy.visible(viewer, peer);
}

/** The changes of one flush, turned into as few different messages as receivers allow. */
export class Batch {
  readonly changes: readonly NodeChange[];
  bodies = 0;
  readonly #options: BatchOptions;
  readonly #messages = new Map<string, MapMessage>();
  readonly #time: string;

  constructor(options: BatchOptions, changes: NodeChange[]) {
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
      // Stock 1.102 looks users up in a table it only renews when a message holds more than peer changes.
      parts.push(`"Domain":${JSON.stringify(this.#options.domain)}`);
    }
    if (extra.filter !== undefined) parts.push(`"PacketFilters":{"base":${extra.filter}}`);
    parts.push(`"ControlTime":"${this.#time}"`);
    return new MapMessage(Buffer.from(`{${parts.join(',')}}`));
  }
}
