// Our port mapper and miniupnpd, the daemon of many home routers: a host behind a masquerading router, and one outside.
// Needs root and the Debian packages miniupnpd and miniupnpd-iptables; skips out loud otherwise.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, type Host, Lab, type Started } from '../harness/lab.ts';

const HOST = fileURLToPath(new URL('./portmapperhost.js', import.meta.url));
const DAEMON = '/usr/sbin/miniupnpd';
const IPTABLES = '/usr/sbin/iptables-legacy';

function missing(): string | false {
  // In CI an absence must fail, not skip.
  if (process.env['CI']) return false;
  if (process.getuid?.() !== 0) return 'needs root (network namespaces)';
  const absent = [DAEMON, IPTABLES].find((path) => !existsSync(path));
  return absent === undefined ? false : `needs ${absent}`;
}

const skip = missing();
if (skip !== false) console.log(`port mapping interop is skipped: ${skip}`);

/** Unassigned to anybody we could meet: the daemon maps nothing behind a private or documentation address. */
const WAN = '11.77.0.1';
const OUTSIDE = '11.77.0.9';
const LAN = '192.168.77.1';
const INSIDE = '192.168.77.2';

interface Network {
  readonly router: Host;
  readonly outside: Host;
  readonly inside: Host;
}

function ip(namespace: string, ...args: string[]): void {
  execFileSync('ip', ['-n', namespace, ...args]);
}

/** The lab's bridge is the internet; the inside host hangs on a link of its own at the router. */
async function build(lab: Lab): Promise<Network> {
  const [router, outside, inside] = ['router', 'outside', 'inside'].map((name) =>
    lab.addHost(name),
  ) as [Host, Host, Host];
  for (const [host, address] of [
    [router, WAN],
    [outside, OUTSIDE],
  ] as const) {
    ip(host.namespace, 'addr', 'flush', 'dev', 'eth0');
    ip(host.namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
  }
  ip(inside.namespace, 'link', 'del', 'eth0');
  const link = ['link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'eth0', 'netns'];
  ip(router.namespace, ...link, inside.namespace);
  ip(router.namespace, 'addr', 'add', `${LAN}/24`, 'dev', 'lan');
  ip(router.namespace, 'link', 'set', 'lan', 'up');
  ip(inside.namespace, 'addr', 'add', `${INSIDE}/24`, 'dev', 'eth0');
  ip(inside.namespace, 'link', 'set', 'eth0', 'up');
  ip(inside.namespace, 'route', 'add', 'default', 'via', LAN);
  await router.run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  // The daemon works on the legacy tables; rules of the other kind beside them leave its mappings without effect.
  for (const rule of [
    '-A INPUT -i eth0 -m conntrack --ctstate NEW -j DROP',
    '-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT',
    '-A FORWARD -i lan -j ACCEPT',
    '-N MINIUPNPD',
    '-A FORWARD -i eth0 -j MINIUPNPD',
    '-P FORWARD DROP',
    '-t nat -A POSTROUTING -o eth0 -j MASQUERADE',
    '-t nat -N MINIUPNPD',
    '-t nat -A PREROUTING -i eth0 -j MINIUPNPD',
    '-t nat -N MINIUPNPD-POSTROUTING',
    '-t nat -A POSTROUTING -o eth0 -j MINIUPNPD-POSTROUTING',
    '-t mangle -N MINIUPNPD',
    '-t mangle -A PREROUTING -i eth0 -j MINIUPNPD',
  ]) {
    await router.run(IPTABLES, rule.split(' '));
  }
  return { router, outside, inside };
}

const ALLOW = ['allow 1024-65535 0.0.0.0/0 1024-65535', 'deny 0-65535 0.0.0.0/0 0-65535'];

async function startDaemon(router: Host, permissions: readonly string[] = ALLOW): Promise<Started> {
  const config = join(router.dir, 'miniupnpd.conf');
  await writeFile(
    config,
    [
      'ext_ifname=eth0',
      `ext_ip=${WAN}`,
      'listening_ip=lan',
      'http_port=5000',
      'enable_natpmp=yes',
      'enable_upnp=yes',
      'secure_mode=yes',
      'system_uptime=no',
      'uuid=5b0d5a5c-6b8c-4a0e-9f54-0c6b1d2e3f40',
      ...permissions,
    ].join('\n'),
  );
  const pidFile = join(router.dir, 'miniupnpd.pid');
  const daemon = router.start(DAEMON, ['-d', '-f', config, '-P', pidFile]);
  await eventually(
    () => `miniupnpd listens: ${daemon.stderr}`,
    10_000,
    async () => (await router.run('ss', ['-Hlun', 'sport = :5351'])).stdout.includes(':5351'),
  );
  return daemon;
}

type Event = Readonly<Record<string, unknown>>;

function events(program: Started): Event[] {
  return program.stdout
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as Event);
}

interface Mapping {
  readonly external: string;
  readonly protocol: string;
}

function mappings(program: Started): (Mapping | null)[] {
  return events(program).flatMap((event) =>
    'mapping' in event ? [event['mapping'] as Mapping | null] : [],
  );
}

async function firstMapping(program: Started, count = 1): Promise<Mapping> {
  return await eventually(
    () => `a mapping: ${program.stdout}${program.stderr}`,
    30_000,
    () =>
      mappings(program)
        .slice(count - 1)
        .find((mapping) => mapping !== null) ?? undefined,
  );
}

async function sendFromOutside(outside: Host, external: string, text: string): Promise<void> {
  const [address, port] = external.split(':');
  const script = `const s = require('node:dgram').createSocket('udp4');
    s.send(${JSON.stringify(text)}, ${port}, ${JSON.stringify(address)}, () => s.close());`;
  await outside.run(process.execPath, ['-e', script]);
}

function arrivals(program: Started): string[] {
  return events(program).flatMap((event) => ('arrived' in event ? [String(event['arrived'])] : []));
}

async function arrives(program: Started, outside: Host, external: string): Promise<void> {
  await sendFromOutside(outside, external, `knock at ${external}`);
  await eventually(
    () => `the datagram arrives: ${program.stdout}`,
    5_000,
    () => arrivals(program).includes(`knock at ${external}`),
  );
}

async function release(program: Started): Promise<void> {
  program.child.kill('SIGUSR1');
  await eventually(
    () => `the mapping is released: ${program.stdout}${program.stderr}`,
    5_000,
    () => events(program).some((event) => event['closed'] === true),
  );
}

async function rules(router: Host): Promise<string> {
  return (await router.run(IPTABLES, ['-t', 'nat', '-S', 'MINIUPNPD'])).stdout;
}

const options = { skip, timeout: 120_000 };

const PROTOCOLS = ['nat-pmp', 'pcp', 'upnp'];
for (const protocol of PROTOCOLS) {
  test(
    `a mapping by ${protocol} lets a datagram in from outside, and release ends it`,
    options,
    async () => {
      await using lab = new Lab();
      const { router, outside, inside } = await build(lab);
      await startDaemon(router);
      const program = inside.start(process.execPath, [HOST, protocol]);
      const mapping = await firstMapping(program);
      assert.equal(mapping.protocol, protocol);
      assert.equal(mapping.external.split(':')[0], WAN);
      assert.match(await rules(router), new RegExp(`--dport ${mapping.external.split(':')[1]} `));
      await arrives(program, outside, mapping.external);
      await release(program);
      assert.doesNotMatch(await rules(router), /DNAT/);
      await sendFromOutside(outside, mapping.external, 'too late');
      await new Promise((done) => setTimeout(done, 300));
      assert.deepEqual(arrivals(program), [`knock at ${mapping.external}`]);
    },
  );
}

test('a router that restarted and forgot is asked again, for the same port', options, async () => {
  await using lab = new Lab();
  const { router, outside, inside } = await build(lab);
  const daemon = await startDaemon(router);
  const program = inside.start(process.execPath, [HOST, ...PROTOCOLS]);
  const before = await firstMapping(program);
  await daemon.kill();
  await router.run(IPTABLES, ['-t', 'nat', '-F', 'MINIUPNPD']);
  await router.run(IPTABLES, ['-F', 'MINIUPNPD']);
  await startDaemon(router);
  program.child.kill('SIGHUP');
  await eventually(
    () => `the mapping is back: ${program.stdout}${program.stderr}`,
    15_000,
    async () => (await rules(router)).includes('DNAT'),
  );
  await arrives(program, outside, before.external);
  assert.deepEqual(mappings(program).length, 1, 'nobody had to be told of a change');
});

test('a router that maps nothing for us leaves us without a mapping', options, async () => {
  await using lab = new Lab();
  const { router, inside } = await build(lab);
  await startDaemon(router, ['deny 0-65535 0.0.0.0/0 0-65535']);
  // By UPnP only: this release goes round in circles for ever when the others ask what it may not grant.
  const program = inside.start(process.execPath, [HOST, 'upnp']);
  await eventually(
    () => `it refuses: ${program.stdout}${program.stderr}`,
    30_000,
    () => events(program).some((event) => event['failed'] === 'refused'),
  );
  assert.deepEqual(mappings(program), []);
});
