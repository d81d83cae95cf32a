// The same little service and client for both ends of an interop run, over any Duplex. The first line of a connection is a
// command: `sink` counts and hashes what comes until the end and then answers (half close), `slow` does so slowly, `source N`
// sends N bytes, `trickle N` sends them in small pieces with pauses, `echo` returns everything. `reset` resets at once,
// `reset-waiting` after the client's end, `reset-half` after an end of its own, `reset-flood` in the middle of much data.
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** Of a trickle. */
const PIECE = 100;
const BLOCK = Buffer.alloc(65536, 'the quick brown fox jumps over the lazy dog. ');

/** `count` bytes of a stream both ends know, in pieces. */
function* stream(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= BLOCK.length) {
    yield left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
  }
}

export function streamHash(count: number): string {
  const hash = createHash('sha256');
  for (const piece of stream(count)) hash.update(piece);
  return hash.digest('hex');
}

async function send(conn: Duplex, count: number): Promise<void> {
  for (const piece of stream(count)) {
    if (!conn.write(piece)) await new Promise((resolve) => conn.once('drain', resolve));
  }
}

export type Resettable = Duplex & {
  resetAndDestroy?(): unknown;
  setKeepAlive?(on: boolean, delay: number): unknown;
};

/** Answers one connection. Errors of the connection are the client's business. */
export async function serve(conn: Resettable): Promise<void> {
  conn.on('error', () => {});
  let command: string | undefined;
  let head = Buffer.alloc(0);
  const hash = createHash('sha256');
  let count = 0;
  for await (const piece of pieces(conn)) {
    let data = piece;
    if (command === undefined) {
      head = Buffer.concat([head, piece]);
      const end = head.indexOf(10);
      if (end < 0) continue;
      command = head.subarray(0, end).toString();
      data = head.subarray(end + 1);
      if (command === 'reset') {
        conn.resetAndDestroy?.();
        return;
      }
      if (command === 'reset-half') {
        conn.end();
        await sleep(100);
        conn.resetAndDestroy?.();
        return;
      }
      if (command === 'reset-flood') {
        for (const block of stream(64 * BLOCK.length)) conn.write(block);
        await sleep(20);
        conn.resetAndDestroy?.();
        return;
      }
      if (command.startsWith('trickle ')) {
        for (let left = Number(command.slice(8)); left > 0; left -= PIECE) {
          conn.write(BLOCK.subarray(0, Math.min(left, PIECE)));
          await sleep(2);
        }
        conn.end();
        continue;
      }
      if (command.startsWith('source ')) {
        await send(conn, Number(command.slice(7)));
        conn.end();
        continue;
      }
    }
    if (command === 'echo') {
      if (data.length > 0 && !conn.write(data)) {
        await new Promise((resolve) => conn.once('drain', resolve));
      }
      continue;
    }
    hash.update(data);
    count += data.length;
    if (command === 'slow') await sleep(5);
  }
  if (command === 'reset-waiting') {
    await sleep(50);
    conn.resetAndDestroy?.();
    return;
  }
  if (command === 'sink' || command === 'slow') conn.end(`${count} ${hash.digest('hex')}\n`);
  else conn.end();
}

/** Iteration that leaves the writable half alone when the readable one ends. */
function pieces(conn: Duplex): AsyncIterable<Buffer> {
  return { [Symbol.asyncIterator]: () => conn.iterator({ destroyOnReturn: false }) };
}

async function readAll(conn: Duplex): Promise<{ count: number; hash: string; text: string }> {
  const hash = createHash('sha256');
  let count = 0;
  let text = '';
  for await (const piece of pieces(conn)) {
    hash.update(piece);
    count += piece.length;
    if (text.length < 200) text += piece.toString('latin1');
  }
  return { count, hash: hash.digest('hex'), text };
}

/** Runs one command over a fresh connection; resolves to 'ok' or a complaint, rejects with the connection's error. */
export async function runCommand(
  conn: Resettable,
  command: string,
  count: number,
): Promise<string> {
  const expected = streamHash(count);
  if (command === 'source') {
    conn.write(`source ${count}\n`);
    const got = await readAll(conn);
    conn.end();
    return got.hash === expected ? 'ok' : `received ${got.count} of ${count}`;
  }
  if (command === 'trickle') {
    conn.write(`trickle ${count}\n`);
    const got = await readAll(conn);
    conn.end();
    return got.count === count ? 'ok' : `received ${got.count} of ${count}`;
  }
  conn.write(`${command === 'idle' ? 'echo' : command}\n`);
  if (command.startsWith('reset')) {
    // A socket of the kernel that was read to its end tells of a reset when it is written to.
    conn.on('end', () => {
      if (command !== 'reset-waiting') setTimeout(() => conn.write('x'), 300);
    });
    if (command === 'reset-waiting') conn.end();
    return await new Promise((resolve, reject) => {
      conn.on('error', reject).on('close', () => resolve('closed without an error'));
      conn.resume();
    });
  }
  if (command === 'idle') {
    conn.setKeepAlive?.(true, 1000);
    await sleep(count);
    command = 'echo';
  }
  if (command === 'echo') {
    const reading = readAll(conn);
    await send(conn, count);
    conn.end();
    const got = await reading;
    return got.hash === expected ? 'ok' : `echoed ${got.count} of ${count}`;
  }
  await send(conn, count);
  conn.end();
  const got = await readAll(conn);
  return got.text === `${count} ${expected}\n` ? 'ok' : `answered ${JSON.stringify(got.text)}`;
}
