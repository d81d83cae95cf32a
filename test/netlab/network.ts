// A small internet out of network namespaces (root only): one bridge, one server, and sites behind the kinds of access
// that nodes meet. Its addresses exist in these namespaces only.
//
//   bridge 44.128.0.0/24, 2001:db8::/64     (a test block of the amateur network: miniupnpd refuses the documentation
//   server .1, 10.99.0.1, 10.99.0.2, fd99::1  blocks as outside address; 100.64/10 would collide with tailnet addresses)
//   sites  .10 and up; inside 192.168.n.0/24; carrier 10.200.n.0/24
//
// The server has private addresses because stock clients speak plain HTTP to such literals only, and two of IPv4
// because a node knows a hard NAT by what two STUN servers tell it.
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Host, killNamespace } from '../harness/lab.ts';

const execute = promisify(execFile);

export const KINDS = [
  'none',
  'easy',
  'hard',
  'double',
  'portmap',
  'noudp',
  'v6only',
  'v4only',
] as const;
export type Kind = (typeof KINDS)[number];

/** What each kind is, for readers of the table. */
export const KIND_TEXT: Readonly<Record<Kind, string>> = {
  none: 'public IPv4 and IPv6 address, no NAT',
  easy: 'one NAT, the same outside port for every destination',
  hard: 'one NAT, a random outside port for every destination',
  double: "home router behind a carrier's NAT, both easy",
  portmap: 'easy NAT whose router maps ports on request (miniupnpd: NAT-PMP, PCP, UPnP)',
  noudp: 'easy NAT that drops all UDP',
  v6only: 'public IPv6 address, no IPv4',
  v4only: 'public IPv4 address, IPv6 off',
};

export type KindPair = readonly [Kind, Kind];

/** Each unordered pair once, a kind with itself included. */
export function kindPairs(kinds: readonly Kind[]): KindPair[] {
  const ordered = KINDS.filter((kind) => kinds.includes(kind));
  return ordered.flatMap((a, i) => ordered.slice(i).map((b): KindPair => [a, b]));
}

/** How a router lets itself be asked for a port. */
export const MAPPING_PROTOCOLS = ['nat-pmp', 'pcp', 'upnp'] as const;
export type MappingProtocol = (typeof MAPPING_PROTOCOLS)[number];

export const SERVER_V4: readonly string[] = ['10.99.0.1', '10.99.0.2'];
export const SERVER_V6 = 'fd99::1';

const PREFIX = 'cvn';
const ENDINGS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const NET = '44.128.0';

export interface Site {
  readonly kind: Kind;
  /** `easy-a` */
  readonly name: string;
  /** Where nodes live. */
  readonly host: Host;
  /** Where its packets can be dropped on their way: the outermost router, or the host itself. */
  readonly border: Host;
  /** How this site reaches the server. */
  readonly server: string;
  /** Its addresses on the bridge. */
  readonly outside: readonly string[];
}

export class Network implements Disposable {
  readonly server: Host;
  readonly #id = `${PREFIX}${process.pid}`;
  readonly #namespaces: string[] = [];
  readonly #dir: string;
  readonly #onExit = (): void => this[Symbol.dispose]();
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this[Symbol.dispose]();
    process.kill(process.pid, signal);
  };
  #sites = 0;
  #disposed = false;

  constructor() {
    removeLeftovers();
    this.#dir = mkdtempSync(join(tmpdir(), 'cove-netlab-'));
    process.once('exit', this.#onExit);
    for (const signal of ENDINGS) process.on(signal, this.#onSignal);
    this.#addNamespace('net');
    this.#shell('net', 'ip link add br0 type bridge\nip link set br0 up');
    this.server = this.#addHost('server', SERVER_V4[0]!);
    this.#plug('server', 'eth0');
    // It forwards nothing but says so, which spares everyone the wait for a resolver that is not there.
    this.#shell(
      'server',
      `ip addr add ${NET}.1/24 dev eth0
       ip addr add 2001:db8::1/64 dev eth0 nodad
       ${SERVER_V4.map((address) => `ip addr add ${address}/32 dev lo`).join('\n')}
       ip addr add ${SERVER_V6}/128 dev lo nodad
       sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`,
    );
  }

  /** `mapping`: the router maps ports when asked by these protocols; of kind `portmap` by all, unless told otherwise. */
  addSite(
    kind: Kind,
    side: string,
    mapping: readonly MappingProtocol[] = kind === 'portmap' ? MAPPING_PROTOCOLS : [],
  ): Site {
    const n = 10 + this.#sites++;
    const name = `${kind}-${side}`;
    const v4 = `${NET}.${n}`;
    const v6 = `2001:db8::${n}`;
    if (kind === 'none' || kind === 'v4only' || kind === 'v6only') {
      const host = this.#addHost(name, kind === 'v6only' ? v6 : v4);
      this.#plug(name, 'eth0');
      if (kind !== 'v6only')
        this.#shell(name, `ip addr add ${v4}/24 dev eth0\nip route add default via ${NET}.1`);
      if (kind === 'v4only') this.#shell(name, 'sysctl -qw net.ipv6.conf.all.disable_ipv6=1');
      else
        this.#shell(
          name,
          `ip addr add ${v6}/64 dev eth0 nodad\nip route add default via 2001:db8::1`,
        );
      const outside = kind === 'none' ? [v4, v6] : [kind === 'v6only' ? v6 : v4];
      return {
        kind,
        name,
        host,
        border: host,
        server: kind === 'v6only' ? SERVER_V6 : SERVER_V4[0]!,
        outside,
      };
    }
    let wan = `${name}-r`;
    const border = this.#addHost(wan, v4);
    this.#plug(wan, 'wan');
    this.#shell(wan, `ip addr add ${v4}/24 dev wan\nip route add default via ${NET}.1`);
    this.#masquerade(wan, kind, mapping.length > 0);
    if (kind === 'double') {
      const home = `${name}-h`;
      this.#addHost(home, `10.200.${n}.2`);
      this.#join(wan, 'lan', `10.200.${n}.1/24`, home, 'wan', `10.200.${n}.2/24`);
      this.#masquerade(home, kind, false);
      wan = home;
    }
    const host = this.#addHost(name, `192.168.${n}.2`);
    this.#join(wan, 'lan', `192.168.${n}.1/24`, name, 'eth0', `192.168.${n}.2/24`);
    if (mapping.length > 0) startPortMapper(border, v4, `192.168.${n}.1`, mapping);
    return { kind, name, host, border, server: SERVER_V4[0]!, outside: [v4] };
  }

  /** Ends every process in the namespaces and removes them. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const namespace of this.#namespaces) removeNamespace(namespace);
    rmSync(this.#dir, { recursive: true, force: true });
    process.off('exit', this.#onExit);
    // Not before: a second signal, as `node --test` sends one, would end the process half way.
    for (const signal of ENDINGS) process.off(signal, this.#onSignal);
  }

  /**
   * `INPUT … NEW -j DROP`: a peer's early packet would otherwise make a connection entry of the router's own, and the
   * packet that our host then sends there would leave from another port.
   */
  #masquerade(name: string, kind: Kind, maps: boolean): void {
    const iptables = maps ? 'iptables-legacy' : 'iptables';
    this.#shell(
      name,
      `sysctl -qw net.ipv4.ip_forward=1
       ${iptables} -A INPUT -i wan -m conntrack --ctstate NEW -j DROP
       ${iptables} -t nat -A POSTROUTING -o wan -j MASQUERADE ${kind === 'hard' ? '--random-fully' : ''}
       ${kind === 'noudp' ? `${iptables} -A FORWARD -p udp -j DROP` : ''}`,
    );
  }

  #addNamespace(name: string): string {
    const namespace = `${this.#id}-${name}`;
    this.#namespaces.push(namespace);
    execFileSync('ip', ['netns', 'add', namespace]);
    this.#shell(
      name,
      `sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0
       ip link set lo up`,
    );
    return namespace;
  }

  #addHost(name: string, address: string): Host {
    const dir = join(this.#dir, name);
    mkdirSync(dir);
    return new Host(name, this.#addNamespace(name), address, dir);
  }

  /** A cable from the namespace to the bridge. */
  #plug(name: string, device: string): void {
    const port = `p${this.#namespaces.length}`;
    this.#shell(
      name,
      `ip link add ${device} type veth peer name ${port} netns ${this.#id}-net
       ip link set ${device} up`,
    );
    this.#shell('net', `ip link set ${port} master br0 up`);
  }

  /** A cable from a router to a host behind it, whose default route it becomes. */
  #join(
    router: string,
    routerDevice: string,
    routerAddress: string,
    name: string,
    device: string,
    address: string,
  ): void {
    this.#shell(
      router,
      `ip link add ${routerDevice} type veth peer name ${device} netns ${this.#id}-${name}
       ip link set ${routerDevice} up
       ip addr add ${routerAddress} dev ${routerDevice}`,
    );
    this.#shell(
      name,
      `ip link set ${device} up
       ip addr add ${address} dev ${device}
       ip route add default via ${routerAddress.replace(/\/.*/, '')}`,
    );
  }

  #shell(name: string, script: string): void {
    execFileSync('ip', ['netns', 'exec', `${this.#id}-${name}`, 'sh', '-ec', script], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
}

/**
 * miniupnpd works on chains of iptables-legacy only. It answers NAT-PMP and PCP on the same port, where their requests
 * differ in length: 12 bytes at most, or 24 at least.
 */
function startPortMapper(
  router: Host,
  outside: string,
  inside: string,
  offers: readonly MappingProtocol[],
): void {
  const toPort = '-A INPUT -i lan -p udp --dport 5351 -m length --length';
  const chains = [
    '-t nat -N MINIUPNPD',
    '-t mangle -N MINIUPNPD',
    '-t filter -N MINIUPNPD',
    '-t nat -N MINIUPNPD-POSTROUTING',
    '-t nat -A PREROUTING -i wan -j MINIUPNPD',
    '-t mangle -A PREROUTING -i wan -j MINIUPNPD',
    '-t filter -A FORWARD -i wan ! -o wan -j MINIUPNPD',
    '-t nat -I POSTROUTING -o wan -j MINIUPNPD-POSTROUTING',
    ...(offers.includes('nat-pmp') ? [] : [`${toPort} 0:48 -j DROP`]),
    ...(offers.includes('pcp') ? [] : [`${toPort} 49:65535 -j DROP`]),
  ];
  for (const chain of chains)
    execFileSync('ip', ['netns', 'exec', router.namespace, 'iptables-legacy', ...chain.split(' ')]);
  const config = join(router.dir, 'miniupnpd.conf');
  writeFileSync(
    config,
    `ext_ifname=wan
ext_ip=${outside}
listening_ip=lan
enable_natpmp=yes
enable_upnp=${offers.includes('upnp') ? 'yes' : 'no'}
secure_mode=yes
system_uptime=yes
uuid=b014febb-170e-4b29-a55f-${inside.replace(/\D/g, '').padStart(12, '0')}
allow 1024-65535 ${inside}/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`,
  );
  const pidFile = join(router.dir, 'miniupnpd.pid');
  const mapper = router.start('miniupnpd', ['-d', '-f', config, '-P', pidFile]);
  mapper.child.once('close', (code) => {
    if (code !== null) process.stderr.write(`miniupnpd ended with ${code}: ${mapper.stderr}\n`);
  });
}

/** The outside UDP ports that a router maps to hosts behind it. */
export async function mappedPorts(router: Host): Promise<number[]> {
  const { stdout } = await router.run('iptables-legacy', ['-t', 'nat', '-S', 'MINIUPNPD']);
  return [...stdout.matchAll(/-p udp .*--dport (\d+) .*-j DNAT/g)].map(([, port]) => Number(port));
}

/** Runs iptables in the host's namespace, of the backend its rules were made with. */
export async function iptables(host: Host, family: 4 | 6, ...args: string[]): Promise<void> {
  await host.run(family === 6 ? 'ip6tables' : 'iptables', args);
}

/** Bytes that came in at the server's only cable. */
export async function serverBytes(server: Host): Promise<number> {
  const { stdout } = await execute('ip', [
    '-n',
    server.namespace,
    '-s',
    '-j',
    'link',
    'show',
    'eth0',
  ]);
  const [link] = JSON.parse(stdout) as { stats64: { rx: { bytes: number } } }[];
  return link!.stats64.rx.bytes;
}

/** Namespaces whose lab was killed before it could clear up. */
function removeLeftovers(): void {
  const names = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.split(' ')[0]!);
  for (const name of names) {
    const owner = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (owner === undefined) continue;
    try {
      process.kill(Number(owner), 0);
    } catch {
      removeNamespace(name);
    }
  }
}

function removeNamespace(name: string): void {
  try {
    killNamespace(name);
    execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
  } catch {
    // It was not made yet, or is gone already.
  }
}
