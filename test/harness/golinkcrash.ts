// Kills a golink that is changing its links, again and again, and looks whether everything answered is there, nothing
// is there by half, and the history tells the links that are.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { SqliteDatabase } from '@cove/sqlite';
import type { WriterMessage } from './golinkwriter.ts';

type Links = Map<string, string>;

/** `seed`: of the choices; `rounds` processes one after the other. Gives the number of changes that were answered. */
export async function crashRounds(file: string, seed: number, rounds: number): Promise<number> {
  const links: Links = new Map();
  let answered = 0;
  for (let round = 0; round < rounds; round++) {
    const underWay = new Map<number, WriterMessage['effects']>();
    answered += await writeUntilKilled(file, seed * 1_000 + round, (message) => {
      if (message.answered) {
        underWay.delete(message.lane);
        apply(links, message.effects);
      } else underWay.set(message.lane, message.effects);
    });
    const { now, told } = read(file);
    for (const effects of underWay.values()) {
      const happened = Object.entries(effects).filter(
        ([name, to]) => (now.get(name) ?? null) === to,
      );
      const isDone = happened.length === Object.keys(effects).length;
      // A destination may be the same before and after.
      if (isDone) apply(links, effects);
      else
        for (const name of Object.keys(effects))
          assert.equal(now.get(name), links.get(name), `${name} is there by half`);
    }
    const sorted = (some: Links): [string, string][] => [...some].sort();
    assert.deepEqual(sorted(now), sorted(links), `round ${round}: links`);
    assert.deepEqual(sorted(told), sorted(now), `round ${round}: history`);
  }
  return answered;
}

async function writeUntilKilled(
  file: string,
  seed: number,
  heard: (message: WriterMessage) => void,
): Promise<number> {
  const script = fileURLToPath(new URL('./golinkwriter.js', import.meta.url));
  const child = fork(script, [file, String(seed)], { execArgv: [] });
  let answered = 0;
  child.on('message', (message: WriterMessage) => {
    heard(message);
    if (!message.answered) return;
    answered++;
    // Not at the moment of an answer, when nothing would be under way.
    if (answered === 5 + (seed % 37)) setTimeout(() => child.kill('SIGKILL'), (seed % 11) / 2);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, null, `the writer ended: ${code}`);
  return answered;
}

function apply(links: Links, effects: WriterMessage['effects']): void {
  for (const [name, to] of Object.entries(effects))
    if (to === null) links.delete(name);
    else links.set(name, to);
}

/** The links, and what they are if every change of the history is made in order. */
function read(file: string): { now: Links; told: Links } {
  const db = new SqliteDatabase(file);
  try {
    assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
    const rows = db.prepare('select short, long from links where deleted is null').raw().all();
    const now: Links = new Map(rows as [string, string][]);
    const kept = db.prepare("select n from totals where name = 'links'").pluck().get();
    assert.equal(kept, now.size, 'the number of links');
    const told: Links = new Map();
    const changes = db.prepare('select "before", "after" from changes order by seq').raw().all();
    for (const [before, after] of changes as [string | null, string | null][]) {
      const was = before && JSON.parse(before);
      const is = after && JSON.parse(after);
      if (was) assert.equal(told.get(was.Short), was.Long, was.Short);
      if (was) told.delete(was.Short);
      if (is) told.set(is.Short, is.Long);
    }
    return { now, told };
  } finally {
    db.close();
  }
}
