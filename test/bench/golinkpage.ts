// docs/performance-golink.md, from what was measured last.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Load } from './golinkprocess.ts';

const DOCS = fileURLToPath(new URL('../../../docs', import.meta.url));
export const SCALE_FILE: string = join(DOCS, 'performance', 'golink-scale.json');
export const REDIRECTS_FILE: string = join(DOCS, 'performance', 'golink-redirects.json');
export const TUNNEL_FILE: string = join(DOCS, 'performance', 'golink-tunnel.json');
const PAGE_FILE = join(DOCS, 'performance-golink.md');

export interface ScaleRow {
  readonly name: string;
  readonly ms: number;
  readonly p95: number;
}

export interface Scale {
  readonly links: number;
  readonly startMs: number;
  readonly openMs: number;
  readonly rss: number;
  readonly rows: readonly ScaleRow[];
  /** Visits to one link, and to many in turn. */
  readonly one: Load;
  readonly all: Load;
  /** Visits to a name that nobody made and that is nearly one. */
  readonly missed: Load;
  /** Of all links over HTTP, and memory after it. */
  readonly exportMs: number;
  readonly exportRss: number;
}

export interface Redirects {
  readonly rounds: number;
  readonly seconds: number;
  readonly rows: readonly (Load & { readonly name: string })[];
  readonly rss: number;
}

/** Of kept connections through the tunnel. */
export interface TunnelRedirects {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  readonly rows: readonly (Load & { readonly name: string })[];
}

function read<T>(file: string): T | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as T) : undefined;
}

const whole = (value: number): string => Math.round(value).toLocaleString('en');
const mib = (bytes: number): string => `${whole(bytes / 2 ** 20)} MiB`;
const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, i) => (i === 0 ? '---' : '---:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

/** The first row is what the others are compared with. */
function loadTable(rows: Redirects['rows']): string {
  const bare = rows[0]!.perSecond;
  return table(
    ['', 'redirects/s', 'of node:http', 'p50', 'p99'],
    rows.map(({ name, perSecond, p50, p99 }) => [
      ...[name, whole(perSecond), (perSecond / bare).toFixed(2), ms(p50), ms(p99)],
    ]),
  );
}

export function writeGolinkPage(): void {
  const redirects = read<Redirects>(REDIRECTS_FILE);
  const tunnel = read<TunnelRedirects>(TUNNEL_FILE);
  const scale = read<{ small: Scale; large: Scale; importS: number }>(SCALE_FILE);
  const parts = [
    `# What golink takes

Written by \`npm run bench:golink\` (redirects) and \`node test/dist/bench/golink-scale.js\` (a million links), on
${cpus().length} × ${cpus()[0]?.model.trim()}, Linux ${release()}, Node ${process.version}. The load comes from the same machine.`,
  ];
  if (redirects !== undefined) {
    parts.push(
      `## Redirects

\`wrk -t1 -c32\` against one process on loopback, clicks counted and every change kept in the history; medians of
${redirects.rounds} rounds of ${redirects.seconds} s, in turn. \`node:http alone\` answers the same redirect without looking at the request.

${loadTable(redirects.rows)}

Memory after these visits: ${mib(redirects.rss)}. Over PostgreSQL every visit asks the server, so that no replica follows a link as it was
before a change that was answered; visits that arrive together share a query.`,
    );
  }
  if (tunnel !== undefined)
    parts.push(
      `## Through the tunnel

golink served by a node of @cove/tsnet, asked by another node on a direct path: ${tunnel.connections} kept connections, each one request after
the other; medians of ${tunnel.rounds} rounds of ${tunnel.seconds} s, in turn. Each node is a process in a network namespace of its own, so both ends of the tunnel and
the client share the two cores. \`node:http alone\` is the same redirect on the same node.

${loadTable(tunnel.rows)}`,
    );
  if (scale !== undefined) {
    const { small, large, importS } = scale;
    const both = (name: string, of: (one: Scale) => string): string[] => [
      ...[name, of(small), of(large)],
    ];
    parts.push(
      `## ${whole(large.links)} links

SQLite, beside ${whole(small.links)} links of the same kind. Pages and searches over HTTP, 20 times each: median and 95th percentile.

${table(
  ['', `${whole(small.links)} links`, `${whole(large.links)} links`],
  [
    both('start of the process until it answers', (one) => ms(one.startMs)),
    both('of that, opening the database', (one) => ms(one.openMs)),
    both('memory after all of this', (one) => mib(one.rss)),
    both('redirects/s, one link', (one) => whole(one.one.perSecond)),
    both('p99', (one) => ms(one.one.p99)),
    both('redirects/s, links in turn', (one) => whole(one.all.perSecond)),
    both('p99', (one) => ms(one.all.p99)),
    both('pages for a name nobody made, /s', (one) => whole(one.missed.perSecond)),
    both('p99', (one) => ms(one.missed.p99)),
    both('`/.export`', (one) => ms(one.exportMs)),
    both('memory after it', (one) => mib(one.exportRss)),
    ...large.rows.map(({ name }, i) =>
      both(name, ({ rows }) => `${ms(rows[i]!.ms)}, ${ms(rows[i]!.p95)}`),
    ),
  ],
)}

\`cove golink import\` of 100,000 links, the whole command: ${importS.toFixed(1)} s.`,
    );
  }
  writeFileSync(PAGE_FILE, `${parts.join('\n\n')}\n`);
}
