// A million links: `node test/dist/bench/golink-scale.js [--links N] [--database FILE] [--seconds S]`. Start, memory,
// pages, search and redirects beside those of a thousand links; writes docs/performance/golink-scale.json and the page.
// FILE is made if it does not exist (takes some minutes) and kept.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { scaleLine, scaleName } from './golinklinks.ts';
import { SCALE_FILE, type Scale, type ScaleRow, writeGolinkPage } from './golinkpage.ts';
import { GolinkProcess, median, quantile, wrk } from './golinkprocess.ts';

const { values } = parseArgs({
  options: {
    links: { type: 'string', default: '1000000' },
    database: { type: 'string' },
    seconds: { type: 'string', default: '3' },
  },
});
const links = Number(values.links);
const seconds = Number(values.seconds);
const dir = mkdtempSync(join(tmpdir(), 'golink-scale-'));

const PAGES: Readonly<Record<string, string>> = {
  'home page': '/',
  'list page': '/.all',
  "an owner's list page": '/.search?q=owner:user77@example.com',
  'API, 100 links': '/.api/v1/links?limit=100',
  'API, most used': '/.api/v1/links?limit=100&order=clicks',
};
const SEARCHES: readonly string[] = [
  ...['wiki', 'example com', 'teams/12', 'user77', 'zzzqqq', 'wiki page', 'teams/12 user77'],
  ...['owner:user77@example.com', 'owner:user77 page', 'tag:eng', 'wi', 'e', 'zq', 'ex user77'],
  ...['zq user77', 'zq wiki', '~ wiki', 'x=1 x=2', 'zzzqqq wiki'],
];

async function measure(database: string, count: number): Promise<Scale> {
  if (!existsSync(database)) {
    await using made = await GolinkProcess.start(database, 'import', String(count));
    console.log(`${count} links imported in ${(made.ready.importMs / 1000).toFixed(1)} s`);
  }
  await using server = await GolinkProcess.start(database);
  const rows: ScaleRow[] = [];
  const timed = async (name: string, path: string): Promise<void> => {
    const times: number[] = [];
    for (let i = 0; i < 20; i++) times.push(await server.time(path));
    rows.push({ name, ms: median(times), p95: quantile(times, 0.95) });
  };
  for (const [name, path] of Object.entries(PAGES)) await timed(name, path);
  for (const words of SEARCHES)
    await timed(`search: ${words}`, `/.api/v1/links?q=${encodeURIComponent(words)}`);
  // One letter of a name is missing.
  const typo = `/${scaleName(1).slice(0, -2)}${scaleName(1).at(-1)}`;
  await timed('a name that nobody made', typo);
  const missed = wrk(server.url(typo), seconds, { accept: 'text/html', isMissing: true });
  const exportMs = await server.time('/.export');
  const exportRss = (await server.use()).rss;
  // Every visit to another link.
  const script = join(dir, 'visits.lua');
  const names = Array.from({ length: Math.min(count, 100_000) }, (_, i) =>
    scaleName((i * 7_919) % count),
  );
  writeFileSync(
    script,
    `local names = {${names.map((name) => `"/${name}"`).join(',')}}
local i = 0
request = function() i = i % #names + 1; return wrk.format("GET", names[i]) end`,
  );
  const one = wrk(server.url(`/${scaleName(1)}`), seconds);
  const all = wrk(server.url('/'), seconds, { script });
  const { rss } = await server.use();
  return {
    links: count,
    startMs: server.startMs,
    openMs: server.ready.openMs,
    rss,
    rows,
    one,
    all,
    missed,
    exportMs,
    exportRss,
  };
}

/** Seconds of the whole command, for 100,000 links. */
function importByCommand(): number {
  const file = join(dir, 'links.jsonl');
  let text = '';
  for (let i = 0; i < 100_000; i++) text += scaleLine(i);
  writeFileSync(file, text);
  const command = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
  const from = performance.now();
  execFileSync(
    process.execPath,
    [command, 'golink', 'import', file, '--database', join(dir, 'imported.db')],
    { stdio: 'ignore' },
  );
  return (performance.now() - from) / 1000;
}

try {
  const importS = importByCommand();
  const small = await measure(join(dir, 'small.db'), 1_000);
  const large = await measure(values.database ?? join(dir, 'large.db'), links);
  writeFileSync(SCALE_FILE, `${JSON.stringify({ small, large, importS }, undefined, 2)}\n`);
  writeGolinkPage();
  console.log(JSON.stringify({ small, large, importS }, undefined, 2));
} finally {
  rmSync(dir, { recursive: true, force: true });
}
