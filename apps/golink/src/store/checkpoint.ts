// Checkpoints of a SQLite file: what its log has gathered is moved into the file by a thread of its own. Done where
// changes are committed it would hold up every visit, by a tenth of a second at a time.
import { Worker } from 'node:worker_threads';
import type { SqliteDatabase, SqliteStatement } from '@cove/sqlite';

/** Rows written until the log is worth it: some thousand pages of a large database. */
const ROWS = 4_000;
/** A thread that does not end by itself by then is ended. */
const ENDS_WITHIN_MS = 10_000;

export class Checkpointer {
  readonly #file: string;
  readonly #written: SqliteStatement<[], number>;
  #worker: Worker | undefined;
  #done = 0;
  #running: Promise<void> | undefined;
  #isClosed = false;

  /** `writer`: the connection whose rows count; without a thread it makes checkpoints itself, as it is set to. */
  constructor(file: string, writer: SqliteDatabase) {
    this.#file = file;
    this.#written = writer.prepare<[], number>('select total_changes()').pluck();
  }

  /** Resolves when the log is short again, at once where it is not long. */
  settle(): Promise<void> {
    if (this.#running !== undefined) return this.#running;
    if (this.#isClosed) return Promise.resolve();
    const written = this.#written.get()!;
    if (written - this.#done < ROWS) return Promise.resolve();
    this.#done = written;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Ends the thread: nobody else has the file open then. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#worker = undefined;
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => void worker.terminate(), ENDS_WITHIN_MS);
      worker.once('exit', () => {
        clearTimeout(late);
        resolve();
      });
      worker.ref();
      worker.postMessage('end');
    });
  }

  async #run(): Promise<void> {
    const worker = this.#worker ?? this.#start();
    worker.ref();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        worker.off('message', done).off('exit', done);
        resolve();
      };
      worker.on('message', done).on('exit', done);
      worker.postMessage('checkpoint');
    });
    worker.unref();
  }

  #start(): Worker {
    const worker = new Worker(new URL('./checkpointworker.js', import.meta.url), {
      workerData: this.#file,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
    });
    // Of one that fails the next has the same to do.
    worker.on('error', () => {});
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    this.#worker = worker;
    return worker;
  }
}
