// The direct path of two nodes that talk is cut, and later restored: traffic has to move to the relay and back, and the
// TCP connection that was open all the while has to live.

import type { Flavours } from './measure.ts';
import { iptables, type Site } from './network.ts';
import type { Flavour, Station } from './station.ts';

/** All in milliseconds. */
export interface CutResult {
  readonly flavours: Flavours;
  /** From the cut until a connection that was dialled after it carried a byte. */
  readonly moved?: number;
  /** The longest time the old connection was silent; TCP retransmits ever more rarely meanwhile. */
  readonly silence?: number;
  /** From the restoration until both ends sent over UDP only again. */
  readonly restored?: number;
  readonly closed?: string;
  readonly error?: string;
}

const POLL = 50;
const FIND = 30_000;
const PACE = 50;
const REDIAL = 125;
const DIAL_WINDOW = 3_000;
const MOVE_WINDOW = 20_000;
/** The largest wait between two retransmissions until then. */
const SILENCE_WINDOW = 30_000;
const RESTORE_WINDOW = 90_000;

export async function cutAndRestore(
  from: Station,
  to: Station,
  flavours: Flavours,
): Promise<CutResult> {
  const [here, there] = flavours.split('–') as [Flavour, Flavour];
  const address = to.addresses[there];
  const through = from.through(here);
  let contact: number | undefined;
  try {
    const opened = await from.contact({
      through,
      address,
      window: FIND,
      poll: POLL,
      pace: PACE,
      return: 'direct',
    });
    contact = opened.contact;
    if (opened.direct === undefined) return { flavours, error: 'there was no direct path to cut' };
    const both = async (wanted: 'direct' | 'relay', window: number): Promise<number> => {
      const answers = await Promise.all([
        from.awaitPath({ through, address, wanted, window, poll: POLL }),
        to.awaitPath({
          through: to.through(there),
          address: from.addresses[here],
          wanted,
          window,
          poll: POLL,
        }),
      ]);
      const after = answers.map((answer) => answer.after ?? Number.POSITIVE_INFINITY);
      return Math.max(...after);
    };
    await both('direct', FIND);
    await from.mark(contact);
    const cutAt = performance.now();
    await block(from.site, to.site, '-I');
    let moved: number | undefined;
    let report = await from.report(contact);
    try {
      moved = await firstByteAfter(from, here, address, cutAt);
      // What was silent for longer than it is now speaks again.
      const end = performance.now() + SILENCE_WINDOW;
      do {
        await new Promise((done) => setTimeout(done, POLL));
        report = await from.report(contact);
      } while (report.current > 1_000 && report.closed === undefined && performance.now() < end);
    } finally {
      await block(from.site, to.site, '-D');
    }
    const restored = await both('direct', RESTORE_WINDOW);
    const last = await from.report(contact);
    return {
      flavours,
      ...(moved !== undefined && { moved }),
      silence: report.longestGap,
      ...(Number.isFinite(restored) && { restored }),
      ...(last.closed !== undefined && { closed: last.closed }),
    };
  } catch (error) {
    return { flavours, error: error instanceof Error ? error.message : String(error) };
  } finally {
    if (contact !== undefined) await from.end(contact);
  }
}

/** Dials eight times a second, whatever became of the dials before, until one carries a byte. */
async function firstByteAfter(
  from: Station,
  here: Flavour,
  address: string,
  since: number,
): Promise<number | undefined> {
  let answered: number | undefined;
  const dials: Promise<void>[] = [];
  while (answered === undefined && performance.now() - since < MOVE_WINDOW) {
    const dial = from
      .contact({
        through: from.through(here),
        address,
        window: DIAL_WINDOW,
        poll: POLL,
        pace: PACE,
        return: 'first byte',
      })
      .then(({ contact }) => {
        answered ??= performance.now() - since;
        return from.end(contact);
      })
      .catch(() => {});
    dials.push(dial);
    await Promise.race([dial, new Promise((done) => setTimeout(done, REDIAL))]);
  }
  await Promise.all(dials);
  return answered;
}

/** Drops (`-I`) or lets pass again (`-D`) UDP between the two sites, both ways, at the border of the first. */
async function block(here: Site, there: Site, action: '-I' | '-D'): Promise<void> {
  const chains = here.border === here.host ? ['INPUT', 'OUTPUT'] : ['FORWARD'];
  for (const outside of there.outside) {
    for (const chain of chains) {
      for (const end of ['-s', '-d']) {
        const family = outside.includes(':') ? 6 : 4;
        await iptables(here.border, family, action, chain, '-p', 'udp', end, outside, '-j', 'DROP');
      }
    }
  }
}
