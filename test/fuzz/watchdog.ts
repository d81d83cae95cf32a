// A thread that notices when one execution never ends: it writes the input to a file and kills the process, because nothing
// else can interrupt a loop.
import { writeFileSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const HANGS_AFTER = 15_000;
const CAPACITY = 1 << 16;
/** Executions begun, length of the current input, then the input. */
const HEAD = 8;

export class Watchdog {
  readonly #shared = new SharedArrayBuffer(HEAD + CAPACITY);
  readonly #head = new Int32Array(this.#shared, 0, 2);
  readonly #input = new Uint8Array(this.#shared, HEAD);
  readonly #worker: Worker;

  /** `file`: where the input of a hang goes. */
  constructor(file: string) {
    const data = { shared: this.#shared, file };
    this.#worker = new Worker(new URL(import.meta.url), { workerData: data, execArgv: [] });
    this.#worker.unref();
  }

  begin(input: Uint8Array): void {
    this.#input.set(input.subarray(0, CAPACITY));
    this.#head[1] = input.length;
    Atomics.add(this.#head, 0, 1);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

if (!isMainThread && workerData !== null) {
  const { shared, file } = workerData as { shared: SharedArrayBuffer; file: string };
  const head = new Int32Array(shared, 0, 2);
  let last = -1;
  setInterval(() => {
    const now = Atomics.load(head, 0);
    if (now === last) {
      writeFileSync(file, new Uint8Array(shared, HEAD, head[1]).slice());
      writeFileSync(2, `an execution does not end; its input is in ${file}\n`);
      process.kill(process.pid, 'SIGKILL');
    }
    last = now;
  }, HANGS_AFTER);
}
