// The policy file: groups, tagOwners, grants and acls, read into rules. What this server does not carry out is an error
// that names the place, never ignored: a policy half understood would allow or deny what nobody wrote.
//
//   selectors   *   user@domain   group:x   tag:x   autogroup:member   autogroup:tagged
//   grants      src, dst, ip (`*`, `443`, `80-90`, `tcp:443`, `icmp:*`), app (capability -> arguments)
//   acls        action accept, src, dst `selector:ports`, proto
import { ControlError } from '../errors.ts';
import { isTag } from '../state/names.ts';
import { type HuValue, lineAndColumn, parseHuJson, toJson } from './hujson.ts';

export type Selector =
  | { readonly type: 'any' }
  | { readonly type: 'user'; readonly loginName: string }
  | { readonly type: 'group'; readonly members: readonly string[] }
  | { readonly type: 'tag'; readonly tag: string }
  | { readonly type: 'member' }
  | { readonly type: 'tagged' };

export type Ports = readonly [first: number, last: number];

export const ALL_PORTS: Ports = [0, 65535];

/** Packets of the protocols (undefined: TCP, UDP and ICMP) from any source to any destination on its ports. */
export interface PacketRule {
  readonly type: 'packets';
  readonly src: readonly Selector[];
  readonly dst: readonly { readonly selector: Selector; readonly ports: readonly Ports[] }[];
  readonly protocols: readonly number[] | undefined;
}

/** Capabilities of the sources at the destinations: name to the JSON text of its argument list. */
export interface CapRule {
  readonly type: 'caps';
  readonly src: readonly Selector[];
  readonly dst: readonly { readonly selector: Selector }[];
  readonly caps: ReadonlyMap<string, string>;
}

export type Rule = PacketRule | CapRule;

export interface Policy {
  /** undefined: the file has neither grants nor acls, everybody reaches everything. */
  readonly rules: readonly Rule[] | undefined;
  /** Tag to those who may give it to their own devices. */
  readonly tagOwners: ReadonlyMap<string, readonly Selector[]>;
}

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  ipv4: 4,
  'ip-in-ip': 4,
  tcp: 6,
  egp: 8,
  igp: 9,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  'ipv6-icmp': 58,
  sctp: 132,
  fc: 133,
};
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 132]);

/** Capabilities whose destinations learn about their sources by a second, reversed rule. */
const COMPANIONS: ReadonlyMap<string, string> = new Map([
  ['tailscale.com/cap/drive', 'tailscale.com/cap/drive-sharer'],
  ['tailscale.com/cap/relay', 'tailscale.com/cap/relay-target'],
]);

const SECTIONS: ReadonlySet<string> = new Set(['groups', 'tagOwners', 'grants', 'acls']);

/** Throws ControlError ERR_POLICY: `line 3:12 (grants[0].src[1]): ...`. */
export function parsePolicy(text: string): Policy {
  if (text.trim() === '') return { rules: undefined, tagOwners: new Map() };
  return new PolicyReader(text).read();
}

class PolicyReader {
  readonly #text: string;
  readonly #groups = new Map<string, readonly string[]>();
  readonly #tagOwners = new Map<string, readonly Selector[]>();

  constructor(text: string) {
    this.#text = text;
  }

  #fail(value: HuValue, place: string, message: string): never {
    const where = place === '' ? '' : ` (${place})`;
    throw new ControlError(
      'ERR_POLICY',
      `line ${lineAndColumn(this.#text, value.at)}${where}: ${message}`,
    );
  }

  read(): Policy {
    const root = parseHuJson(this.#text);
    const sections = this.#members(root, '');
    for (const [name, value] of sections) {
      if (!SECTIONS.has(name)) this.#fail(value, name, `${name} is not supported by this server`);
    }
    const groups = sections.get('groups');
    if (groups !== undefined) this.#readGroups(groups);
    const tagOwners = sections.get('tagOwners');
    if (tagOwners !== undefined) this.#readTagOwners(tagOwners);
    const grants = sections.get('grants');
    const acls = sections.get('acls');
    if (grants === undefined && acls === undefined) {
      return { rules: undefined, tagOwners: this.#tagOwners };
    }
    const rules: Rule[] = [];
    if (grants !== undefined) {
      this.#items(grants, 'grants').forEach((grant, i) => {
        rules.push(...this.#grant(grant, `grants[${i}]`));
      });
    }
    if (acls !== undefined) {
      this.#items(acls, 'acls').forEach((acl, i) => {
        rules.push(...this.#acl(acl, `acls[${i}]`));
      });
    }
    return { rules, tagOwners: this.#tagOwners };
  }

  #members(value: HuValue, place: string): ReadonlyMap<string, HuValue> {
    if (value.type !== 'object') this.#fail(value, place, 'object expected');
    return value.members;
  }

  #items(value: HuValue, place: string): readonly HuValue[] {
    if (value.type !== 'array') this.#fail(value, place, 'list expected');
    return value.items;
  }

  #string(value: HuValue, place: string): string {
    if (value.type !== 'string') this.#fail(value, place, 'string expected');
    return value.text.trim();
  }

  #readGroups(value: HuValue): void {
    for (const [name, list] of this.#members(value, 'groups')) {
      const place = `groups.${name}`;
      if (!/^group:[^\s:@]+$/.test(name))
        this.#fail(list, place, 'group names begin with "group:"');
      const members = this.#items(list, place).map((item, i) => {
        const token = this.#string(item, `${place}[${i}]`);
        if (token.startsWith('group:')) {
          this.#fail(item, `${place}[${i}]`, 'group members cannot be recursive');
        }
        if (!token.includes('@')) this.#fail(item, `${place}[${i}]`, 'username must contain @');
        return token.toLowerCase();
      });
      this.#groups.set(name, members);
    }
  }

  #readTagOwners(value: HuValue): void {
    const sections = this.#members(value, 'tagOwners');
    for (const [tag, list] of sections) {
      if (!isTag(tag)) {
        this.#fail(list, `tagOwners.${tag}`, "tag names must start with a letter, after 'tag:'");
      }
      this.#tagOwners.set(tag, []);
    }
    for (const [tag, list] of sections) {
      const owners = this.#items(list, `tagOwners.${tag}`).map((item, i) => {
        const place = `tagOwners.${tag}[${i}]`;
        const owner = this.#selector(item, place, this.#string(item, place));
        if (owner.type === 'any') this.#fail(item, place, '"*" cannot own a tag');
        return owner;
      });
      this.#tagOwners.set(tag, owners);
    }
  }

  #selector(value: HuValue, place: string, text: string): Selector {
    if (text === '*') return { type: 'any' };
    if (text === 'autogroup:member' || text === 'autogroup:members') return { type: 'member' };
    if (text === 'autogroup:tagged') return { type: 'tagged' };
    if (text.startsWith('autogroup:')) {
      this.#fail(value, place, `${text} is not supported by this server`);
    }
    if (text.startsWith('group:')) {
      const members = this.#groups.get(text);
      if (members === undefined) this.#fail(value, place, `${text}: group not defined in policy`);
      return { type: 'group', members };
    }
    if (text.startsWith('tag:')) {
      if (!this.#tagOwners.has(text)) this.#fail(value, place, `tag not found: "${text}"`);
      return { type: 'tag', tag: text };
    }
    if (/^[^\s:]+@[^\s:]*$/.test(text)) return { type: 'user', loginName: text.toLowerCase() };
    this.#fail(
      value,
      place,
      `"${text}" is not supported: use *, user@domain, group:, tag:, autogroup:member or autogroup:tagged`,
    );
  }

  #selectors(value: HuValue | undefined, owner: HuValue, place: string): readonly Selector[] {
    if (value === undefined) this.#fail(owner, place, 'missing');
    return this.#items(value, place).map((item, i) =>
      this.#selector(item, `${place}[${i}]`, this.#string(item, `${place}[${i}]`)),
    );
  }

  #grant(value: HuValue, place: string): readonly Rule[] {
    const members = this.#members(value, place);
    for (const [name, member] of members) {
      if (!['src', 'dst', 'ip', 'app'].includes(name)) {
        this.#fail(member, `${place}.${name}`, 'not supported by this server');
      }
    }
    const src = this.#selectors(members.get('src'), value, `${place}.src`);
    const dst = this.#selectors(members.get('dst'), value, `${place}.dst`);
    const ip = members.get('ip');
    const app = members.get('app');
    const entries = ip === undefined ? [] : this.#items(ip, `${place}.ip`);
    const caps = app === undefined ? 0 : this.#members(app, `${place}.app`).size;
    if (entries.length === 0 && caps === 0) {
      this.#fail(value, place, 'ip and app can not both be empty');
    }
    const rules: Rule[] = entries.map((item, i) => {
      const { protocols, ports } = this.#ipEntry(item, `${place}.ip[${i}]`);
      const targets = dst.map((selector) => ({ selector, ports: [ports] }));
      return { type: 'packets', src, dst: targets, protocols };
    });
    if (app !== undefined) rules.push(...this.#app(app, `${place}.app`, src, dst));
    return rules;
  }

  #ipEntry(
    value: HuValue,
    place: string,
  ): { protocols: readonly number[] | undefined; ports: Ports } {
    const text = this.#string(value, place);
    const parts = text.split(':');
    if (parts.length > 2) {
      this.#fail(value, place, 'expected only one colon in Internet protocol and port type');
    }
    if (parts.length === 1) return { protocols: undefined, ports: this.#ports(value, place, text) };
    const protocols = this.#protocol(value, place, parts[0]!);
    return { protocols, ports: this.#protocolPorts(value, place, protocols, parts[1]!) };
  }

  #protocol(value: HuValue, place: string, text: string): readonly number[] {
    const named = Object.hasOwn(PROTOCOLS, text) ? PROTOCOLS[text] : undefined;
    if (named !== undefined) return [named];
    if (/^0\d/.test(text)) this.#fail(value, place, 'leading 0 not permitted in protocol number');
    const number = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
    if (!(number >= 1 && number <= 255)) {
      this.#fail(
        value,
        place,
        `protocol "${text}" not known; use a name or a number from 1 to 255`,
      );
    }
    return [number];
  }

  #protocolPorts(
    value: HuValue,
    place: string,
    protocols: readonly number[] | undefined,
    text: string,
  ): Ports {
    const ports = this.#ports(value, place, text);
    const portless = protocols !== undefined && !WITH_PORTS.has(protocols[0]!);
    if (portless && ports !== ALL_PORTS) {
      this.#fail(value, place, 'protocol does not support specific ports');
    }
    return ports;
  }

  #ports(value: HuValue, place: string, text: string): Ports {
    if (text === '*') return ALL_PORTS;
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
    if (match === null) this.#fail(value, place, `"${text}" is no port, port range or *`);
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (first === 0) this.#fail(value, place, "first port must be >0, or use '*' for wildcard");
    if (last > 65535) this.#fail(value, place, 'port above 65535');
    if (first > last) {
      this.#fail(value, place, 'invalid port range: first port is greater than last port');
    }
    return [first, last];
  }

  #app(
    value: HuValue,
    place: string,
    src: readonly Selector[],
    dst: readonly Selector[],
  ): readonly Rule[] {
    const caps = new Map<string, string>();
    const rules: Rule[] = [];
    for (const [name, args] of this.#members(value, place)) {
      if (name.includes('://') || !/^[^/\s]+\.[^/\s]+\/\S+$/.test(name)) {
        this.#fail(args, `${place}.${name}`, 'capability name must have the form {domain}/{path}');
      }
      this.#items(args, `${place}.${name}`);
      caps.set(name, toJson(args));
      const companion = COMPANIONS.get(name);
      if (companion !== undefined) {
        const back = src.map((selector) => ({ selector }));
        rules.push({ type: 'caps', src: dst, dst: back, caps: new Map([[companion, '[]']]) });
      }
    }
    const targets = dst.map((selector) => ({ selector }));
    return [{ type: 'caps', src, dst: targets, caps }, ...rules];
  }

  #acl(value: HuValue, place: string): readonly Rule[] {
    const members = this.#members(value, place);
    for (const [name, member] of members) {
      // Some editors keep comments in members that begin with #.
      if (!['action', 'src', 'dst', 'proto'].includes(name) && !name.startsWith('#')) {
        this.#fail(member, `${place}.${name}`, 'not supported by this server');
      }
    }
    const action = members.get('action');
    if (action === undefined) this.#fail(value, `${place}.action`, 'missing');
    const verb = this.#string(action, `${place}.action`);
    if (verb !== 'accept')
      this.#fail(action, `${place}.action`, `action="${verb}" is not supported`);
    const src = this.#selectors(members.get('src'), value, `${place}.src`);
    const proto = members.get('proto');
    const protoText = proto === undefined ? '' : this.#string(proto, `${place}.proto`);
    const protocols =
      protoText === '' ? undefined : this.#protocol(proto!, `${place}.proto`, protoText);
    const list = members.get('dst');
    if (list === undefined) this.#fail(value, `${place}.dst`, 'missing');
    const dst = this.#items(list, `${place}.dst`).map((item, i) => {
      const here = `${place}.dst[${i}]`;
      const text = this.#string(item, here);
      const colon = text.lastIndexOf(':');
      if (colon < 0) {
        this.#fail(
          item,
          here,
          'input must contain a colon character separating destination and port',
        );
      }
      const selector = this.#selector(item, here, text.slice(0, colon));
      const ports = text
        .slice(colon + 1)
        .split(',')
        .map((part) => this.#protocolPorts(item, here, protocols, part));
      return { selector, ports };
    });
    if (src.length === 0 || dst.length === 0) return [];
    return [{ type: 'packets', src, dst, protocols }];
  }
}
