// Redirects a second, golink beside node:http alone: `node test/dist/bench/golink-redirects.js [--seconds S] [--rounds N]
// [--only loopback|tunnel]`. Both in processes of their own on loopback, in turn; medians. Clicks are counted. Where a
// PostgreSQL server is installed, also over that. Then, as root, the same through the tunnel. Writes
// docs/performance/golink-*.json and the page.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { postgresPrograms, startPostgres } from '../harness/postgres.ts';
import { REDIRECTS_FILE, type Redirects, TUNNEL_FILE, writeGolinkPage } from './golinkpage.ts';
import { GolinkProcess, type Load, median, wrk } from './golinkprocess.ts';
import { tunnelRedirects } from './golinktunnel.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);

const LINKS: Readonly<
  Record<string, { readonly short: string; readonly long: string; readonly path: string }>
> = {
  'plain link': { short: 'plain', long: 'https://wiki.example.com/start', path: '/plain' },
  'plain link, path and query': {
    short: 'docs',
    long: 'https://docs.example.com/',
    path: '/docs/team/page?lang=en',
  },
  'template with .Path': {
    short: 'search',
    long: 'https://search.example.com/{{if .Path}}?q={{QueryEscape .Path}}{{end}}',
    path: '/search/some%20words',
  },
};

async function fill(server: GolinkProcess): Promise<void> {
  for (const { short, long } of Object.values(LINKS)) {
    const answer = await fetch(server.url('/.api/v1/links'), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ short, long }),
    });
    if (answer.status !== 201) throw new Error(await answer.text());
  }
}

const middle = (loads: readonly Load[]): Load => ({
  perSecond: median(loads.map(({ perSecond }) => perSecond)),
  p50: median(loads.map(({ p50 }) => p50)),
  p99: median(loads.map(({ p99 }) => p99)),
});

const save = (file: string, result: unknown): void => {
  const text = JSON.stringify(result, undefined, 2);
  writeFileSync(file, `${text}\n`);
  writeGolinkPage();
  console.log(text);
};

async function loopback(dir: string): Promise<void> {
  await using bare = await GolinkProcess.start('bare');
  await using golink = await GolinkProcess.start(join(dir, 'links.db'));
  await using postgres = postgresPrograms() === undefined ? undefined : await startPostgres();
  await using replica = postgres && (await GolinkProcess.start(postgres.address));
  await fill(golink);
  if (replica !== undefined) await fill(replica);
  const runs: [string, string][] = [['node:http alone', bare.url('/plain')]];
  for (const [name, { path }] of Object.entries(LINKS)) runs.push([name, golink.url(path)]);
  if (replica !== undefined) runs.push(['plain link, PostgreSQL', replica.url('/plain')]);
  const loads = new Map(runs.map(([name]) => [name, [] as Load[]]));
  for (const [, url] of runs) wrk(url, 1);
  for (let round = 0; round < rounds; round++)
    for (const [name, url] of runs) loads.get(name)!.push(wrk(url, seconds));
  const result: Redirects = {
    rounds,
    seconds,
    rows: [...loads].map(([name, all]) => ({ name, ...middle(all) })),
    rss: (await golink.use()).rss,
  };
  save(REDIRECTS_FILE, result);
}

const TUNNEL_ROUNDS = 3;
const TUNNEL_S = 8;

if (values.only !== 'tunnel') {
  const dir = mkdtempSync(join(tmpdir(), 'golink-redirects-'));
  try {
    await loopback(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
if (values.only !== 'loopback') {
  if (process.getuid?.() === 0) save(TUNNEL_FILE, await tunnelRedirects(TUNNEL_ROUNDS, TUNNEL_S));
  else console.log('Not measured through the tunnel: that needs root, for network namespaces.');
}
