// Options that several commands share, and how their values are read.
import type { ServerOptions } from '@cove/tsnet';
import { Option } from 'commander';
import { CliError } from '../errors.ts';

export const dirOption = (): Option =>
  new Option('--dir <path>', 'where everything is kept').env('COVE_DIR').default('.cove');

export const databaseOption = (): Option =>
  new Option(
    '--database <place>',
    'a SQLite file, or the postgres:// address of a database (default: golink/links.db in --dir)',
  );

export const jsonOption = (): Option => new Option('--json', 'print JSON on standard output');

export const verboseOption = (): Option =>
  new Option('--verbose', 'say on standard error what happens inside');

export const tunOption = (): Option =>
  new Option(
    '--tun [interface]',
    'take the whole machine in, through a network interface (Linux, needs root; default: cove0)',
  );

export const dnsOption = (): Option =>
  new Option('--no-dns', "with --tun: leave the machine's resolver alone");

/** What the two say, as a node's options. */
export function tunSettings(options: {
  readonly tun?: true | string;
  readonly dns: boolean;
}): Pick<ServerOptions, 'tun'> {
  const { tun, dns } = options;
  if (tun === undefined) return {};
  return { tun: { dns, ...(tun !== true && { name: tun }) } };
}

/** A TCP or UDP port. Throws `ERR_USAGE`. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new CliError(
    'ERR_USAGE',
    `${text} is not a port: give a number from 0 (any free port) to 65535`,
  );
}

/** A count of one or more. Throws `ERR_USAGE`. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d{1,6}$/.test(text) && count > 0) return count;
  throw new CliError('ERR_USAGE', `${text} is not a count: give a number from 1`);
}

/** The number of a change, of which there may be many. Throws `ERR_USAGE`. */
export function parseChange(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new CliError('ERR_USAGE', `${text} is not the number of a change: \`history\` shows them`);
}

/** A moment with its time zone, in milliseconds since the epoch. Throws `ERR_USAGE`. */
export function parseMoment(text: string): number {
  const form = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/;
  const moment = form.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(moment)) return moment;
  throw new CliError('ERR_USAGE', `${text} is not a time: write it as 2026-11-21T12:00:00Z`);
}

/** `tag:golink,tag:server`; blanks and empty parts are ignored. Throws `ERR_USAGE`. */
export function parseTags(text: string): readonly string[] {
  const tags = text
    .split(',')
    .map((tag) => tag.trim())
    .filter(Boolean);
  for (const tag of tags)
    if (!/^tag:./.test(tag))
      throw new CliError('ERR_USAGE', `${tag} is not a tag: write tag:golink, several with commas`);
  return tags;
}

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `90s`, `30m`, `24h`, `7d`, `2w`, or `never` (null). Milliseconds. Throws `ERR_USAGE`. */
export function parseLifetime(text: string): number | null {
  if (text === 'never') return null;
  const match = /^(\d{1,6})([smhdw])$/.exec(text);
  if (match === null || Number(match[1]) === 0) {
    throw new CliError('ERR_USAGE', `${text} is not a time: write 90s, 30m, 24h, 7d or never`);
  }
  return Number(match[1]) * UNITS[match[2]!]!;
}

/** For repeatable options. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** Prints a result: as JSON on request, else as people read it. */
export function print(result: unknown, json: boolean | undefined, text: () => string): void {
  const output = json ? JSON.stringify(result) : text();
  if (output !== '') process.stdout.write(`${output}\n`);
}
