// `cove authkey`: keys that let machines in.
import type { AuthKeyRecord, CreatedAuthKey } from '@cove/control';
import { Command } from 'commander';
import { callAdmin } from '../adminsocket.ts';
import { table } from '../output.ts';
import { collect, dirOption, jsonOption, parseLifetime, print } from './options.ts';

interface CreateOptions {
  readonly dir: string;
  readonly json?: true;
  readonly user?: string;
  readonly reusable?: true;
  readonly ephemeral?: true;
  readonly tag: readonly string[];
  readonly expires: number | null;
  readonly description?: string;
}

export function authkeyCommand(): Command {
  const authkey = new Command('authkey').description(
    'make and manage the keys that let machines in',
  );
  authkey
    .command('create')
    .description('make a key; it is shown once')
    .option('--user <login>', 'whose machines it makes; created if new (default: the owner)')
    .option('--reusable', 'good for more than one machine')
    .option('--ephemeral', 'its machines are forgotten when they go away')
    .option(
      '--tag <tag>',
      'its machines belong to nobody and carry this tag; repeatable',
      collect,
      [],
    )
    .option(
      '--expires <time>',
      'how long it may be used: 90s, 30m, 24h, 7d or never',
      parseLifetime,
      3_600_000,
    )
    .option('--description <text>', 'a note for the list')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async ({ dir, json, tag, expires, ...rest }: CreateOptions) => {
      const body = { ...rest, tags: tag, expiresIn: expires };
      const key = (await callAdmin(dir, 'POST /authkeys', { body })) as CreatedAuthKey;
      print(key, json, () => key.key);
    });
  authkey
    .command('list')
    .description('show all keys, without their secrets')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async ({ dir, json }: { dir: string; json?: true }) => {
      const keys = (await callAdmin(dir, 'GET /authkeys')) as AuthKeyRecord[];
      print(keys, json, () =>
        table([
          ['ID', 'STATE', 'FOR', 'USES', 'EXPIRES', 'NOTE'],
          ...keys.map((key) => [
            key.id,
            key.state,
            key.tags.join(',') || key.user,
            String(key.uses),
            key.expires ?? 'never',
            key.description,
          ]),
        ]),
      );
    });
  authkey
    .command('expire')
    .description('make a key useless at once; machines it let in stay')
    .argument('<id>', 'as `cove authkey list` shows it')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async (id: string, { dir, json }: { dir: string; json?: true }) => {
      const key = await callAdmin(dir, `POST /authkeys/expire?id=${encodeURIComponent(id)}`);
      print(key, json, () => `${id} lets nobody in any more`);
    });
  return authkey;
}
