// `cove golink import` and `export`: moving links in and out.
import { once } from 'node:events';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Golink, ImportProgress, ImportReport } from '@cove/golink';
import { Command } from 'commander';
import { callAdmin, partsOf, refuseIfRunning } from '../adminsocket.ts';
import { golinkDatabase, openDataDir } from '../datadir.ts';
import { CliError, errorCode } from '../errors.ts';
import { createOutput } from '../output.ts';
import { onInterruption } from '../signals.ts';
import { databaseOption, dirOption, jsonOption, print } from './options.ts';

export function moveCommands(): Command[] {
  return [
    new Command('import')
      .description(
        'take over the links of golink: its database with all clicks, or a snapshot (JSON lines)',
      )
      .argument('<source>', 'golink.db, a snapshot, or - for a snapshot on standard input')
      .addOption(dirOption())
      .addOption(databaseOption())
      .option('--dry-run', 'say what would happen, change nothing')
      .addOption(jsonOption())
      .action(importSnapshot),
    new Command('export')
      .description('write all links as a snapshot, which golink can import too')
      .argument('[file]', 'file, or - for standard output', '-')
      .option('--stats', 'all clicks as well; golink skips these lines when it imports')
      .addOption(dirOption())
      .addOption(databaseOption())
      .action(exportSnapshot),
  ];
}

interface ImportOptions {
  readonly dir: string;
  readonly database?: string;
  readonly dryRun?: true;
  readonly json?: true;
}

async function importSnapshot(file: string, options: ImportOptions): Promise<void> {
  const output = createOutput();
  const onProgress = (progress: unknown): void => {
    const { lines, bytes } = progress as ImportProgress;
    const total = source.links ?? source.bytes;
    const done = source.links === undefined ? bytes : lines;
    const share = total ? ` (${Math.min(100, Math.round((done / total) * 100))} %)` : '';
    output.progress(`${lines} links read${share}`);
  };
  const source = await openInput(file);
  const report = await importInto(options, source.stream, onProgress);
  output.progress(
    `${report.lines} lines read, ${report.added} links ${options.dryRun ? 'would be added' : 'added'}`,
    true,
  );
  print(report, options.json, () => describeImport(report, options.dryRun === true));
  if (report.invalid.length > 0) {
    for (const { line, reason } of report.invalid.slice(0, 20))
      output.line(`line ${line}: ${reason}`);
    if (report.invalid.length > 20) output.line(`and ${report.invalid.length - 20} more lines`);
    throw new CliError(
      'ERR_INPUT_FILE',
      `${report.invalid.length} lines of ${file} are no links; all others are in`,
    );
  }
}

/** Through the running process where there is one, so that it knows the new links; else into the database itself. */
async function importInto(
  options: ImportOptions,
  stream: Readable,
  onProgress: (progress: unknown) => void,
): Promise<ImportReport> {
  const route = `POST /golink/import${options.dryRun ? '?dryRun=1' : ''}`;
  if (options.database === undefined && (await isRunning(options.dir))) {
    return (await callAdmin(options.dir, route, { stream, onProgress })) as ImportReport;
  }
  const golink = await openOffline(
    options.dryRun && !hasLinks(options) ? { ...options, database: ':memory:' } : options,
  );
  try {
    return await golink.importSnapshot(stream, { dryRun: options.dryRun === true, onProgress });
  } finally {
    await golink.close();
  }
}

/** Whether there is a database: neither a dry run nor an export shall make one. */
function hasLinks({ database, dir }: ImportOptions): boolean {
  return /^postgres(?:ql)?:/.test(database ?? '') || existsSync(database ?? golinkDatabase(dir));
}

interface Source {
  /** A snapshot. */
  readonly stream: Readable;
  /** How much it is, where that is known. */
  readonly bytes?: number;
  readonly links?: number;
}

/** Throws `ERR_INPUT_FILE`, and GolinkError for a database that is none of golink. */
async function openInput(file: string): Promise<Source> {
  if (file === '-') return { stream: process.stdin };
  const bytes = sizeOf(file);
  const { isSqliteFile, openUpstream } = await import('@cove/golink');
  if (statSync(file).isFile() && isSqliteFile(file)) {
    const { links, snapshot } = openUpstream(file);
    return { stream: Readable.from(snapshot), links };
  }
  const stream = createReadStream(file);
  await opening(stream, (reason) => `${file} cannot be read: ${reason}`);
  return { stream, bytes };
}

/** Resolves when a file stream is open, so that whoever takes it need not expect that it is not. */
async function opening(
  stream: Readable | Writable,
  sentence: (reason: string) => string,
): Promise<void> {
  await once(stream, 'open').catch((error: Error) => {
    throw new CliError('ERR_INPUT_FILE', sentence(error.message), { cause: error });
  });
}

interface ExportOptions {
  readonly dir: string;
  readonly database?: string;
  readonly stats?: true;
}

async function exportSnapshot(file: string, options: ExportOptions): Promise<void> {
  const stats = options.stats === true;
  if (options.database === undefined && (await isRunning(options.dir))) {
    const route = `GET /golink/export${stats ? '?stats=1' : ''}`;
    await writeWhole(file, (target) => pipeline(partsOf(options.dir, route), target));
    return;
  }
  if (!hasLinks(options)) {
    const place = resolve(options.database ?? options.dir);
    throw new CliError(
      'ERR_INPUT_FILE',
      `there are no links in ${place}: name the directory that has them with --dir, or their --database`,
    );
  }
  const golink = await openOffline(options);
  try {
    await writeWhole(file, (target) => golink.exportTo(target, { stats }));
  } finally {
    await golink.close();
  }
}

/** Writes beside `file` and renames, so that a failure leaves what was there. */
async function writeWhole(file: string, write: (target: Writable) => Promise<void>): Promise<void> {
  if (file === '-') return write(toStdout());
  // A pipe or a terminal cannot be replaced, only written to.
  const special = existsSync(file) && !statSync(file).isFile();
  const path = special ? file : `${file}.new-${process.pid}`;
  using interruption = onInterruption();
  const { signal } = interruption;
  const target = createWriteStream(path, { mode: 0o600, flush: !special });
  await opening(target, (reason) => `${file} cannot be written: ${reason}`);
  signal.addEventListener('abort', () => target.destroy(signal.reason as Error), { once: true });
  try {
    signal.throwIfAborted();
    await write(target);
    // On the disk before it takes the place of another.
    if (!target.closed) await once(target, 'close');
    signal.throwIfAborted();
    if (!special) renameSync(path, file);
  } catch (error) {
    if (!special) rmSync(path, { force: true });
    signal.throwIfAborted();
    throw error;
  }
}

/** Standard output, which must not be closed. */
function toStdout(): Writable {
  return new Writable({
    write: (chunk, _encoding, done) => process.stdout.write(chunk, (error) => done(error)),
  });
}

async function openOffline(options: {
  readonly dir: string;
  readonly database?: string;
}): Promise<Golink> {
  const { createGolink } = await import('@cove/golink');
  return createGolink({
    database: options.database ?? openDataDir(options.dir).golinkDatabase,
    hostname: 'go',
    identify: async () => undefined,
    log: (message) => createOutput().line(message),
  });
}

async function isRunning(dir: string): Promise<boolean> {
  try {
    await refuseIfRunning(dir);
    return false;
  } catch (error) {
    if (errorCode(error) === 'ERR_DIRECTORY_IN_USE') return true;
    throw error;
  }
}

function sizeOf(file: string): number {
  try {
    const stat = statSync(file);
    if (stat.isDirectory()) throw new Error('it is a directory');
    return stat.size;
  } catch (error) {
    throw new CliError(
      'ERR_INPUT_FILE',
      `${file} cannot be read: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
}

function describeImport(report: ImportReport, dryRun: boolean): string {
  const { added, clicks, unchanged, conflicting, unresolvable, invalid } = report;
  const verb = dryRun ? 'would be' : 'are';
  return [
    `${added} links ${verb} new`,
    ...(clicks > 0 ? [`${clicks} clicks of links here are in it; each is counted once`] : []),
    `${unchanged} were there already, unchanged`,
    `${conflicting.length} names exist with another destination and were left as they are`,
    ...listed(conflicting),
    `${unresolvable.length} cannot be followed as they are; they are kept, and exported as they came`,
    ...listed(unresolvable),
    `${invalid.length} lines are no links`,
  ].join('\n');
}

const MAX_LISTED = 20;

function listed(notes: ImportReport['conflicting']): string[] {
  const lines = notes.slice(0, MAX_LISTED).map(({ short, reason }) => `  ${short}: ${reason}`);
  const more = notes.length - lines.length;
  return more > 0 ? [...lines, `  and ${more} more; --json lists them all`] : lines;
}
