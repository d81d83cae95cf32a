// `cove status`: what the running process says of itself.
import type { Status } from '@cove/tsnet';
import { Command } from 'commander';
import { callAdmin } from '../adminsocket.ts';
import { table } from '../output.ts';
import { dirOption, jsonOption, print } from './options.ts';

interface ProcessStatus {
  readonly pid: number;
  readonly owner?: string;
  readonly control?: { readonly localUrl: string; readonly nodes: number; readonly online: number };
  readonly services: readonly {
    readonly name: string;
    readonly url: string;
    readonly ips: readonly string[];
    readonly node: Status;
  }[];
  readonly doorway?: { readonly url: string; readonly interface?: string; readonly node: Status };
  readonly machine?: { readonly interface?: string; readonly node: Status };
}

export function statusCommand(): Command {
  return new Command('status')
    .description('show what runs, who is connected and what crossed the tunnel')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async (options: { dir: string; json?: true }) => {
      const status = (await callAdmin(options.dir, 'GET /status')) as ProcessStatus;
      print(status, options.json, () => describe(status));
    });
}

function describe(status: ProcessStatus): string {
  const lines = [
    `process ${status.pid}${status.owner === undefined ? '' : `, owner ${status.owner}`}`,
  ];
  if (status.control !== undefined) {
    const { localUrl, nodes, online } = status.control;
    lines.push(`control ${localUrl}, ${online} of ${nodes} nodes online`);
  }
  if (status.doorway !== undefined) lines.push(`doorway ${status.doorway.url}`);
  const through = status.doorway?.interface ?? status.machine?.interface;
  if (through !== undefined) lines.push(`machine through ${through}`);
  const rows = [['SERVICE', 'STATE', 'ADDRESS', 'PEER', 'RECEIVED', 'SENT', 'PATH']];
  const nodes = status.services.map(({ name, node }) => ({ name, node }));
  if (status.doorway !== undefined) nodes.push({ name: 'doorway', node: status.doorway.node });
  if (status.machine !== undefined) nodes.push({ name: 'machine', node: status.machine.node });
  for (const { name, node } of nodes) {
    rows.push([name, node.state, node.ips[0] ?? '', '', '', '', '']);
    for (const peer of node.peers) {
      if (peer.rxBytes + peer.txBytes === 0) continue;
      rows.push([
        '',
        '',
        '',
        peer.computedName,
        String(peer.rxBytes),
        String(peer.txBytes),
        describePath(peer),
      ]);
    }
  }
  return `${lines.join('\n')}\n\n${table(rows)}`;
}

function describePath(peer: Status['peers'][number]): string {
  if (peer.currentAddress !== '') return peer.currentAddress;
  return peer.peerRelay === '' ? `relay ${peer.relay}` : `peer relay ${peer.peerRelay}`;
}
