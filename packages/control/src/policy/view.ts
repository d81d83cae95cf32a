// What a policy means for the nodes there are: who sees whom, and each node's packet filter. A selector is evaluated
// once per node and rule into two bit sets (node is a source of rule r, node is a destination of rule r); visibility
// is an intersection of those. A change of one node touches its own bits and the source lists of the rules it is in.
import type { NodeState } from '../state/tailnet.ts';
import {
  ALL_PORTS,
  type CapRule,
  type PacketRule,
  type Policy,
  type Ports,
  type Rule,
  type Selector,
} from './policy.ts';
import { addressRanges } from './ranges.ts';

/** Sources of `*` in a written policy: what control hands out, without ChromeOS's 100.115.92.0/23. */
const MESH_SOURCES =
  '"100.64.0.0-100.115.91.255","100.115.94.0-100.127.255.255","fd7a:115c:a1e0::/48"';
/** Destinations of `*` for capabilities where one text must do for all receivers. */
const MESH_PREFIXES = '"100.64.0.0/10","fd7a:115c:a1e0::/48"';

/** Capabilities of the owner on every node as long as no policy is written. */
const OWNER_CAPS: ReadonlyMap<string, string> = new Map([
  ['tailscale.com/cap/golink', '[{"admin":true}]'],
]);

interface IndexedRule {
  readonly rule: Rule;
  /** The nodes that are sources; unused when every node is. */
  readonly sources: Set<NodeState>;
  readonly anySource: boolean;
  /** JSON text of the SrcIPs members; undefined until asked for. */
  srcIps: string | undefined;
  /** When srcIps last changed. */
  stamp: number;
}

interface NodeBits {
  readonly src: Uint32Array;
  readonly dst: Uint32Array;
  filter: string | undefined;
  filterStamp: number;
}

export class PolicyView {
  readonly #loginOf: (userId: number) => string | undefined;
  readonly #tagOwners: ReadonlyMap<string, readonly Selector[]> | undefined;
  readonly #rules: readonly IndexedRule[];
  /** No policy written: all receivers share one text, so `*` stays as wide as it is. */
  readonly #open: boolean;
  readonly #nodes = new Map<number, NodeBits>();
  #clock = 0;

  /** policy undefined: none is written. `owner` and the names of loginOf are compared in lower case. */
  constructor(
    policy: Policy | undefined,
    owner: string,
    loginOf: (userId: number) => string | undefined,
  ) {
    this.#loginOf = loginOf;
    this.#tagOwners = policy?.tagOwners;
    this.#open = policy?.rules === undefined;
    const rules = policy?.rules ?? openRules(policy === undefined ? owner : undefined);
    this.#rules = rules.map((rule) => ({
      rule,
      sources: new Set(),
      anySource: rule.src.some((selector) => selector.type === 'any'),
      srcIps: undefined,
      stamp: 0,
    }));
  }

  /** Rises whenever some filter may have changed. */
  get version(): number {
    return this.#clock;
  }

  /** The node is new, or its user or tags changed. */
  update(node: NodeState): void {
    const words = (this.#rules.length + 31) >> 5;
    const bits: NodeBits = {
      src: new Uint32Array(words),
      dst: new Uint32Array(words),
      filter: undefined,
      filterStamp: -1,
    };
    this.#rules.forEach((indexed, i) => {
      const bit = 1 << (i & 31);
      const { rule } = indexed;
      const isSource = indexed.anySource || rule.src.some((s) => this.#matches(s, node));
      if (isSource) bits.src[i >> 5]! |= bit;
      if (rule.dst.some((d) => this.#matches(d.selector, node))) bits.dst[i >> 5]! |= bit;
      if (indexed.anySource || indexed.sources.has(node) === isSource) return;
      if (isSource) indexed.sources.add(node);
      else indexed.sources.delete(node);
      this.#touch(indexed);
    });
    this.#nodes.set(node.id, bits);
  }

  remove(node: NodeState): void {
    this.#nodes.delete(node.id);
    for (const indexed of this.#rules) {
      if (indexed.sources.delete(node)) this.#touch(indexed);
    }
  }

  #touch(indexed: IndexedRule): void {
    indexed.srcIps = undefined;
    indexed.stamp = ++this.#clock;
  }

  /** Whether either may open a connection to the other or has a capability there. */
  visible(a: NodeState, b: NodeState): boolean {
    const x = this.#nodes.get(a.id);
    const y = this.#nodes.get(b.id);
    if (x === undefined || y === undefined) return false;
    for (let i = 0; i < x.src.length; i++) {
      if (((x.src[i]! & y.dst[i]!) | (y.src[i]! & x.dst[i]!)) !== 0) return true;
    }
    return false;
  }

  /** JSON text of the node's list of filter rules; the same string as long as nothing changed. */
  filterOf(node: NodeState): string {
    const bits = this.#nodes.get(node.id);
    if (bits === undefined) return '[]';
    let stamp = 0;
    for (const [i, indexed] of this.#rules.entries()) {
      if ((bits.dst[i >> 5]! & (1 << (i & 31))) !== 0 && indexed.stamp > stamp) {
        stamp = indexed.stamp;
      }
    }
    if (bits.filter === undefined || bits.filterStamp !== stamp) {
      bits.filter = this.#compile(node, bits);
      bits.filterStamp = stamp;
    }
    return bits.filter;
  }

  /**
   * Whether the owner of this node may turn it into a machine with this tag. `admin`: decides without a policy.
   * loginName: of an owner who is not stored yet.
   */
  mayTag(
    node: Pick<NodeState, 'userId' | 'tags'>,
    admin: boolean,
    tag: string,
    loginName?: string,
  ): boolean {
    if (this.#tagOwners === undefined) return admin;
    const owners = this.#tagOwners.get(tag) ?? [];
    return owners.some((owner) => this.#matches(owner, node, loginName));
  }

  /** Whether admins and auth keys may give this tag. */
  isTagKnown(tag: string): boolean {
    return this.#tagOwners === undefined || this.#tagOwners.has(tag);
  }

  #matches(
    selector: Selector,
    node: Pick<NodeState, 'userId' | 'tags'>,
    loginName?: string,
  ): boolean {
    switch (selector.type) {
      case 'any':
        return true;
      case 'tag':
        return node.tags.includes(selector.tag);
      case 'tagged':
        return node.userId === undefined;
      case 'member':
        return node.userId !== undefined;
      case 'user':
      case 'group': {
        if (node.userId === undefined) return false;
        const login = (loginName ?? this.#loginOf(node.userId))?.toLowerCase();
        if (login === undefined) return false;
        return selector.type === 'user'
          ? login === selector.loginName
          : selector.members.includes(login);
      }
    }
  }

  #srcIps(indexed: IndexedRule): string {
    if (indexed.anySource) return this.#open ? '"*"' : MESH_SOURCES;
    indexed.srcIps ??= addressRanges([...indexed.sources].map((node) => node.offset))
      .map((range) => `"${range}"`)
      .join(',');
    return indexed.srcIps;
  }

  #compile(node: NodeState, bits: NodeBits): string {
    /** Rules of the same sources and protocols become one. */
    const packets = new Map<string, { head: string; targets: string[]; tail: string }>();
    const out: (() => string)[] = [];
    for (const [i, indexed] of this.#rules.entries()) {
      if ((bits.dst[i >> 5]! & (1 << (i & 31))) === 0) continue;
      const srcIps = this.#srcIps(indexed);
      if (srcIps === '') continue;
      const { rule } = indexed;
      if (rule.type === 'caps') {
        const grants = this.#capGrants(rule, node);
        out.push(() => `{"SrcIPs":[${srcIps}],"CapGrant":[${grants}]}`);
        continue;
      }
      const protocols = rule.protocols?.join(',') ?? '';
      const key = `${srcIps}|${protocols}`;
      let merged = packets.get(key);
      if (merged === undefined) {
        const tail = protocols === '' ? '' : `,"IPProto":[${protocols}]`;
        merged = { head: `{"SrcIPs":[${srcIps}],"DstPorts":[`, targets: [], tail };
        packets.set(key, merged);
        const { head, targets } = merged;
        out.push(() => `${head}${targets.join(',')}]${tail}}`);
      }
      this.#packetTargets(rule, node, merged.targets);
    }
    return `[${out.map((text) => text()).join(',')}]`;
  }

  #packetTargets(rule: PacketRule, node: NodeState, out: string[]): void {
    for (const { selector, ports } of rule.dst) {
      if (!this.#matches(selector, node)) continue;
      const addresses = selector.type === 'any' ? ['*'] : [node.ipv4, node.ipv6];
      for (const address of addresses) for (const range of ports) out.push(target(address, range));
    }
  }

  #capGrants(rule: CapRule, node: NodeState): string {
    const own = `"${node.ipv4}/32","${node.ipv6}/128"`;
    const caps = [...rule.caps].map(([name, args]) => `${JSON.stringify(name)}:${args}`).join(',');
    return rule.dst
      .filter(({ selector }) => this.#matches(selector, node))
      .map(() => `{"Dsts":[${this.#open ? MESH_PREFIXES : own}],"CapMap":{${caps}}}`)
      .join(',');
  }
}

function target(address: string, [first, last]: Ports): string {
  return `{"IP":"${address}","Ports":{"First":${first},"Last":${last}}}`;
}

/** Everybody reaches everything; the owner, unless undefined, has the owner's capabilities. */
function openRules(owner: string | undefined): readonly Rule[] {
  const any: Selector = { type: 'any' };
  const rules: Rule[] = [
    {
      type: 'packets',
      src: [any],
      dst: [{ selector: any, ports: [ALL_PORTS] }],
      protocols: undefined,
    },
  ];
  if (owner !== undefined) {
    rules.push({
      type: 'caps',
      src: [{ type: 'user', loginName: owner.toLowerCase() }],
      dst: [{ selector: any }],
      caps: OWNER_CAPS,
    });
  }
  return rules;
}
