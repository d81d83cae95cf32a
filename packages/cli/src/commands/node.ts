// `cove node`: the machines of the network, and those that wait to be let in.
import type { NodeRecord, PendingRecord } from '@cove/control';
import { Command } from 'commander';
import { callAdmin } from '../adminsocket.ts';
import { table } from '../output.ts';
import { dirOption, jsonOption, print } from './options.ts';

interface Common {
  readonly dir: string;
  readonly json?: true;
}

const parameter = (name: string, value: string): string => `${name}=${encodeURIComponent(value)}`;

export function nodeCommand(): Command {
  const node = new Command('node').description('list and manage the machines of your network');
  const sub = (usage: string, description: string): Command =>
    node.command(usage).description(description).addOption(dirOption()).addOption(jsonOption());

  sub('list', 'show all machines and those that wait to be let in').action(
    async ({ dir, json }: Common) => {
      const nodes = (await callAdmin(dir, 'GET /nodes')) as NodeRecord[];
      const pending = (await callAdmin(dir, 'GET /pending')) as PendingRecord[];
      print({ nodes, pending }, json, () => describe(nodes, pending));
    },
  );
  sub('approve <id>', 'let a waiting machine in')
    .option('--user <login>', 'whose it is; created if new (default: the owner)')
    .action(async (id: string, { dir, json, user }: Common & { user?: string }) => {
      const query = [
        parameter('id', id),
        ...(user === undefined ? [] : [parameter('user', user)]),
      ].join('&');
      const record = (await callAdmin(dir, `POST /pending/approve?${query}`)) as NodeRecord;
      print(
        record,
        json,
        () => `${record.name} (${record.addresses[0]}) is in and belongs to ${record.user}`,
      );
    });
  sub('deny <id>', 'turn a waiting machine away').action(
    async (id: string, { dir, json }: Common) => {
      const result = await callAdmin(dir, `POST /pending/deny?${parameter('id', id)}`);
      print(result, json, () => `${id} was turned away`);
    },
  );
  sub('expire <node>', 'log a machine out; it may log in again').action(
    async (ref: string, { dir, json }: Common) => {
      const record = (await callAdmin(
        dir,
        `POST /nodes/expire?${parameter('node', ref)}`,
      )) as NodeRecord;
      print(record, json, () => `${record.name} must log in again`);
    },
  );
  sub('delete <node>', 'forget a machine').action(async (ref: string, { dir, json }: Common) => {
    const record = (await callAdmin(
      dir,
      `POST /nodes/delete?${parameter('node', ref)}`,
    )) as NodeRecord;
    print(record, json, () => `${record.name} is gone`);
  });
  sub('rename <node> <name>', 'give a machine another name').action(
    async (ref: string, name: string, { dir, json }: Common) => {
      const query = `${parameter('node', ref)}&${parameter('name', name)}`;
      const record = (await callAdmin(dir, `POST /nodes/rename?${query}`)) as NodeRecord;
      print(record, json, () => `it is ${record.name} now`);
    },
  );
  return node;
}

function describe(nodes: readonly NodeRecord[], pending: readonly PendingRecord[]): string {
  const machines = table([
    ['NAME', 'ADDRESS', 'BELONGS TO', 'STATE', 'VERSION'],
    ...nodes.map((node) => [
      node.name,
      node.addresses[0],
      node.tags.join(',') || node.user,
      node.expired ? 'expired' : node.online ? 'online' : 'offline',
      node.clientVersion,
    ]),
  ]);
  if (pending.length === 0) return machines;
  const waiting = table([
    ['WAITING', 'NAME', 'SYSTEM', 'UNTIL'],
    ...pending.map((login) => [login.id, login.hostname, login.os, login.expires]),
  ]);
  return `${machines}\n\n${waiting}\n\nLet one in with: cove node approve ID --user LOGIN`;
}
