// Import of snapshots: one link as compact JSON on each line, as export.ts writes them.
//
// A link whose name exists is never overwritten. A line that is no link is reported with its number and does not stop
// the rest. Clicks may follow the links; golink skips such lines.
import { createReadStream } from 'node:fs';
import { compile } from './destination.ts';
import { GolinkError } from './errors.ts';
import { type Link, linkId } from './links.ts';
import { parseSnapshotLine } from './snapshotline.ts';
import type { StatsRow } from './store/clicks.ts';
import { addPastClicks, sumClicks } from './store/pastclicks.ts';
import type { Actor, Store } from './store/store.ts';
import { isSqliteFile, openUpstream } from './upstream.ts';

export interface ImportProgress {
  readonly lines: number;
  readonly bytes: number;
  readonly added: number;
  readonly unchanged: number;
}

export interface ImportOptions {
  /** Called every 500 links, and once everything is in. */
  readonly onProgress?: (progress: ImportProgress) => void;
  /** What destinations may begin with, in lower case; others are taken, and noted. `DEFAULT_SCHEMES` unless given. */
  readonly schemes?: ReadonlySet<string>;
  /** Reports what an import would do and changes nothing. */
  readonly dryRun?: boolean;
  /** Stops between batches; what was added stays. */
  readonly signal?: AbortSignal;
}

export interface ImportNote {
  /** 1-based. */
  readonly line: number;
  readonly short: string;
  readonly reason: string;
}

export interface ImportReport {
  /** Lines that are not blank, without those that only repeat another name of a link or tell of clicks. */
  readonly lines: number;
  readonly added: number;
  /** Already here with the same destination and owner. */
  readonly unchanged: number;
  /** Already here with another destination or owner; kept as they are here. */
  readonly conflicting: readonly ImportNote[];
  /** Clicks that came along, whether or not they were here already. */
  readonly clicks: number;
  /** Not taken. */
  readonly invalid: readonly ImportNote[];
  /** Taken, but visiting them fails in this version: what they need is not available. Export keeps them. */
  readonly unresolvable: readonly ImportNote[];
}

/** Links of one transaction. */
const BATCH = 4_000;
/** Lines between two reports of progress. */
const TOLD = 500;
/** Counts of clicks written at once. */
const CLICK_BATCH = 5_000;
/** Bytes of one line. */
const MAX_LINE = 1024 * 1024;

/** Where an import has got to. */
interface Progress {
  readonly report: {
    lines: number;
    added: number;
    unchanged: number;
    clicks: number;
    readonly conflicting: ImportNote[];
    readonly invalid: ImportNote[];
    readonly unresolvable: ImportNote[];
  };
  /** Names a dry run would have added. */
  readonly imagined: Map<string, Link>;
  /** IDs of links that are other links here: their clicks are not taken. */
  readonly foreign: Set<string>;
  /** IDs of links that got clicks. */
  readonly counted: Set<string>;
}

interface NumberedLink {
  readonly link: Link;
  readonly line: number;
}

/**
 * `source`: a path, of a snapshot or of golink's SQLite file, or chunks of bytes of a snapshot. Throws GolinkError
 * ERR_DATABASE*, and the error of an unreadable source.
 */
export async function importSnapshot(
  store: Store,
  source: string | AsyncIterable<Uint8Array | string>,
  actor: Actor,
  options: ImportOptions = {},
): Promise<ImportReport> {
  const progress: Progress = {
    report: {
      ...{ lines: 0, added: 0, unchanged: 0, clicks: 0 },
      ...{ conflicting: [], invalid: [], unresolvable: [] },
    },
    imagined: new Map(),
    foreign: new Set(),
    counted: new Set(),
  };
  const { report } = progress;
  let batch: NumberedLink[] = [];
  const aliases: (NumberedLink & { readonly of: string })[] = [];
  let clicks: StatsRow[] = [];
  let bytes = 0;

  const tell = (): void => {
    const { lines, added, unchanged } = report;
    options.onProgress?.({ lines, bytes, added, unchanged });
  };
  const settle = async (): Promise<void> => {
    options.signal?.throwIfAborted();
    const links = batch;
    batch = [];
    if (links.length > 0) await addLinks(store, links, actor, progress, options);
    tell();
  };
  const settleClicks = async (): Promise<void> => {
    await settle();
    const rows = clicks;
    clicks = [];
    if (rows.length > 0) await addClicks(store, rows, progress, options.dryRun === true);
  };
  const take = async (link: Link, line: number): Promise<void> => {
    report.lines++;
    batch.push({ link, line });
    if (batch.length >= BATCH) await settle();
    else if (report.lines % TOLD === 0) tell();
  };

  let line = 0;
  for await (const text of linesOf(chunksOf(source), (size) => {
    bytes += size;
  })) {
    line++;
    if (text?.trim() === '') continue;
    const parsed =
      text === undefined
        ? { kind: 'invalid' as const, short: '', reason: `is longer than ${MAX_LINE} bytes` }
        : parseSnapshotLine(text);
    if (parsed.kind === 'link') await take(parsed.link, line);
    else if (parsed.kind === 'alias') aliases.push({ ...parsed, line });
    else if (parsed.kind === 'stats') {
      clicks.push(...parsed.rows);
      if (clicks.length >= CLICK_BATCH) await settleClicks();
    } else {
      report.lines++;
      report.invalid.push({ line, short: parsed.short, reason: parsed.reason });
    }
  }
  await settle();
  // Another name whose link came without it, or did not come, is a link of its own, as in golink.
  for (const { link, line, of } of aliases) {
    const here = (await store.find(link.id)) ?? progress.imagined.get(link.id);
    if (here === undefined || here.id !== linkId(of)) await take(link, line);
  }
  await settleClicks();
  await sumClicks(store, [...progress.counted]);
  return report;
}

/** A file is read as what it begins like. */
function chunksOf(
  source: string | AsyncIterable<Uint8Array | string>,
): AsyncIterable<Uint8Array | string> {
  if (typeof source !== 'string') return source;
  return isSqliteFile(source) ? openUpstream(source).snapshot : createReadStream(source);
}

async function addLinks(
  store: Store,
  batch: readonly NumberedLink[],
  actor: Actor,
  { report, imagined, foreign }: Progress,
  { dryRun, schemes }: ImportOptions,
): Promise<void> {
  const links = batch.map(({ link }) => link);
  const added =
    dryRun === true ? await imagine(store, imagined, links) : await store.addMissing(links, actor);
  for (const { link, line } of batch) {
    const { short } = link;
    const written = added.get(link);
    if (written !== undefined) {
      report.added++;
      const reason = whyUnresolvable(link, schemes);
      if (reason !== undefined) report.unresolvable.push({ line, short, reason });
      for (const alias of link.aliases)
        if (!written.aliases.includes(alias))
          report.conflicting.push({ line, short, reason: `its other name ${alias} is taken` });
      continue;
    }
    const here = (await store.find(link.id)) ?? imagined.get(link.id);
    if (here !== undefined && here.long === link.long && here.owner === link.owner) {
      report.unchanged++;
      continue;
    }
    foreign.add(link.id);
    const reason = `exists already and leads to ${here?.long ?? 'another place'}`;
    report.conflicting.push({ line, short, reason });
  }
}

async function addClicks(
  store: Store,
  rows: readonly StatsRow[],
  { report, imagined, foreign, counted }: Progress,
  dryRun: boolean,
): Promise<void> {
  if (dryRun) {
    for (const { id, clicks } of rows)
      if (!foreign.has(id) && (imagined.has(id) || (await store.find(id)) !== undefined))
        report.clicks += clicks;
    return;
  }
  const { ids, clicks } = await addPastClicks(store, rows, foreign);
  for (const id of ids) counted.add(id);
  report.clicks += clicks;
}

async function imagine(
  store: Store,
  imagined: Map<string, Link>,
  links: readonly Link[],
): Promise<Map<Link, Link>> {
  const added = new Map<Link, Link>();
  const isFree = async (id: string): Promise<boolean> =>
    !imagined.has(id) && (await store.find(id)) === undefined;
  for (const link of links) {
    if (!(await isFree(link.id))) continue;
    imagined.set(link.id, link);
    added.set(link, link);
  }
  // As in the database: names go before other names.
  for (const link of added.keys()) {
    const aliases: string[] = [];
    for (const alias of link.aliases) {
      if (!(await isFree(linkId(alias)))) continue;
      imagined.set(linkId(alias), link);
      aliases.push(alias);
    }
    added.set(link, { ...link, aliases });
  }
  return added;
}

/** A destination is tried as it would be visited, by somebody, with nothing behind the name. */
function whyUnresolvable(link: Link, schemes?: ReadonlySet<string>): string | undefined {
  const visit = { path: 'x', query: '', user: 'someone@example.com', now: 0 };
  try {
    compile(link.long).locate({ ...visit, ...(schemes !== undefined && { schemes }) });
    return undefined;
  } catch (error) {
    if (error instanceof GolinkError) return error.message;
    throw error;
  }
}

/** Lines without their newline; undefined for one that is too long, of which no more than the limit was kept. */
async function* linesOf(
  chunks: AsyncIterable<Uint8Array | string>,
  onBytes: (size: number) => void,
): AsyncGenerator<string | undefined> {
  let held: Buffer[] = [];
  let size = 0;
  const take = (): string | undefined => {
    const text = size > MAX_LINE ? undefined : Buffer.concat(held).toString('utf8');
    held = [];
    size = 0;
    return text;
  };
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk as Uint8Array);
    onBytes(bytes.length);
    let start = 0;
    for (;;) {
      const newline = bytes.indexOf(10, start);
      const part = bytes.subarray(start, newline < 0 ? undefined : newline);
      size += part.length;
      if (size <= MAX_LINE) held.push(part);
      if (newline < 0) break;
      yield take();
      start = newline + 1;
    }
  }
  if (size > 0) yield take();
}
