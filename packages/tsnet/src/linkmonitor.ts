// Notices that the machine's network changed or that the machine slept, so that dead connections are not waited for.
import { networkInterfaces } from 'node:os';
import type { Clock, Timer } from './clock.ts';

const INTERVAL = 5_000;
/** A wall clock this far ahead of the monotonic one within an interval: the machine was asleep. */
const SLEPT = 30_000;

/** Calls back after each change until stopped. */
export function monitorLink(clock: Clock, changed: (why: string) => void): { stop(): void } {
  let interfaces = describeInterfaces();
  let drift = clock.wallNow() - clock.now();
  let timer: Timer | undefined;
  const look = (): void => {
    const now = describeInterfaces();
    const nowDrift = clock.wallNow() - clock.now();
    if (now !== interfaces) changed('the network interfaces changed');
    else if (nowDrift - drift > SLEPT) changed('the machine was asleep');
    interfaces = now;
    drift = nowDrift;
    timer = clock.schedule(INTERVAL, look);
  };
  timer = clock.schedule(INTERVAL, look);
  return { stop: () => timer?.cancel() };
}

/** What matters for reaching others: usable addresses, without loopback and link-local ones. */
function describeInterfaces(): string {
  return Object.entries(networkInterfaces())
    .flatMap(([name, addresses]) => (addresses ?? []).map((address) => ({ name, ...address })))
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ name, cidr }) => `${name} ${cidr}`)
    .sort()
    .join('\n');
}
