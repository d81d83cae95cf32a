// Notices that the machine's network changed or that the machine slept, so that dead connections are not waited for.
import { networkInterfaces } from 'node:os';
import { isTailscaleAddr, parseAddr } from '@cove/protocol/netaddr';
import type { Clock, Timer } from './clock.ts';

const INTERVAL = 5_000;
/**
 * Either clock this far beyond the interval: the machine was asleep, or the process stopped. The monotonic clock of
 * some systems stands still meanwhile.
 */
const SLEPT = 30_000;

/** Calls back after each change until stopped. */
export function monitorLink(clock: Clock, changed: (why: string) => void): { stop(): void } {
  let interfaces = describeInterfaces();
  let monotonic = clock.now();
  let wall = clock.wallNow();
  let timer: Timer | undefined;
  const look = (): void => {
    const now = describeInterfaces();
    const passed = Math.max(clock.now() - monotonic, clock.wallNow() - wall);
    if (now !== interfaces) changed('the network interfaces changed');
    else if (passed > INTERVAL + SLEPT) changed('the machine was asleep');
    interfaces = now;
    monotonic = clock.now();
    wall = clock.wallNow();
    timer = clock.schedule(INTERVAL, look);
  };
  timer = clock.schedule(INTERVAL, look);
  return { stop: () => timer?.cancel() };
}

/** What matters for reaching others: usable addresses, without loopback, link-local ones and those of tailnets. */
function describeInterfaces(): string {
  return Object.entries(networkInterfaces())
    .flatMap(([name, addresses]) => (addresses ?? []).map((address) => ({ name, ...address })))
    .filter(({ internal, address }) => {
      const addr = parseAddr(address);
      return !internal && !address.startsWith('fe80:') && !(addr && isTailscaleAddr(addr));
    })
    .map(({ name, cidr }) => `${name} ${cidr}`)
    .sort()
    .join('\n');
}
