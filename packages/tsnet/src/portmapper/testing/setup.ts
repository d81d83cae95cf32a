// A port mapper beside a gateway on loopback, and what it told.
import { randomBytes } from 'node:crypto';
import { silent } from '../../log.ts';
import type { Gateway } from '../lease.ts';
import { PortMapper, type PortMapperOptions, type PortMapping } from '../portmapper.ts';
import type { FakeGateway } from './fakegateway.ts';
import { JumpClock } from './jumpclock.ts';

export interface Setup {
  readonly mapper: PortMapper;
  readonly clock: JumpClock;
  /** External endpoints in the order told; undefined when one went. */
  readonly told: (string | undefined)[];
  /** Where the mapper believes the gateway to be. */
  readonly network: { gateway: Gateway | undefined };
}

export function setUp(gateway: FakeGateway, options: Partial<PortMapperOptions> = {}): Setup {
  const clock = new JumpClock();
  const told: (string | undefined)[] = [];
  const network: Setup['network'] = {
    gateway: { address: gateway.address, self: '127.0.0.1' },
  };
  const mapper = new PortMapper({
    clock,
    log: silent,
    randomBytes: (length) => randomBytes(length),
    onChange: (mapping: PortMapping | undefined) => told.push(mapping?.external),
    findGateway: async () => network.gateway,
    ports: gateway.ports,
    ...options,
  });
  return { mapper, clock, told, network };
}

/** Waits until `check` holds; rejects after five seconds. */
export async function until(check: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!check()) {
    if (performance.now() > end) throw new Error(`did not come to pass: ${check}`);
    await new Promise((done) => setTimeout(done, 2));
  }
}
