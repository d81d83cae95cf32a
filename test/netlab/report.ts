// Results as JSON, and as the page docs/nat.md.
import { cpus, release } from 'node:os';
import { CURRENT_RELEASE } from '../harness/peers.ts';
import type { CutResult } from './cut.ts';
import { FLAVOURS, type Flavours, type Result } from './measure.ts';
import { KIND_TEXT, KINDS, type Kind } from './network.ts';
import { type KindPair, kindPairs } from './plan.ts';

/** What became of one pair with these two programs, over all rounds. */
export interface Summary {
  readonly from: Kind;
  readonly to: Kind;
  readonly flavours: Flavours;
  readonly rounds: number;
  /** Rounds in which the first byte came. */
  readonly connected: number;
  /** Rounds that ended on a direct path. */
  readonly directRounds: number;
  /** Rounds in which a direct path was claimed that the server's cable belied. */
  readonly unconfirmed: number;
  /** Path at the end of most rounds. */
  readonly path: Result['path'];
  /** Median milliseconds. */
  readonly firstByte?: number;
  /** Median milliseconds, rounds without a direct path counting as the longest; absent: most had none. */
  readonly direct?: number;
  readonly errors: readonly string[];
}

export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

export function summarise(
  results: readonly Result[],
  [from, to]: KindPair,
  flavours: Flavours,
): Summary | undefined {
  const own = results.filter(
    (result) => result.from === from && result.to === to && result.flavours === flavours,
  );
  if (own.length === 0) return undefined;
  const firstByte = median(own.flatMap((result) => result.firstByte ?? []));
  const direct = median(own.map((result) => result.direct ?? Number.POSITIVE_INFINITY));
  const paths = own.map((result) => result.path);
  const count = (path: Result['path']): number => paths.filter((other) => other === path).length;
  return {
    from,
    to,
    flavours,
    rounds: own.length,
    connected: own.filter((result) => result.firstByte !== undefined).length,
    directRounds: own.filter((result) => result.direct !== undefined).length,
    unconfirmed: own.filter((result) => result.confirmed === false).length,
    path: paths.reduce((best, path) => (count(path) > count(best) ? path : best)),
    ...(firstByte !== undefined && { firstByte }),
    ...(direct !== undefined && Number.isFinite(direct) && { direct }),
    errors: own.flatMap((result) => result.error ?? []),
  };
}

export interface Report {
  readonly date: string;
  readonly machine: string;
  readonly kernel: string;
  readonly node: string;
  readonly stock: string;
  readonly full: boolean;
  readonly results: readonly Result[];
  readonly cuts: readonly CutResult[];
}

export function makeReport(
  full: boolean,
  results: readonly Result[],
  cuts: readonly CutResult[],
): Report {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} cores, ${cpu?.model.trim() ?? 'unknown processor'}`,
    kernel: `Linux ${release().split('.').slice(0, 2).join('.')}`,
    node: process.version,
    stock: CURRENT_RELEASE,
    full,
    results,
    cuts,
  };
}

export function toMarkdown(report: Report): string {
  const kinds = KINDS.filter((kind) => report.results.some(({ from }) => from === kind));
  const flavours = FLAVOURS.filter((one) =>
    report.results.some((result) => result.flavours === one),
  );
  const rows = kindPairs(kinds).map((pair) => [
    pair.join('–'),
    ...flavours.map((one) => pathCell(summarise(report.results, pair, one))),
  ]);
  const firstBytes = flavours.map((one) => {
    const all = report.results
      .filter((result) => result.flavours === one)
      .flatMap((result) => result.firstByte ?? []);
    const sorted = [...all].sort((a, b) => a - b);
    const at = (share: number): string => ms(sorted[Math.floor((sorted.length - 1) * share)]);
    return [one, String(all.length), at(0.5), at(0.9), at(1)];
  });
  return `# NAT traversal, measured

\`npm run test:netlab -- --full\` writes this page.

${report.date}; ${report.machine}; ${report.kernel}; Node ${report.node}; stock peers: Tailscale ${report.stock},
\`tailscaled --tun=userspace-networking\`. Control, relays and STUN servers: \`cove control\` and \`cove derp\`. Every node
is on the same machine, links without delay.

Each site is a network namespace:

${table(['kind', 'what it is'], [...kinds.map((kind) => [kind, KIND_TEXT[kind]])])}
A pair is two sites whose nodes never met. The first opens a TCP connection to the second; the time runs from the dial
until the dialling side sends over UDP only. Cells: path at the end, and the median of the rounds (in brackets how many
rounds became direct, where not all did). \`cove–stock\`: Cove dials stock.

${table(['pair', ...flavours], rows)}
Path discovery delays nobody: time from the dial to the first byte of the answer, over all pairs.

${table(['', 'contacts', 'median', '9 of 10 within', 'longest'], firstBytes)}
The direct path between two easy NATs cut by dropping its UDP, then restored, while a TCP connection stays open:

${table(
  ['', 'new connections pass after', 'old one silent for', 'direct again after', 'old connection'],
  report.cuts.map((cut) => [
    cut.flavours,
    ms(cut.moved),
    ms(cut.silence),
    ms(cut.restored),
    cut.error ?? cut.closed ?? 'lives',
  ]),
)}`;
}

function pathCell(summary: Summary | undefined): string {
  if (summary === undefined) return '';
  const { path, direct, rounds, connected, directRounds, unconfirmed } = summary;
  const notes = [
    ...(connected < rounds ? [`${connected} of ${rounds} connected`] : []),
    ...(directRounds > 0 && directRounds < rounds ? [`${directRounds} of ${rounds}`] : []),
    ...(unconfirmed > 0 ? [`${unconfirmed} not confirmed`] : []),
  ];
  return [
    direct === undefined ? path : `${path}, ${ms(direct)}`,
    ...(notes.length > 0 ? [`(${notes.join('; ')})`] : []),
  ].join(' ');
}

function ms(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(0)} ms`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}
