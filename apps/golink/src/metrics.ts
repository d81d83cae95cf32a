// `/.metrics` in Prometheus' text format 0.0.4, with golink's names and labels and what a process says of itself; and
// `/.healthz`.
//
// golink_clicks_total{path}    counter  visits of a link since the start, by its name
// golink_not_found_total{path} counter  visits of names that nobody has made
// golinks_total                gauge    links
import { readdirSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { trimPunctuation } from './links.ts';
import { countLinks } from './store/listing.ts';
import type { Store } from './store/store.ts';

/** Labels of one counter; further names share one that no link can have. */
const MAX_LABELS = 10_000;
const OTHERS = '(other)';
/** Longer missing names are not worth a label. */
const MAX_NAME = 100;

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export class Metrics {
  readonly #store: Store;
  readonly #clicks: Counter = new Counter();
  readonly #missed: Counter = new Counter();
  #delay: IntervalHistogram | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  click(short: string): void {
    this.#clicks.add(short);
  }

  miss(short: string): void {
    const name = trimPunctuation(short);
    this.#missed.add(name.length > MAX_NAME ? OTHERS : name);
  }

  async text(): Promise<string> {
    const links = await countLinks(this.#store);
    return [
      family('golinks_total', 'gauge', 'Links.', [['', links]]),
      family(
        'golink_clicks_total',
        'counter',
        'Visits of links since the start.',
        this.#clicks.samples(),
      ),
      family(
        'golink_not_found_total',
        'counter',
        'Visits of names that nobody has made, since the start.',
        this.#missed.samples(),
      ),
      ...this.#process(),
    ].join('');
  }

  close(): void {
    this.#delay?.disable();
  }

  #process(): string[] {
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
    const now = Date.now() / 1000;
    const gauge = (name: string, help: string, value: number): string =>
      family(name, 'gauge', help, [['', value]]);
    const families = [
      family('process_cpu_seconds_total', 'counter', 'User and system CPU time.', [
        ['', (user + system) / 1e6],
      ]),
      gauge('process_start_time_seconds', 'When the process began.', now - process.uptime()),
      gauge('process_resident_memory_bytes', 'Resident memory.', rss),
      gauge('nodejs_heap_size_used_bytes', 'Heap in use.', heapUsed),
      gauge('nodejs_heap_size_total_bytes', 'Heap.', heapTotal),
      gauge('nodejs_external_memory_bytes', 'Memory of buffers.', external),
      family('nodejs_version_info', 'gauge', 'Version of Node.', [
        [`{version="${process.version}"}`, 1],
      ]),
    ];
    const files = openFiles();
    if (files !== undefined)
      families.push(gauge('process_open_fds', 'Open file descriptors.', files));
    // Measured from the first question on, so that nobody else pays for it; each answer tells of the time since the last.
    if (this.#delay === undefined) {
      this.#delay = monitorEventLoopDelay({ resolution: 20 });
      this.#delay.enable();
    } else if (this.#delay.count > 0) {
      const seconds = (nanoseconds: number): number => nanoseconds / 1e9;
      families.push(
        gauge('nodejs_eventloop_lag_mean_seconds', 'Mean lag.', seconds(this.#delay.mean)),
        gauge('nodejs_eventloop_lag_p99_seconds', 'p99 lag.', seconds(this.#delay.percentile(99))),
        gauge('nodejs_eventloop_lag_max_seconds', 'Longest lag.', seconds(this.#delay.max)),
      );
      this.#delay.reset();
    }
    return families;
  }
}

/** Undefined when the database answers; else why not. */
export async function ailment(store: Store, timeoutMs = 5_000): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, `The database did not answer in ${timeoutMs / 1000} s.`);
  });
  const asked = store
    .read((db) => db.selectFrom('settings').select('name').limit(1).execute())
    .then(
      () => undefined,
      (error: Error) => error.message,
    );
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}

class Counter {
  readonly #counts: Map<string, number> = new Map();

  add(name: string): void {
    const count = this.#counts.get(name);
    if (count !== undefined) this.#counts.set(name, count + 1);
    else if (this.#counts.size < MAX_LABELS) this.#counts.set(name, 1);
    else this.#counts.set(OTHERS, (this.#counts.get(OTHERS) ?? 0) + 1);
  }

  samples(): [string, number][] {
    return [...this.#counts].map(([name, count]) => [`{path="${escapeLabel(name)}"}`, count]);
  }
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
}

function family(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  samples: readonly (readonly [labels: string, value: number])[],
): string {
  const lines = samples.map(([labels, value]) => `${name}${labels} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

/** Linux and others with /proc only. */
function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}
