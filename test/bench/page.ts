// Results as a table: for the terminal, and as the page docs/performance.md.
import { METRICS, type Metric, type MetricName } from './metrics.ts';
import { PAIRINGS, type PairingName, REFERENCE } from './pairings.ts';
import { medianOf, type Results, ratioOf } from './results.ts';

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
  const ratio = ratioOf(results, pairing, metric);
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

export function toTable(results: Results): string {
  const { head, body } = rows(results);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const rule = head.map((_title, column) => (column < 2 ? '---' : '---:'));
  return line(head) + line(rule) + body.map(line).join('');
}
