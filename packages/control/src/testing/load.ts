// Many nodes in one process: they join some at a time, hold their map streams, and watch what they are told.
import { performance } from 'node:perf_hooks';
import type { MachinePublic } from '@cove/protocol/keys';
import { type TestClient, TestNode } from './client.ts';

export interface LoadOptions {
  readonly port: number;
  readonly controlKey: MachinePublic;
  /** Reusable. */
  readonly authKey: string;
  readonly nodes: number;
  /** How many join at a time. */
  readonly parallel: number;
  /** Disco key changes, one after the other. */
  readonly changes: number;
  /** Called before the changes, when everybody knows everybody. */
  readonly onJoined?: () => void | Promise<void>;
}

export interface LoadResult {
  readonly joinSeconds: number;
  /** From the last join until every node had been told of every other. */
  readonly settleSeconds: number;
  readonly changeMs: readonly number[];
  readonly changeSeconds: number;
  /** Entries in Peers and PeersChanged in all, and pairs of nodes told more or less than once. */
  readonly peerEntries: number;
  readonly notToldOnce: number;
  /** Messages with a full peer list or a relay map behind a stream's first. */
  readonly laterFullMaps: number;
  readonly messages: number;
}

const NODE_ID = /\{"ID":(\d+),"StableID"/g;
const SETTLE_TIMEOUT_MS = 120_000;

/** One simulated node and what it was told. */
class Member {
  readonly node: TestNode;
  readonly told: Uint8Array;
  id = 0;
  client: TestClient | undefined;
  messages = 0;
  entries = 0;
  laterFullMaps = 0;
  /** Disco key waited for. */
  awaited: string | undefined;
  onSeen: (() => void) | undefined;

  constructor(index: number, nodes: number) {
    this.node = new TestNode(`load-${index}`);
    this.told = new Uint8Array(nodes + 16);
  }

  receive(text: string): void {
    if (this.messages++ > 0) {
      if (text.includes('"Peers":[') || text.includes('"DERPMap":')) this.laterFullMaps++;
    } else {
      this.id = Number(/"Node":\{"ID":(\d+)/.exec(text)?.[1]);
    }
    for (const match of text.matchAll(NODE_ID)) {
      const id = Number(match[1]);
      if (id === this.id) continue;
      this.entries++;
      this.told[id]!++;
    }
    if (this.awaited !== undefined && text.includes(this.awaited)) {
      this.awaited = undefined;
      this.onSeen?.();
    }
  }
}

export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const { nodes, parallel } = options;
  const members = Array.from({ length: nodes }, (_, i) => new Member(i, nodes));
  const queue = members[Symbol.iterator]();
  const started = performance.now();
  const worker = async (): Promise<void> => {
    for (const member of queue) await join(member, options);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  const joined = performance.now();
  const all = nodes * (nodes - 1);
  const entries = (): number => members.reduce((sum, member) => sum + member.entries, 0);
  while (entries() < all && performance.now() - joined < SETTLE_TIMEOUT_MS) await pause(5);
  const settled = performance.now();
  // Whatever comes twice would come now.
  await pause(200);
  await options.onJoined?.();
  const changesStarted = performance.now();
  const changeMs: number[] = [];
  for (let i = 0; i < options.changes; i++) {
    changeMs.push(await change(members, members[(i * 7) % nodes]!));
  }
  const changeSeconds = (performance.now() - changesStarted) / 1000;
  let notToldOnce = 0;
  for (const member of members) {
    for (const other of members) {
      if (other !== member && member.told[other.id] !== 1) notToldOnce++;
    }
  }
  const result: LoadResult = {
    joinSeconds: (joined - started) / 1000,
    settleSeconds: (settled - joined) / 1000,
    changeMs,
    changeSeconds,
    peerEntries: entries(),
    notToldOnce,
    laterFullMaps: members.reduce((sum, member) => sum + member.laterFullMaps, 0),
    messages: members.reduce((sum, member) => sum + member.messages, 0),
  };
  for (const member of members) member.client?.close();
  return result;
}

/** Connects, registers, opens the stream, and reports once as stock clients do. */
async function join(member: Member, options: LoadOptions): Promise<void> {
  const client = await member.node.connect(options.port, options.controlKey);
  member.client = client;
  const { MachineAuthorized, Error: refusal } = await client.register({
    Auth: { AuthKey: options.authKey },
  });
  if (!MachineAuthorized) throw new Error(`register: ${refusal}`);
  await new Promise<void>((resolve, reject) => {
    client
      .stream({ Compress: 'zstd' }, (text) => {
        member.receive(text);
        resolve();
      })
      .catch(reject);
  });
  const update = await client.update();
  if (update.status !== 200) throw new Error(`update: ${update.status}`);
}

/** Milliseconds from one node's new disco key to the last of the others having it. */
async function change(members: readonly Member[], changed: Member): Promise<number> {
  const key = changed.node.newDiscoKey();
  let missing = members.length - 1;
  const seen = new Promise<void>((resolve) => {
    for (const member of members) {
      if (member === changed) continue;
      member.awaited = key;
      member.onSeen = () => {
        if (--missing === 0) resolve();
      };
    }
  });
  changed.node.discoKey = key;
  const started = performance.now();
  await changed.client!.update();
  await seen;
  return performance.now() - started;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
