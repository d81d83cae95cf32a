// Everything the stack counts, by name. `drop.*`: packets from the network that were thrown away, and why.

const NAMES = [
  'in.packets',
  'in.bytes',
  'out.packets',
  'out.bytes',
  'in.fragments',
  'in.reassembled',
  'out.fragments',
  'drop.ip.truncated',
  'drop.ip.version',
  'drop.ip.header_length',
  'drop.ip.checksum',
  'drop.ip.extension',
  'drop.ip.source',
  'drop.ip.not_ours',
  'drop.ip.protocol',
  'drop.fragment.malformed',
  'drop.fragment.overlap',
  'drop.fragment.timeout',
  'drop.fragment.limit',
  'drop.loopback.full',
  'drop.icmp.malformed',
  'drop.icmp.checksum',
  'drop.icmp.type',
  'drop.icmp.unmatched',
  'drop.icmp.rate',
  'drop.udp.malformed',
  'drop.udp.checksum',
  'drop.udp.port',
  'drop.udp.queue',
  'drop.tcp.malformed',
  'drop.tcp.checksum',
  'drop.tcp.flags',
  'drop.tcp.no_connection',
  'drop.tcp.unacceptable',
  'drop.tcp.paws',
  'drop.tcp.no_timestamp',
  'drop.tcp.ack',
  'drop.tcp.backlog',
  'drop.tcp.holes',
  'drop.tcp.closed',
  'drop.tcp.memory',
  'tcp.connects',
  'tcp.accepts',
  'tcp.resets.sent',
  'tcp.resets.received',
  'tcp.challenge_acks',
  'tcp.segments.sent',
  'tcp.segments.received',
  'tcp.retransmits',
  'tcp.fast_recoveries',
  'tcp.undone_recoveries',
  'tcp.timeouts',
  'tcp.tail_loss_probes',
  'tcp.zero_window_probes',
  'tcp.keepalives',
  'tcp.out_of_order',
  'tcp.duplicates',
  'icmp.echo.answered',
  'icmp.errors.sent',
  'icmp.errors.received',
  'udp.datagrams.sent',
  'udp.datagrams.received',
] as const;

export type CounterName = (typeof NAMES)[number];

/** Name -> index, for counting without a string on the packet path. */
export const Counter: Readonly<Record<CounterName, number>> = Object.fromEntries(
  NAMES.map((name, index) => [name, index]),
) as Record<CounterName, number>;

export class Counters {
  readonly #values = new Float64Array(NAMES.length);

  add(index: number, amount = 1): void {
    this.#values[index]! += amount;
  }

  get(name: CounterName): number {
    return this.#values[Counter[name]]!;
  }

  /** All counters that are not zero. */
  snapshot(): Record<string, number> {
    const out: Record<string, number> = {};
    NAMES.forEach((name, index) => {
      if (this.#values[index] !== 0) out[name] = this.#values[index]!;
    });
    return out;
  }
}
