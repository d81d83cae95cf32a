// What leaves at length: snapshots, one link as compact JSON on each line, sorted by name; and counts of clicks. Everything
// is as it was at one moment, however long it takes; only a part at a time is in memory, and the next is read when that is
// taken.
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GolinkError } from './errors.ts';
import { linkLines, statsLine } from './snapshotline.ts';
import { linksByName } from './store/listing.ts';
import type { Store } from './store/store.ts';

/** Links read at once: visits wait for it. */
const PART = 250;
/** Counts of clicks in one line. */
const CLICK_LINE = 500;

/** Lines of a snapshot by name; then, where asked for, those of the clicks. */
export async function* snapshotOf(
  store: Store,
  options: { readonly stats?: boolean } = {},
): AsyncGenerator<string> {
  const { stats = false } = options;
  if (stats) await store.flush();
  yield* store.readLong(async function* (db) {
    for await (const links of linksByName(db, PART)) {
      yield `${links.map(linkLines).join('\n')}\n`;
      await new Promise(setImmediate);
    }
    if (!stats) return;
    for await (const rows of store.clicks.export(db))
      for (let at = 0; at < rows.length; at += CLICK_LINE)
        yield `${statsLine(rows.slice(at, at + CLICK_LINE))}\n`;
  });
}

/** `ID,seconds,clicks` on each line, oldest first. */
export async function* clicksOf(store: Store): AsyncGenerator<string> {
  await store.flush();
  yield* store.readLong(async function* (db) {
    for await (const rows of store.clicks.export(db))
      yield rows.map(({ id, at, clicks }) => `${id},${at},${clicks}\n`).join('');
  });
}

/**
 * Sends `parts` and ends the stream. Reading ends with it when the other side goes away. Whoever takes nothing for
 * `stalledMs` is let go with GolinkError ERR_CLOSED, because changes pile up beside a state that is read.
 */
export async function send(
  parts: AsyncGenerator<string>,
  target: Writable,
  stalledMs?: number,
): Promise<void> {
  const gone = new AbortController();
  const failure = new GolinkError('ERR_CLOSED', 'Nobody took the export, so it was ended.');
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const watched = async function* (): AsyncGenerator<string> {
    for await (const part of parts) {
      if (isOver) return;
      if (stalledMs !== undefined) timer = setTimeout(() => gone.abort(failure), stalledMs);
      yield part;
      clearTimeout(timer);
    }
  };
  try {
    await pipeline(Readable.from(watched(), { highWaterMark: 1 }), target, { signal: gone.signal });
  } catch (error) {
    throw gone.signal.aborted ? failure : error;
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}
