// Discovery pongs as they come in at a site, with the kernel's time: a look at a node's status every few milliseconds
// says later, and more coarsely, that a path was found, and keeps the machine busy. They are told by magic and length;
// what is in them is sealed.
import type { Host, Started } from '../harness/lab.ts';
import { eventually } from '../harness/lab.ts';

/** UDP header and pong: magic, key, nonce, tag, type and version, transaction, address and port. */
const UDP_LENGTH = 8 + 6 + 32 + 24 + 16 + 2 + 12 + 18;
const MAGIC = '0x5453f09f';
const FILTER =
  `(ip proto 17 and udp[4:2] = ${UDP_LENGTH} and udp[8:4] = ${MAGIC}) or ` +
  `(ip6 proto 17 and ip6[44:2] = ${UDP_LENGTH} and ip6[48:4] = ${MAGIC})`;
const LINE = /^(\d+\.\d+) IP6? (\S+)\.(\d+) > (\S+)\.(\d+):/;

interface Pong {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly from: string;
  /** Both ends with their ports. */
  readonly flow: string;
}

export class PongCapture {
  readonly #pongs: Pong[] = [];
  readonly #started: Started;
  #rest = '';

  constructor(host: Host) {
    const args = ['-i', 'eth0', '-Q', 'in', '-n', '-q', '-tt', '-l', '--immediate-mode', FILTER];
    this.#started = host.start('tcpdump', args);
    this.#started.child.stdout!.on('data', (text: string) => this.#read(text));
  }

  async ready(): Promise<void> {
    await eventually(
      () => `tcpdump is not ready: ${this.#started.stderr}`,
      10_000,
      () => this.#started.stderr.includes('listening on'),
    );
  }

  /**
   * When the first pong of a peer at one of these addresses came, in milliseconds since the Unix epoch: of two nodes that
   * had not heard of each other before `since`. Undefined: none came until `until`.
   */
  first(addresses: readonly string[], since: number, until: number): number | undefined {
    const old = new Set<string>();
    for (const { at, from, flow } of this.#pongs) {
      if (at < since) old.add(flow);
      else if (at <= until && addresses.includes(from) && !old.has(flow)) return at;
    }
    return undefined;
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const [, seconds, from, fromPort, to, toPort] = LINE.exec(line) ?? [];
      if (from === undefined) continue;
      const flow = `${from} ${fromPort} ${to} ${toPort}`;
      this.#pongs.push({ at: Number(seconds) * 1000, from, flow });
    }
  }
}
