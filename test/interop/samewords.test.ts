// The command line of stock clients on our control prints what it prints on a stock control server: the same commands on
// both, with two stock machines and our relay, compared line by line once addresses, names, keys and times are taken
// out.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing, peerPath } from '../harness/peers.ts';
import type { StockNode } from '../harness/stocknode.ts';
import { SplitHost } from './splithost.ts';

const RELEASES = [CURRENT_RELEASE, '1.80.3'];
const skip = missing({
  root: true,
  programs: [
    ['stockcontrol', CURRENT_RELEASE],
    ...RELEASES.flatMap(
      (release) =>
        [
          ['tailscale', release],
          ['tailscaled', release],
        ] as const,
    ),
  ],
});

interface Pair {
  readonly near: StockNode;
  readonly far: StockNode;
  readonly address: string;
  readonly fullName: string;
}

for (const release of RELEASES) {
  describe(`the command line of ${release}, on our control and on a stock one`, { skip }, () => {
    let network: SplitHost;
    let ours: Pair;
    let theirs: Pair;

    before(async () => {
      network = await SplitHost.start(1, false);
      const stockUrl = await startStockControl(network);
      ours = await pair(network, 'a', release, network.url, () => network.authKey());
      theirs = await pair(network, 'b', release, stockUrl, async () => 'any');
    });
    after(async () => {
      await network?.[Symbol.asyncDispose]();
    });

    /** Runs it on both, and compares the words. */
    const same = (title: string, command: (pair: Pair) => string[]): Promise<void> =>
      test(title, async () => {
        const [here, there] = await Promise.all(
          [ours, theirs].map(async (each) => words(await each.near.cli(...command(each)), each)),
        );
        assert.equal(here, there);
      });

    /** Runs it on both, and compares the members and their types. */
    const sameShape = (title: string, command: (pair: Pair) => string[]): Promise<void> =>
      test(`${title}: the same members, of the same types`, async () => {
        const [here, there] = await Promise.all(
          [ours, theirs].map(async (each) => {
            const answer = JSON.parse(await each.near.cli(...command(each))) as object;
            return [...new Set(shape(answer))].filter((path) => !OWN_TO_CONTROL.test(path)).sort();
          }),
        );
        assert.deepEqual(here, there);
      });

    void same('ping', ({ address }) => ['ping', '--c=1', '--until-direct=false', address]);
    void same('ping --tsmp', ({ address }) => ['ping', '--tsmp', '--c=1', address]);
    void same('ping --icmp', ({ address }) => ['ping', '--icmp', '--c=1', address]);
    void same('status', () => ['status']);
    void same('whois', ({ address }) => ['whois', address]);
    void same('netcheck', () => ['netcheck']);
    if (release === CURRENT_RELEASE) {
      void same('dns query', ({ fullName }) => ['dns', 'query', fullName]);
    }

    void sameShape('status --json', () => ['status', '--json']);
    void sameShape('whois --json', ({ address }) => ['whois', '--json', address]);
  });
}

/**
 * Capabilities, profiles, certificates and how much of its host a node shows to peers differ from network to network; the
 * stock server for tests knows neither when a node was made nor who is online.
 */
const OWN_TO_CONTROL =
  /CapMap|Capabilities|CertDomains|KeyExpiry|ProfilePicURL|Health|Hostinfo|\.Created|\.Node\.Online/;

async function startStockControl(network: SplitHost): Promise<string> {
  const host = network.lab.addHost('stockcontrol');
  const map = join(host.dir, 'derpmap.json');
  writeFileSync(map, JSON.stringify(network.openMap()));
  const url = `http://${host.address}:8090`;
  const program = host.start(peerPath('stockcontrol'), [
    ...['--listen', url.slice('http://'.length), '--derp-map', map],
  ]);
  await eventually(
    () => `no stock control\n${program.stderr}`,
    15_000,
    () => /listening on/.test(program.stderr),
  );
  return url;
}

async function pair(
  network: SplitHost,
  letter: string,
  release: string,
  url: string,
  key: () => Promise<string>,
): Promise<Pair> {
  const near = network.stockNode(`near-${letter}`, release);
  const far = network.stockNode(`far-${letter}`, release);
  await near.up(url, await key(), `--hostname=near-${letter}`);
  await far.up(url, await key(), `--hostname=far-${letter}`);
  const { Self: self } = await far.status();
  const address = self.TailscaleIPs[0]!;
  await eventually(
    () => `far does not answer\n${near.log}`,
    30_000,
    () => near.cli('ping', '--c=5', address),
  );
  // Warnings of the first seconds.
  await eventually(
    () => 'warnings stay',
    30_000,
    async () => (await near.status()).Health?.every((line) => /DNS|OS base/.test(line)) !== false,
  );
  return { near, far, address, fullName: self.DNSName };
}

/** They stand in any order. */
const WARNING = /^# +- .*$/gm;

/** What is said, without whom and what it is said of. */
function words(text: string, { fullName }: Pair): string {
  const warnings = (text.match(WARNING) ?? []).sort();
  const domain = fullName.slice(fullName.indexOf('.') + 1).replace(/\.$/, '');
  return (
    text
      .replaceAll(WARNING, () => warnings.shift()!)
      .replaceAll(domain, 'DOMAIN')
      // What only the networks themselves know: capabilities, presence, identifiers.
      .replace(/^Capabilities:\n(?:\s.*\n)*/m, '')
      .replace('; offline', '')
      .replace(/\bID:\s+\S+/g, 'ID')
      .replace(/\* Time: .*/, 'TIME')
      .replace(/\S+@ +/g, 'LOGIN ')
      .replace(/\b(near|far)-[ab]\b/g, '$1')
      .replace(/\[?\b(?:[0-9a-f]{1,4}:){2,7}[0-9a-f:]*\]?(?:\/\d+)?/gi, 'IP6')
      .replace(/\b\d+\.\d+\.\d+\.\d+(?:\/\d+)?(?::\d+)?/g, 'IP4')
      .replace(/\b[\w.+-]+@[\w.-]*\w\b/g, 'LOGIN')
      .replace(/\b[\d.]+(?:ns|µs|ms|s)\b/g, 'TIME')
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-][\d:]+)/g, 'DATE')
      .replace(/\b\d+\b/g, 'N')
      .replace(/[ \t]+/g, ' ')
  );
}

/** The path of every member with its type; names that are keys, addresses or numbers are left out. */
function* shape(value: unknown, path = ''): Generator<string> {
  if (Array.isArray(value)) {
    for (const each of value) yield* shape(each, `${path}[]`);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      const part = /^nodekey:|^\d+$/.test(name) ? '*' : name;
      yield* shape(member, `${path}.${part}`);
    }
  } else yield `${path}: ${value === null ? 'null' : typeof value}`;
}
