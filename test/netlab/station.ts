// A site with its nodes, as the lab sees it: the program covenode.ts in the site's namespace and a stock daemon.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from '../harness/lab.ts';
import { CURRENT_RELEASE } from '../harness/peers.ts';
import { StockNode } from '../harness/stocknode.ts';
import { PongCapture } from './capture.ts';
import type { Site } from './network.ts';
import type {
  Answer,
  Command,
  ContactAnswer,
  ContactRequest,
  EchoReport,
  PathAnswer,
  PathRequest,
  Through,
} from './wire.ts';

/** As `tailscale netcheck --format=json` prints it; a question that was not answered is null. */
export interface Netcheck {
  readonly UDP: boolean;
  readonly IPv4: boolean;
  readonly IPv6: boolean;
  readonly OSHasIPv6: boolean;
  readonly MappingVariesByDestIP: boolean | null;
  readonly PMP: boolean | null;
  readonly GlobalV4: string;
}

export type Flavour = 'cove' | 'stock';

const PROGRAM = fileURLToPath(new URL('./covenode.js', import.meta.url));
const CONTROL_PORT = 8090;
const MEET_TIMEOUT = 30_000;

export class Station {
  readonly site: Site;
  readonly addresses: Record<Flavour, string> = { cove: '', stock: '' };
  readonly pongs: PongCapture;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #nextId = 1;
  #generation = 0;
  #stock: StockNode | undefined;

  constructor(site: Site) {
    this.site = site;
    this.pongs = new PongCapture(site.host);
    this.#child = spawn('ip', ['netns', 'exec', site.host.namespace, process.execPath, PROGRAM], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#child.once('close', (code, signal) => {
      const error = `the program at ${site.name} ended with ${code ?? signal}`;
      for (const [id, settle] of this.#waiting) settle({ id, error });
      this.#waiting.clear();
    });
  }

  /** Both nodes, or only the Cove one, join anew, as machines that nobody has met. */
  async join(authKey: string, which: 'both' | 'cove' = 'both'): Promise<void> {
    await this.leave();
    await this.pongs.ready();
    const { server, name } = this.site;
    const url = `http://${server.includes(':') ? `[${server}]` : server}:${CONTROL_PORT}`;
    const hostname = `${name}-${this.#generation++}`;
    // Before the other node, so that both start at the same time.
    if (which === 'both')
      this.#stock = new StockNode(this.site.host, CURRENT_RELEASE, { ephemeral: true });
    this.addresses.cove = (await this.#ask({
      op: 'up',
      controlUrl: url,
      authKey,
      hostname: `cove-${hostname}`,
    })) as string;
    const stock = this.#stock;
    if (stock === undefined) return;
    await stock.up(url, authKey, `--hostname=stock-${hostname}`);
    this.addresses.stock = (await stock.status()).Self.TailscaleIPs[0]!;
  }

  async leave(): Promise<void> {
    await this.#stock?.stop();
    this.#stock = undefined;
    await this.#ask({ op: 'down' });
  }

  /** What the stock daemon wrote, for failure messages. */
  get stockLog(): string {
    return this.#stock?.log ?? '';
  }

  /** What the stock node makes of its network. */
  async netcheck(): Promise<Netcheck> {
    return JSON.parse(await this.#stock!.cli('netcheck', '--format=json')) as Netcheck;
  }

  through(flavour: Flavour): Through {
    return flavour === 'cove' ? { flavour } : { flavour, socket: this.#stock!.socket };
  }

  /** Resolves when both nodes, or the one named, know all of these and their home relays. */
  async meets(addresses: readonly string[], only?: Flavour): Promise<void> {
    for (const flavour of only === undefined ? (['cove', 'stock'] as const) : [only]) {
      const own = Object.values(this.addresses);
      const others = addresses.filter((address) => !own.includes(address));
      let missing: string[] = [];
      await eventually(
        () => `${flavour} at ${this.site.name} does not know ${missing.join(', ')}`,
        MEET_TIMEOUT,
        async () => {
          const through = this.through(flavour);
          const command = { op: 'strangers', through, addresses: others } as const;
          missing = (await this.#ask(command)) as string[];
          return missing.length === 0;
        },
      );
    }
  }

  contact(request: Omit<ContactRequest, 'op'>): Promise<ContactAnswer> {
    return this.#ask({ op: 'contact', ...request }) as Promise<ContactAnswer>;
  }

  awaitPath(request: Omit<PathRequest, 'op'>): Promise<PathAnswer> {
    return this.#ask({ op: 'await path', ...request }) as Promise<PathAnswer>;
  }

  async bulk(contact: number, bytes: number): Promise<void> {
    await this.#ask({ op: 'bulk', contact, bytes });
  }

  async mark(contact: number): Promise<void> {
    await this.#ask({ op: 'mark', contact });
  }

  report(contact: number): Promise<EchoReport> {
    return this.#ask({ op: 'report', contact }) as Promise<EchoReport>;
  }

  async end(contact: number): Promise<void> {
    await this.#ask({ op: 'end', contact });
  }

  #ask(command: Command): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((done, fail) => {
      this.#waiting.set(id, ({ result, error }) =>
        error === undefined ? done(result) : fail(new Error(error)),
      );
      this.#child.stdin!.write(`${JSON.stringify({ id, ...command })}\n`);
    });
  }
}
