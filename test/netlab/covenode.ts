// The program that runs at every site of the lab: holds the site's Cove node, offers an echo service (on the Cove node,
// and on loopback for the stock node beside it), and makes contact through either of them, watching the path.
// One JSON request per line on standard input, one answer per line on standard output.
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { Server } from '@cove/tsnet';
import { dialSocks, stockPath, stockPeers } from './stockside.ts';
import type {
  Answer,
  ContactAnswer,
  ContactRequest,
  EchoReport,
  Request,
  Through,
} from './wire.ts';

const ECHO_PORT = 7000;
const BULK_TIMEOUT = 30_000;
const VERBOSE = process.env['COVE_NETLAB_LOG'] !== undefined;

let node: Server | undefined;
let nextContact = 1;
const contacts = new Map<number, Contact>();

/** One open connection to an echo service, a small message on its way at a steady pace. */
class Contact {
  readonly through: Through;
  readonly address: string;
  readonly startedAt: number;
  #stream: Duplex | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed: string | undefined;
  #received = 0;
  #lastEcho = 0;
  #longestGap = 0;
  #echoes = 0;
  #bulk: { readonly until: number; readonly done: () => void } | undefined;
  #sent = 0;

  constructor(through: Through, address: string) {
    this.through = through;
    this.address = address;
    this.startedAt = performance.now();
  }

  /** Milliseconds from the beginning of the dial to the first byte that came back. */
  async open(window: number, pace: number): Promise<number> {
    const signal = AbortSignal.timeout(window);
    const stream =
      this.through.flavour === 'cove'
        ? await node!.dial({ host: this.address, port: ECHO_PORT, signal })
        : await dialSocks(this.address, ECHO_PORT, signal);
    this.#stream = stream;
    stream.on('error', (error: Error) => {
      this.#closed ??= error.message;
    });
    stream.on('close', () => {
      this.#closed ??= 'closed';
    });
    const first = new Promise<number>((done, fail) => {
      signal.addEventListener('abort', () => fail(new Error('connected, but no byte came back')));
      stream.once('data', () => done(performance.now()));
    });
    stream.on('data', (bytes: Uint8Array) => this.#onEcho(bytes.length));
    this.mark();
    this.#write(Buffer.alloc(8));
    const at = await first;
    this.#timer = setInterval(() => this.#write(Buffer.alloc(8)), pace);
    return at - this.startedAt;
  }

  #write(bytes: Uint8Array): void {
    if (this.#closed !== undefined) return;
    this.#sent += bytes.length;
    this.#stream!.write(bytes);
  }

  #onEcho(length: number): void {
    const now = performance.now();
    this.#longestGap = Math.max(this.#longestGap, now - this.#lastEcho);
    this.#lastEcho = now;
    this.#echoes++;
    this.#received += length;
    if (this.#bulk !== undefined && this.#received >= this.#bulk.until) this.#bulk.done();
  }

  /** Begins a new count of echoes and gaps. */
  mark(): void {
    this.#lastEcho = performance.now();
    this.#longestGap = 0;
    this.#echoes = 0;
  }

  report(): EchoReport {
    const current = performance.now() - this.#lastEcho;
    return {
      echoes: this.#echoes,
      longestGap: Math.max(this.#longestGap, current),
      current,
      ...(this.#closed !== undefined && { closed: this.#closed }),
    };
  }

  /** Sends this much and resolves when it all came back. */
  async bulk(bytes: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the transfer did not end')), BULK_TIMEOUT);
      const done = (): void => {
        clearTimeout(timer);
        this.#bulk = undefined;
        resolve();
      };
      this.#bulk = { until: this.#sent + bytes, done };
      this.#write(Buffer.alloc(bytes));
    });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#stream?.destroy();
  }
}

/** The direct address this side uses to reach a peer; '' while it goes through a relay. */
async function pathTo(through: Through, address: string): Promise<string> {
  if (through.flavour === 'stock') return stockPath(through.socket, address);
  const peer = node!.status().peers.find((candidate) => candidate.addresses.includes(address));
  return peer?.currentAddress ?? '';
}

/** Which of these addresses are of no peer yet whose home relay is known. */
async function strangers(through: Through, addresses: readonly string[]): Promise<string[]> {
  const known =
    through.flavour === 'stock'
      ? await stockPeers(through.socket)
      : node!.status().peers.flatMap((peer) => (peer.relay === '' ? [] : peer.addresses));
  return addresses.filter((address) => !known.includes(address));
}

/** Milliseconds since `from` until the path is as wanted; undefined when the window ends before. */
async function awaitPath(
  through: Through,
  address: string,
  wanted: 'direct' | 'relay',
  options: { readonly from: number; readonly window: number; readonly poll: number },
): Promise<{ readonly after?: number; readonly path: string }> {
  for (;;) {
    const path = await pathTo(through, address);
    const now = performance.now();
    if ((path !== '') === (wanted === 'direct')) return { after: now - options.from, path };
    if (now - options.from > options.window) return { path };
    await new Promise((done) => setTimeout(done, options.poll));
  }
}

async function contact(request: ContactRequest): Promise<ContactAnswer> {
  const { through, address, window, poll, pace } = request;
  const made = new Contact(through, address);
  const number = nextContact++;
  contacts.set(number, made);
  try {
    const startedAt = performance.timeOrigin + made.startedAt;
    if (request.return === 'first byte')
      return { contact: number, startedAt, firstByte: await made.open(window, pace) };
    // Both at once: a path may be direct before the first byte of the application comes back.
    const [firstByte, { after, path }] = await Promise.all([
      made.open(window, pace),
      awaitPath(through, address, 'direct', { from: made.startedAt, window, poll }),
    ]);
    return {
      contact: number,
      startedAt,
      firstByte,
      path,
      ...(after !== undefined && { direct: after }),
    };
  } catch (error) {
    made.close();
    contacts.delete(number);
    throw error;
  }
}

async function up(controlUrl: string, authKey: string, hostname: string): Promise<string> {
  node = new Server({
    hostname,
    controlUrl,
    authKey,
    ephemeral: true,
    env: {},
    ...(VERBOSE && {
      log: (level, message, fields) =>
        process.stderr.write(`${hostname} ${level} ${message} ${JSON.stringify(fields ?? {})}\n`),
    }),
  });
  const listener = await node.listen({ port: ECHO_PORT });
  listener.on('connection', echo);
  const { ips } = await node.up({ signal: AbortSignal.timeout(30_000) });
  return ips[0]!;
}

function echo(stream: Duplex): void {
  stream.on('error', () => {});
  stream.pipe(stream);
}

async function handle(request: Request): Promise<unknown> {
  switch (request.op) {
    case 'up':
      return up(request.controlUrl, request.authKey, request.hostname);
    case 'down': {
      const old = node;
      node = undefined;
      await old?.close();
      return undefined;
    }
    case 'contact':
      return contact(request);
    case 'strangers':
      return strangers(request.through, request.addresses);
    case 'await path':
      return awaitPath(request.through, request.address, request.wanted, {
        from: performance.now(),
        window: request.window,
        poll: request.poll,
      });
    case 'bulk':
      return contacts.get(request.contact)!.bulk(request.bytes);
    case 'mark':
      return contacts.get(request.contact)!.mark();
    case 'report':
      return contacts.get(request.contact)!.report();
    case 'end':
      contacts.get(request.contact)!.close();
      contacts.delete(request.contact);
      return undefined;
  }
}

const local = createServer((socket: Socket) => echo(socket));
local.listen(ECHO_PORT, '127.0.0.1');
createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const request = JSON.parse(line) as Request;
    let answer: Answer;
    try {
      answer = { id: request.id, result: await handle(request) };
    } catch (error) {
      answer = { id: request.id, error: error instanceof Error ? error.message : String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  })
  .on('close', () => process.exit());
