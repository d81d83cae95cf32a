// Snapshots: one link as compact JSON on each line, sorted by name. Written by export, read by import.
//
// Reading is tolerant as snapshots of other versions need it: keys in any case, unknown keys ignored, blank lines
// skipped. A link whose name exists is never overwritten. A line that is no link is reported with its number and
// does not stop the rest.
import { createReadStream } from 'node:fs';
import { isSafeUrl } from '@cove/web';
import { compile } from './destination.ts';
import { GolinkError } from './errors.ts';
import { isValidName, type Link, linkJson, newLink, parseTime, ZERO_TIME } from './links.ts';
import { listLinks } from './store/listing.ts';
import type { Actor, Store } from './store/store.ts';

export interface ImportProgress {
  readonly lines: number;
  readonly bytes: number;
  readonly added: number;
  readonly unchanged: number;
}

export interface ImportOptions {
  /** Called after each batch. */
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
  /** Lines that are not blank. */
  readonly lines: number;
  readonly added: number;
  /** Already here with the same destination and owner. */
  readonly unchanged: number;
  /** Already here with another destination or owner; kept as they are here. */
  readonly conflicting: readonly ImportNote[];
  /** Not taken. */
  readonly invalid: readonly ImportNote[];
  /** Taken, but visiting them fails in this version: what they need is not available. Export keeps them. */
  readonly unresolvable: readonly ImportNote[];
}

const BATCH = 1_000;
/** Bytes of one line. */
const MAX_LINE = 1024 * 1024;

/** `source`: a path, or chunks of bytes. Throws GolinkError ERR_DATABASE*, and the error of an unreadable source. */
export async function importSnapshot(
  store: Store,
  source: string | AsyncIterable<Uint8Array | string>,
  actor: Actor,
  options: ImportOptions = {},
): Promise<ImportReport> {
  const report = {
    lines: 0,
    added: 0,
    unchanged: 0,
    conflicting: [] as ImportNote[],
    invalid: [] as ImportNote[],
    unresolvable: [] as ImportNote[],
  };
  /** Names a dry run would have added. */
  const imagined = new Map<string, Link>();
  let batch: { readonly link: Link; readonly line: number }[] = [];
  let bytes = 0;

  const settle = async (): Promise<void> => {
    options.signal?.throwIfAborted();
    const links = batch.map(({ link }) => link);
    const added =
      options.dryRun === true
        ? await imagine(store, imagined, links)
        : await store.addMissing(links, actor);
    for (const { link, line } of batch) {
      if (added.has(link)) {
        report.added++;
        const reason = whyUnresolvable(link, options.schemes);
        if (reason !== undefined) report.unresolvable.push({ line, short: link.short, reason });
        continue;
      }
      const here = (await store.find(link.id)) ?? imagined.get(link.id);
      if (here !== undefined && here.long === link.long && here.owner === link.owner)
        report.unchanged++;
      else
        report.conflicting.push({
          line,
          short: link.short,
          reason: `exists already and leads to ${here?.long ?? 'another place'}`,
        });
    }
    batch = [];
    const { lines, added: total, unchanged } = report;
    options.onProgress?.({ lines, bytes, added: total, unchanged });
  };

  const chunks = typeof source === 'string' ? createReadStream(source) : source;
  let line = 0;
  for await (const text of linesOf(chunks, (size) => {
    bytes += size;
  })) {
    line++;
    if (text?.trim() === '') continue;
    report.lines++;
    const parsed = text === undefined ? `is longer than ${MAX_LINE} bytes` : parseLine(text);
    if (typeof parsed === 'string') report.invalid.push({ line, short: '', reason: parsed });
    else if ('reason' in parsed) report.invalid.push({ line, ...parsed });
    else batch.push({ link: parsed, line });
    if (batch.length >= BATCH) await settle();
  }
  await settle();
  return report;
}

/** Lines of a snapshot by name, in parts of some hundred. */
export async function* snapshotOf(store: Store): AsyncGenerator<string> {
  let after: string | undefined;
  do {
    const page = await listLinks(store, { limit: BATCH, ...(after !== undefined && { after }) });
    if (page.links.length > 0) yield `${page.links.map(({ link }) => linkJson(link)).join('\n')}\n`;
    after = page.next;
  } while (after !== undefined);
}

async function imagine(
  store: Store,
  imagined: Map<string, Link>,
  links: readonly Link[],
): Promise<Set<Link>> {
  const added = new Set<Link>();
  for (const link of links) {
    if (imagined.has(link.id) || (await store.find(link.id)) !== undefined) continue;
    imagined.set(link.id, link);
    added.add(link);
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

function parseLine(text: string): Link | string | { short: string; reason: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'is not JSON';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'is not an object';
  const fields = new Map<string, unknown>();
  for (const [key, field] of Object.entries(value)) {
    if (field !== null) fields.set(key.toLowerCase(), field);
  }
  const texts: Record<string, string> = {};
  for (const key of ['short', 'long', 'owner', 'created', 'lastedit']) {
    const field = fields.get(key) ?? '';
    if (typeof field !== 'string') return `has a ${key} that is no text`;
    texts[key] = field;
  }
  const short = texts['short']!;
  const long = texts['long']!;
  if (short === '') return 'has no name';
  if (!isValidName(short)) return { short, reason: 'has a name no link can have' };
  if (!isSafeUrl(long)) return { short, reason: 'leads to an address that would run script' };
  const created = texts['created'] === '' ? ZERO_TIME : parseTime(texts['created']!);
  const lastEdit = texts['lastedit'] === '' ? ZERO_TIME : parseTime(texts['lastedit']!);
  if (created === undefined || lastEdit === undefined)
    return { short, reason: 'has a time that is not RFC 3339' };
  return newLink({ short, long, owner: texts['owner']!, created, lastEdit });
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
