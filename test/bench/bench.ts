// `npm run bench`: Cove's node against stock tsnet on this machine, pairing by pairing, round by round. Needs root (it
// makes network namespaces) and the stock peers of scripts/install-peers.sh.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import { Disturbance } from './disturbance.ts';
import { handshakeRate, writeExercise } from './handshakes.ts';
import {
  furtherNodes,
  idleConnections,
  idleRss,
  measurePair,
  measureRelayed,
  type Plan,
} from './measure.ts';
import type { CaseName, Values } from './metrics.ts';
import { type BenchOptions, parseOptions, USAGE } from './options.ts';
import { type Goodput, goodputSection, toPage, toText } from './page.ts';
import {
  type Flavour,
  PAIRINGS,
  type PairingName,
  startKernelPair,
  startPair,
  startPeer,
} from './pairings.ts';
import type { PeerProcess } from './peerprocess.ts';
import { writeProfiles } from './profile.ts';
import { type Facts, ResultBook, type Results, readResults } from './results.ts';
import { stockStarts } from './stockstart.ts';
import { type Tailnet, Testbed } from './testbed.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const JSON_FILE = join(ROOT, 'docs', 'performance.json');
const QUICK_FILE = join(ROOT, 'test', 'bench', 'out', 'quick.json');
const PAGE_FILE = join(ROOT, 'docs', 'performance.md');
const PROFILE_FILE = join(ROOT, 'docs', 'performance', 'profile.md');
const GOODPUT_FILE = join(ROOT, 'docs', 'performance', 'goodput.json');
const LEARNED_FILE = join(ROOT, 'docs', 'performance', 'learned.md');
/** Both ends alike: what one node costs is measured with them. */
const ALIKE: ReadonlySet<PairingName> = new Set(['go-go', 'cove-cove', 'cove-js', 'cove-wasm']);
/** What does not differ between the kinds of Cove is measured of one. */
const FULL: ReadonlySet<PairingName> = new Set(['go-go', 'cove-cove']);
const PAIR_CASES: readonly CaseName[] = ['start', 'echo', 'http', 'stream', 'connect', 'udp'];

const PRIORITY = -20;
/** By its relay, or with a thousand machines that stay away. */
type TailnetName = 'cove' | 'derper' | 'crowd';
const CROWD_SIZE = 1000;

class Bench {
  readonly #options: BenchOptions;
  readonly #bed: Testbed;
  readonly #book: ResultBook;
  readonly #plan: Plan;
  readonly #tailnets: Partial<Record<TailnetName, Promise<Tailnet>>> = {};

  constructor(options: BenchOptions, bed: Testbed, book: ResultBook) {
    this.#options = options;
    this.#bed = bed;
    this.#book = book;
    this.#plan = options;
  }

  #tailnet(name: TailnetName): Promise<Tailnet> {
    const made =
      this.#tailnets[name] ??
      (name === 'crowd' ? this.#bed.tailnet('cove', CROWD_SIZE) : this.#bed.tailnet(name));
    this.#tailnets[name] = made;
    return made;
  }

  async run(save: () => void): Promise<void> {
    const { rounds, pairings } = this.#options;
    const earlier = this.#book.rounds;
    for (let round = 0; round < rounds; round++) {
      // Nobody is always first.
      const first = earlier + round;
      const order = pairings.map((_one, i) => pairings[(i + first) % pairings.length]!);
      for (const pairing of order) {
        const from = performance.now();
        try {
          await this.#measure(pairing);
        } catch (error) {
          process.stderr.write(`${pairing}: ${(error as Error).message}\n`);
          process.exitCode = 1;
        }
        const seconds = ((performance.now() - from) / 1000).toFixed(1);
        process.stderr.write(`round ${round + 1} of ${rounds}: ${pairing}, ${seconds} s\n`);
        save();
      }
    }
  }

  async #measure(pairing: PairingName): Promise<void> {
    const { cases } = this.#options;
    const flavours = PAIRINGS[pairing];
    if (PAIR_CASES.some((one) => cases.has(one))) await this.#measurePair(pairing);
    if (flavours === undefined || !ALIKE.has(pairing)) return;
    const [flavour] = flavours;
    if (cases.has('handshake')) {
      const file = join(this.#bed.direct.client.dir, 'handshakes.json');
      writeExercise(file);
      this.#add(pairing, { 'handshake.rate': await handshakeRate(flavour, file) });
    }
    if (!FULL.has(pairing)) return;
    if (cases.has('start')) this.#add(pairing, await stockStarts(flavour, this.#bed.alone));
    if (cases.has('idle')) {
      const tailnet = await this.#tailnet('cove');
      await using pair = await startPair(flavours, this.#bed.direct, tailnet, 'direct');
      this.#add(pairing, { 'rss.idleConn': await idleConnections(pair) });
    }
    if (cases.has('nodes')) {
      const further = await this.#alone(flavour, 'cove', furtherNodes);
      this.#add(pairing, { 'rss.further': further });
    }
    if (cases.has('peers')) {
      const without = await this.#alone(flavour, 'cove', idleRss);
      const among = await this.#alone(flavour, 'crowd', idleRss);
      this.#add(pairing, { 'rss.idlePeer': ((among - without) * 1024) / CROWD_SIZE });
    }
    if (cases.has('relay')) await this.#relayed(pairing, flavours);
  }

  async #measurePair(pairing: PairingName): Promise<void> {
    const flavours = PAIRINGS[pairing];
    const tailnet = await this.#tailnet('cove');
    const disturbance = new Disturbance();
    await using pair = await (flavours === undefined
      ? startKernelPair(this.#bed.direct)
      : startPair(flavours, this.#bed.direct, tailnet, 'direct'));
    const values = await measurePair(pair, this.#plan, flavours === undefined);
    const { crypto, offload, go } = pair.client.ready.versions;
    if (go !== undefined) this.#book.setGo(go);
    this.#add(
      pairing,
      { ...values, disturbance: 100 * disturbance.share() },
      {
        ...(crypto !== undefined && { crypto }),
        ...(offload !== undefined && { offload: offload === 'yes' }),
      },
    );
  }

  /** What a single fresh node shows. */
  async #alone(
    flavour: Flavour,
    where: TailnetName,
    look: (peer: PeerProcess) => Promise<number>,
  ): Promise<number> {
    const tailnet = await this.#tailnet(where);
    const peer = await startPeer(flavour, this.#bed.direct.client, tailnet);
    try {
      return await look(peer);
    } finally {
      await peer.end();
    }
  }

  async #relayed(pairing: PairingName, flavours: readonly [Flavour, Flavour]): Promise<void> {
    const hosts = await this.#bed.relayed();
    for (const relay of ['cove', 'derper'] as const) {
      const tailnet = await this.#tailnet(relay);
      await using pair = await startPair(flavours, hosts, tailnet, 'relay');
      const name = relay === 'cove' ? 'relay' : 'derper';
      this.#add(pairing, await measureRelayed(pair, this.#plan, name));
    }
  }

  #add(pairing: PairingName, values: Values, facts?: Facts): void {
    this.#book.add(pairing, values, facts);
  }
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    console.log(USAGE);
    return;
  }
  if (options.page) {
    writePage(readResults(JSON_FILE));
    return;
  }
  const why = missing({
    root: true,
    commands: ['ip', 'iptables', 'wg'],
    programs: [
      ['benchpeer', CURRENT_RELEASE],
      ['wireguard-go', CURRENT_RELEASE],
      ['derper', CURRENT_RELEASE],
      ['testcontrol', CURRENT_RELEASE],
    ],
  });
  if (why !== false) throw new TypeError(why);
  const file = options.quick ? QUICK_FILE : JSON_FILE;
  const book = ResultBook.open(options.quick ? undefined : file, options.continue);
  goFirst();
  const bed = new Testbed();
  const clear = (): void => void bed[Symbol.asyncDispose]();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      clear();
      process.exit(130);
    });
  }
  try {
    if (options.profile) {
      await writeProfiles('cove', bed.direct, await bed.tailnet('cove'), PROFILE_FILE);
      return;
    }
    await new Bench(options, bed, book).run(() => book.write(file));
  } finally {
    await bed[Symbol.asyncDispose]();
  }
  if (!options.quick) writePage(book.results());
  console.log(toText(book.results()));
}

/** This process and those it will start come before all others; where sessions share the processor, theirs too. */
function goFirst(): void {
  setPriority(PRIORITY);
  try {
    writeFileSync('/proc/self/autogroup', String(PRIORITY));
  } catch {
    // A kernel without them.
  }
}

/** What was learned is written by hand; goodput over bad links comes from its own measurement. */
function writePage(results: Results): void {
  const more = [
    ...(existsSync(GOODPUT_FILE)
      ? [goodputSection(JSON.parse(readFileSync(GOODPUT_FILE, 'utf8')) as Goodput)]
      : []),
    ...(existsSync(LEARNED_FILE) ? [readFileSync(LEARNED_FILE, 'utf8')] : []),
  ];
  writeFileSync(PAGE_FILE, toPage(results, more));
}

try {
  await main();
  process.exit();
} catch (error) {
  const isUsage =
    error instanceof TypeError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE');
  console.error(isUsage ? (error as Error).message : error);
  process.exit(2);
}
