// The tailnet in memory: a projection of the tables that answers every question without the database, plus what is
// never stored (who is online). Only Journal's mutations change it, so that it never runs ahead of the tables.
import type { DiscoPublic, MachinePublic, NodePublic } from '@cove/protocol/keys';
import type { DERPMap, Hostinfo } from '@cove/protocol/tailcfg';
import { AddressPool } from './addresses.ts';

/** Owner of tagged nodes as clients see it. */
export const TAGGED_USER_ID = 2_147_455_555;
export const TAGGED_USER_NAME = 'tagged-devices';

export interface User {
  readonly id: number;
  readonly loginName: string;
  displayName: string;
  role: 'admin' | 'member';
  readonly created: number;
}

/** A machine as control knows it. Times are milliseconds since 1970. */
export interface NodeState {
  readonly id: number;
  readonly stableId: string;
  readonly machineKey: MachinePublic;
  nodeKey: NodePublic;
  nlKey: string | undefined;
  /** undefined: a tagged node. */
  userId: number | undefined;
  tags: readonly string[];
  hostname: string;
  givenName: string;
  renamed: boolean;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Place of the addresses in the pool. */
  readonly offset: number;
  ephemeral: boolean;
  authKeyId: string | undefined;
  registeredBy: 'authkey' | 'approval';
  readonly created: number;
  /** undefined: never. */
  keyExpiry: number | undefined;
  /** The passing of keyExpiry was announced. */
  expired: boolean;
  capVersion: number;
  discoKey: DiscoPublic | undefined;
  endpoints: readonly string[];
  homeDerp: number;
  hostinfo: Hostinfo;
  lastSeen: number | undefined;
  online: boolean;
  /** Small number unique among present nodes, for bit sets; free again once all streams know of the removal. */
  readonly slot: number;
}

export interface AuthKey {
  readonly id: string;
  readonly secretHash: string;
  /** undefined: makes tagged nodes. */
  readonly userId: number | undefined;
  readonly tags: readonly string[];
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  readonly description: string;
  uses: number;
  readonly created: number;
  readonly expires: number | undefined;
  revoked: number | undefined;
}

export interface StoredPolicy {
  readonly version: number;
  readonly text: string | undefined;
  readonly created: number | undefined;
}

export class Tailnet {
  readonly id: number;
  lastUserId = 0;
  lastNodeId = 0;
  lastEventSeq = 0;
  readonly users: Map<number, User> = new Map();
  readonly nodes: Map<number, NodeState> = new Map();
  readonly authKeys: Map<string, AuthKey> = new Map();
  readonly addresses: AddressPool = new AddressPool();
  policy: StoredPolicy = { version: 0, text: undefined, created: undefined };
  derpMap: DERPMap | undefined;
  readonly #byNodeKey = new Map<NodePublic, NodeState>();
  readonly #byMachine = new Map<MachinePublic, NodeState[]>();
  readonly #byName = new Map<string, NodeState>();
  readonly #byAddress = new Map<string, NodeState>();
  readonly #byLogin = new Map<string, User>();
  readonly #freeSlots: number[] = [];
  #slots = 0;

  constructor(id: number) {
    this.id = id;
  }

  nodeByKey(key: NodePublic): NodeState | undefined {
    return this.#byNodeKey.get(key);
  }

  /** A machine has one node per owner. */
  nodesOfMachine(machine: MachinePublic): readonly NodeState[] {
    return this.#byMachine.get(machine) ?? [];
  }

  nodeByName(label: string): NodeState | undefined {
    return this.#byName.get(label);
  }

  nodeByAddress(address: string): NodeState | undefined {
    return this.#byAddress.get(address);
  }

  /** Login names are compared without regard to case. */
  userByLogin(loginName: string): User | undefined {
    return this.#byLogin.get(loginName.toLowerCase());
  }

  addUser(user: User): void {
    this.users.set(user.id, user);
    this.#byLogin.set(user.loginName.toLowerCase(), user);
  }

  takeSlot(): number {
    return this.#freeSlots.pop() ?? this.#slots++;
  }

  releaseSlot(slot: number): void {
    this.#freeSlots.push(slot);
  }

  addNode(node: NodeState): void {
    this.nodes.set(node.id, node);
    this.addresses.claim(node.offset);
    this.#byNodeKey.set(node.nodeKey, node);
    this.#byName.set(node.givenName, node);
    this.#byAddress.set(node.ipv4, node);
    this.#byAddress.set(node.ipv6, node);
    const siblings = this.#byMachine.get(node.machineKey);
    if (siblings === undefined) this.#byMachine.set(node.machineKey, [node]);
    else siblings.push(node);
  }

  /** The slot stays taken until releaseSlot. */
  removeNode(node: NodeState): void {
    this.nodes.delete(node.id);
    this.addresses.release(node.offset);
    this.#byNodeKey.delete(node.nodeKey);
    this.#byName.delete(node.givenName);
    this.#byAddress.delete(node.ipv4);
    this.#byAddress.delete(node.ipv6);
    const siblings = this.#byMachine.get(node.machineKey)!.filter((other) => other !== node);
    if (siblings.length === 0) this.#byMachine.delete(node.machineKey);
    else this.#byMachine.set(node.machineKey, siblings);
  }

  rekeyNode(node: NodeState, key: NodePublic): void {
    this.#byNodeKey.delete(node.nodeKey);
    node.nodeKey = key;
    this.#byNodeKey.set(key, node);
  }

  renameNode(node: NodeState, label: string): void {
    this.#byName.delete(node.givenName);
    node.givenName = label;
    this.#byName.set(label, node);
  }
}
