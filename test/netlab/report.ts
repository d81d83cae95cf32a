// Results as JSON, and as the page docs/nat.md.
import { cpus, release } from 'node:os';
import { CURRENT_RELEASE } from '../harness/peers.ts';
import { MAX_RATIO, NOISE, ratio } from './bounds.ts';
import type { CutResult } from './cut.ts';
import type { MappingResult } from './mapping.ts';
import { FLAVOURS, REFERENCE, type Result } from './measure.ts';
import { KIND_TEXT, KINDS, kindPairs } from './network.ts';
import { type Summary, summarise } from './summary.ts';

export interface Report {
  readonly date: string;
  readonly machine: string;
  readonly kernel: string;
  readonly node: string;
  readonly stock: string;
  readonly full: boolean;
  readonly results: readonly Result[];
  readonly cuts: readonly CutResult[];
  readonly mappings: readonly MappingResult[];
}

export function makeReport(
  full: boolean,
  results: readonly Result[],
  cuts: readonly CutResult[],
  mappings: readonly MappingResult[],
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
    mappings,
  };
}

export function toMarkdown(report: Report): string {
  const kinds = KINDS.filter((kind) => report.results.some(({ from }) => from === kind));
  const flavours = FLAVOURS.filter((one) =>
    report.results.some((result) => result.flavours === one),
  );
  const rows = kindPairs(kinds).map((pair) => [
    pair.join('–'),
    ...flavours.map((one) =>
      pathCell(
        summarise(report.results, pair, one),
        one === REFERENCE ? undefined : summarise(report.results, pair, REFERENCE),
      ),
    ),
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
until the peer's answer to a discovery ping is there, from when on the dialling side sends over UDP only. Cells: path at
the end, the median of the rounds, and what it is beside stock–stock's (in brackets how many rounds became direct, where
not all did). \`cove–stock\`: Cove dials stock.

${table(['pair', ...flavours], rows)}
${ratioSentence(report)}

Hard–hard, Cove–Cove, where the router of the one who is met maps ports by a single protocol:

${table(
  ['protocol', 'mapped', 'path'],
  report.mappings.map(({ protocol, mapped, path, error }) => [
    protocol,
    mapped.join(', ') || 'nothing',
    error ?? (path === '' ? 'relay' : `direct, ${path}`),
  ]),
)}
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

/** How many of the medians are within the bound by their factor, and by how much the others are over it. */
function ratioSentence({ results }: Report): string {
  const kinds = KINDS.filter((kind) => results.some(({ from }) => from === kind));
  const over: string[] = [];
  let count = 0;
  for (const pair of kindPairs(kinds)) {
    const stock = summarise(results, pair, REFERENCE);
    for (const one of FLAVOURS) {
      const own = one === REFERENCE ? undefined : summarise(results, pair, one);
      const share = own && ratio(own, stock);
      if (share === undefined) continue;
      count++;
      if (share > MAX_RATIO)
        over.push(`${pair.join('–')} ${one} by ${ms(own!.direct! - MAX_RATIO * stock!.direct!)}`);
    }
  }
  const rest =
    over.length === 0
      ? 'none is over it'
      : `over it ${over.length === 1 ? 'is' : 'are'} ${over.join(', ')}`;
  return `The bound is ${MAX_RATIO} times stock–stock, or ${NOISE} ms more than it where that is more, since at 5 ms the factor
tells whose turn it was on the machine's cores. By the factor alone ${count - over.length} of ${count} medians are within
it; ${rest}.`;
}

function pathCell(summary: Summary | undefined, stock: Summary | undefined): string {
  if (summary === undefined) return '';
  const { path, direct, rounds, connected, directRounds, unconfirmed } = summary;
  const share = ratio(summary, stock);
  const notes = [
    ...(connected < rounds ? [`${connected} of ${rounds} connected`] : []),
    ...(directRounds > 0 && directRounds < rounds ? [`${directRounds} of ${rounds}`] : []),
    ...(unconfirmed > 0 ? [`${unconfirmed} not confirmed`] : []),
    ...(summary.repeated ? ['measured twice'] : []),
  ];
  return [
    direct === undefined ? path : `${path}, ${ms(direct)}`,
    ...(share === undefined ? [] : [`×${share.toFixed(share < 0.1 ? 3 : 2)}`]),
    ...(notes.length > 0 ? [`(${notes.join('; ')})`] : []),
  ].join(' ');
}

function ms(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(value < 100 ? 1 : 0)} ms`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}
