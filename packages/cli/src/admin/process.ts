// What a running `cove` says of itself: `cove status`.
import type { DerpListener } from '@cove/derp';
import type { Server } from '@cove/tsnet';
import type { AdminHandlers } from '../adminsocket.ts';
import type { Coordinator } from '../coordinator.ts';
import type { TailnetSettings } from '../datadir.ts';
import type { Doorway } from '../doorway/doorway.ts';
import type { RunningService } from '../services/service.ts';

export interface ProcessParts {
  readonly settings?: TailnetSettings;
  readonly coordinator?: Coordinator;
  readonly services: readonly RunningService[];
  readonly doorway?: Doorway;
  readonly doorwayNode?: Server;
  /** A node without services. */
  readonly machine?: Server;
}

export function processHandlers(parts: ProcessParts): AdminHandlers {
  const started = Date.now();
  return {
    'GET /status': () => ({
      pid: process.pid,
      uptimeSeconds: Math.round((Date.now() - started) / 1000),
      ...(parts.settings !== undefined && {
        owner: parts.settings.owner,
        domain: parts.settings.domain,
      }),
      ...(parts.coordinator !== undefined && {
        control: {
          ...parts.coordinator.control.status(),
          localUrl: parts.coordinator.localUrl,
          urls: parts.coordinator.urls,
        },
        relay: describeRelay(parts.coordinator.relay),
      }),
      services: parts.services.map((service) => ({
        name: service.name,
        url: service.url,
        ips: service.ips,
        node: service.node.status(),
      })),
      ...(parts.doorway !== undefined && {
        doorway: {
          url: parts.doorway.url,
          interface: parts.doorwayNode?.interfaceName,
          node: parts.doorwayNode?.status(),
        },
      }),
      ...(parts.machine !== undefined && {
        machine: { interface: parts.machine.interfaceName, node: parts.machine.status() },
      }),
    }),
  };
}

function describeRelay(relay: DerpListener | undefined): unknown {
  if (relay === undefined) return undefined;
  const { addresses, stunAddresses, derp } = relay;
  return {
    addresses: addresses.map(({ address, port }) => ({ address, port })),
    stunAddresses: stunAddresses.map(({ address, port }) => ({ address, port })),
    ...derp.metrics(),
  };
}
