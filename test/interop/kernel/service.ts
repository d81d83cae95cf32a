// The same little service and client for both ends of an interop run, over any Duplex. The first line of a connection is a
// command: `sink` counts and hashes what comes until the end and then answers (half close), `slow` does so slowly, `source N`
// sends N bytes, `echo` returns everything, `reset` resets.
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

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

export type Resettable = Duplex & { resetAndDestroy?(): unknown };

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
export async function runCommand(conn: Duplex, command: string, count: number): Promise<string> {
  const expected = streamHash(count);
  if (command === 'source') {
    conn.write(`source ${count}\n`);
    const got = await readAll(conn);
    conn.end();
    return got.hash === expected ? 'ok' : `received ${got.count} of ${count}`;
  }
  conn.write(`${command}\n`);
  if (command === 'echo') {
    const reading = readAll(conn);
    await send(conn, count);
    conn.end();
    const got = await reading;
    return got.hash === expected ? 'ok' : `echoed ${got.count} of ${count}`;
  }
  if (command !== 'reset') await send(conn, count);
  if (command !== 'reset') conn.end();
  const got = await readAll(conn);
  return got.text === `${count} ${expected}\n` ? 'ok' : `answered ${JSON.stringify(got.text)}`;
}
