// Results as a table: for the terminal, and as the page docs/performance.md.
import { METRICS, type Metric, type MetricName } from './metrics.ts';
import { FLAVOUR_TEXT, PAIRINGS, type PairingName, REFERENCE } from './pairings.ts';
import { median, medianOf, type Results, ratioOf } from './results.ts';

const TITLES: Readonly<Record<PairingName, string>> = {
  'go-go': 'tsnet–tsnet',
  'cove-cove': 'Cove–Cove',
  'cove-wasm': 'no native code',
  'cove-js': 'JavaScript crypto',
  'cove-go': 'Cove–tsnet',
  'go-cove': 'tsnet–Cove',
  kernel: 'kernel over wireguard-go',
};

function digits(value: number): string {
  const size = Math.abs(value);
  const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return size >= 1000 ? Number(text).toLocaleString('en') : text;
}

function cell(results: Results, pairing: PairingName, metric: MetricName): string {
  const value = medianOf(results, pairing, metric);
  if (value === undefined) return '';
  const ratio = METRICS[metric].case === 'all' ? undefined : ratioOf(results, pairing, metric);
  const shown = digits(value);
  return pairing === REFERENCE || ratio === undefined ? shown : `${shown} (${ratio.toFixed(2)})`;
}

/** One row per metric, one column per pairing. */
export function rows(results: Results): {
  readonly head: readonly string[];
  readonly body: readonly (readonly string[])[];
} {
  const pairings = (Object.keys(PAIRINGS) as PairingName[]).filter(
    (pairing) => results.samples[pairing] !== undefined,
  );
  const names = (Object.keys(METRICS) as MetricName[]).filter((name) =>
    pairings.some((pairing) => medianOf(results, pairing, name) !== undefined),
  );
  return {
    head: ['', 'unit', ...pairings.map((pairing) => TITLES[pairing])],
    body: names.map((name) => {
      const { title, unit, better }: Metric = METRICS[name];
      const sign = better === 'higher' ? '↑' : '↓';
      return [
        `${title}`,
        `${unit} ${sign}`,
        ...pairings.map((pairing) => cell(results, pairing, name)),
      ];
    }),
  };
}

export function toText(results: Results): string {
  const { head, body } = rows(results);
  const all = [head, ...body];
  const widths = head.map((_title, column) =>
    Math.max(...all.map((row) => [...(row[column] ?? '')].length)),
  );
  return all
    .map((row) =>
      row
        .map((text, column) => {
          const gap = ' '.repeat(widths[column]! - [...text].length);
          return column < 2 ? text + gap : gap + text;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const EXPLAINED: Readonly<Record<PairingName, string>> = {
  'go-go': 'stock tsnet at both ends: the reference',
  'cove-cove': `${FLAVOUR_TEXT.cove}, at both ends`,
  'cove-wasm': `${FLAVOUR_TEXT['cove-wasm']}, at both ends`,
  'cove-js': `${FLAVOUR_TEXT['cove-js']}, at both ends`,
  'cove-go': 'Cove makes the load and sends the streams, stock tsnet serves',
  'go-cove': 'the other way round',
  kernel:
    "the kernel's TCP over wireguard-go with a TUN device, MTU 1280, the load made by the Go program",
};

/** The whole page; `more` follows the table. */
export function toPage(results: Results, more: readonly string[]): string {
  const { date, machine, kernel, node, tsnet, go, commit } = results.environment;
  const { head, body } = rows(results);
  const pairings = (Object.keys(PAIRINGS) as PairingName[]).filter(
    (pairing) => results.samples[pairing] !== undefined,
  );
  const legend = pairings.map((pairing) => {
    const { crypto, offload } = results.facts[pairing] ?? {};
    const facts = [
      ...(crypto ? [`packet cipher ${crypto}`] : []),
      ...(offload !== undefined ? [`UDP offload ${offload ? 'on' : 'off'}`] : []),
    ];
    const inBrackets = facts.length > 0 ? ` (${facts.join(', ')})` : '';
    return `- **${TITLES[pairing]}**: ${EXPLAINED[pairing]}${inBrackets}.\n`;
  });
  return `# Performance, measured

\`npm run bench\` writes this page from \`docs/performance.json\`, which has the value of every round.

${date}; ${machine}; ${kernel}; Node ${node}; stock tsnet ${tsnet} built with ${go}, with its own wireguard-go; packages at
${commit.includes(',') ? 'commits' : 'commit'} ${commit}. Both ends are on the same machine, each in a network namespace of its own, a bridge between them, and
share its cores: what one end saves, the other can use.

${legend.join('')}
Cells: the median of ${roundsOf(results)} rounds, in which the pairings took turns, and in brackets its ratio to tsnet–tsnet of the same
rounds (↑ more is better, ↓ less is better).

${table(head, body)}
How: the load is made inside the process of the node it crosses. A stream takes 10 s, any other measurement
1.5 s. A stream is counted where it arrives, without its first 0.5 s. Echoes go one at a time, 500 a second. HTTP requests are written by hand on 32 kept
connections, and answered by \`http.Server\` or \`net/http\`; at 1,000 a second they are sent when they are due, whatever is
still open. Connections are closed as soon as they are open. The peak of RSS is the kernel's VmHWM; for idle
connections and peers garbage is collected and what the heap does not use given back, as Go's debug.FreeOSMemory does. Handshakes are answered in memory, one responder, which in Go uses all cores.
${more.map((part) => `\n${part.trim()}\n`).join('')}`;
}

function roundsOf(results: Results): string {
  const counts = Object.values(results.samples).flatMap((own) =>
    Object.values(own).map((values) => values.length),
  );
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return least === most ? String(most) : `${least} to ${most}`;
}

/** docs/performance/goodput.json, as test/goodput writes it. */
export interface Goodput {
  readonly environment: { readonly date: string; readonly congestion: string };
  readonly rows: readonly {
    readonly name: string;
    readonly unit: string;
    readonly samples: Readonly<Record<string, readonly number[]>>;
  }[];
}

const GOODPUT_REFERENCE = 'kernel to kernel';

/** The section about links with delay and loss. */
export function goodputSection({ environment, rows }: Goodput): string {
  const pairings = [...new Set(rows.flatMap(({ samples }) => Object.keys(samples)))];
  const body = rows.map(({ name, unit, samples }) => {
    const reference = median(samples[GOODPUT_REFERENCE]);
    const cells = pairings.map((pairing) => {
      const value = median(samples[pairing]);
      if (value === undefined) return '';
      if (pairing === GOODPUT_REFERENCE || !reference) return digits(value);
      return `${digits(value)} (${(value / reference).toFixed(2)})`;
    });
    return [name, unit, ...cells];
  });
  return `## Over bad links

\`npm run goodput\`, ${environment.date}: one TCP connection of our stack or of the kernel (${environment.congestion}) over an emulated link
with this round trip, MTU 1280, no encryption; medians, and in brackets the ratio to the kernel with itself.

${table(['link', 'unit', ...pairings], body)}`;
}

function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const rule = head.map((_title, column) => (column < 2 ? '---' : '---:'));
  return line(head) + line(rule) + body.map(line).join('');
}
