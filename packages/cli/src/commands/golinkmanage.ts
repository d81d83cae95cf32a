// `cove golink resolve`, `history`, `restore`, `token` and `backup`: on the database itself, whether or not it is served.
import { existsSync } from 'node:fs';
import { resolve as absolute } from 'node:path';
import type { GolinkOptions, Management } from '@cove/golink';
import { Command } from 'commander';
import { golinkDatabase } from '../datadir.ts';
import { CliError } from '../errors.ts';
import { table } from '../output.ts';
import {
  collect,
  databaseOption,
  dirOption,
  jsonOption,
  parseChange,
  parseCount,
  parseLifetime,
  parseMoment,
  print,
} from './options.ts';

interface Place {
  readonly dir: string;
  readonly database?: string;
  readonly json?: true;
}

export function manageCommands(): Command[] {
  const token = new Command('token').description('tokens by which scripts use the API');
  for (const command of [
    new Command('create')
      .description('make a token; its text is shown once')
      .argument('<name>', 'what it is for')
      .requiredOption('--owner <login>', 'whom it acts for')
      .option('--scope <scope>', 'read or write; may be repeated (default: read)', collect, [])
      .option('--expires <time>', '90s, 30m, 24h, 7d or never', parseLifetime, null)
      .action(createToken),
    new Command('list').description('tokens that are valid').action(listTokens),
    new Command('revoke')
      .description('end a token at once')
      .argument('<id>', 'as `list` shows it')
      .action(revokeToken),
  ])
    token.addCommand(placed(command));
  return [
    placed(
      new Command('resolve')
        .description('print where a link leads, without visiting it')
        .argument('<link>', 'name, name/path, go/name/path or http://go/name/path')
        .option('--from <file>', 'in a snapshot or golink.db, without any database of ours')
        .option('--user <login>', 'who asks, for links with .User'),
    ).action(resolveLink),
    placed(
      new Command('history')
        .description('changes of a link, or of all, newest first')
        .argument('[name]', 'of the link')
        .option('--limit <n>', 'at most so many', parseCount, 50),
    ).action(showHistory),
    placed(
      new Command('restore')
        .description('make a link, or all of them, what they were')
        .argument('[name]', 'of the link')
        .option('--change <n>', 'what this change of the link left (see `history`)', parseChange)
        .option('--all', 'all links')
        .option('--at <time>', 'with --all: as at this time, such as 2026-11-21T12:00:00Z')
        .option('--dry-run', 'with --all: say what would happen, change nothing'),
    ).action(restore),
    token,
    placed(
      new Command('backup')
        .description('write a consistent copy of the SQLite database, also while it is served')
        .argument('<file>', 'is replaced when the copy is complete'),
    ).action(backup),
  ];
}

function placed(command: Command): Command {
  return command.addOption(dirOption()).addOption(databaseOption()).addOption(jsonOption());
}

/** Where the links are. Throws `ERR_INPUT_FILE` where there are none. */
function databaseOf({ dir, database }: Place): string {
  const isServer = database !== undefined && /^postgres(?:ql)?:\/\//i.test(database);
  if (isServer) return database;
  const file = database ?? golinkDatabase(dir);
  if (existsSync(file)) return file;
  throw new CliError(
    'ERR_INPUT_FILE',
    `there are no links in ${absolute(file)}: name their --dir or --database`,
  );
}

async function withLinks<T>(place: Place, work: (links: Management) => Promise<T>): Promise<T> {
  const database = databaseOf(place);
  const { manage } = await import('@cove/golink');
  await using links = await manage(database);
  return await work(links);
}

interface ResolveOptions extends Place {
  readonly from?: string;
  readonly user?: string;
}

async function resolveLink(argument: string, options: ResolveOptions): Promise<void> {
  if (options.from !== undefined && !existsSync(options.from))
    throw new CliError('ERR_INPUT_FILE', `${options.from} cannot be read: it does not exist`);
  const database = options.from === undefined ? databaseOf(options) : ':memory:';
  const { createGolink } = await import('@cove/golink');
  const settings: GolinkOptions = { database, identify: async () => undefined };
  await using golink = await createGolink(settings);
  if (options.from !== undefined) await golink.importSnapshot(options.from);
  const location = await golink.resolve(argument, options.user);
  print({ location }, options.json, () => location);
}

async function showHistory(
  name: string | undefined,
  options: Place & { readonly limit: number },
): Promise<void> {
  const changes = await withLinks(options, (links) => links.history(name, options.limit));
  const shown = changes.map(({ seq, at, kind, actor, before, after }) => ({
    ...{ change: seq, at: new Date(at).toISOString(), kind, by: actor || 'command line' },
    ...{ name: (after ?? before)?.short ?? '', before: before?.long, after: after?.long },
  }));
  print(shown, options.json, () =>
    shown.length === 0
      ? 'nothing has changed'
      : table([
          ['CHANGE', 'WHEN', 'WHAT', 'LINK', 'BY', 'DESTINATION'],
          ...shown.map(({ change, at, kind, by, name: short, before, after }) => [
            ...[String(change), at.replace(/\.\d+Z$/, 'Z'), kind, short, by],
            before === undefined || after === undefined || before === after
              ? (after ?? before ?? '')
              : `${before} -> ${after}`,
          ]),
        ]),
  );
}

interface RestoreOptions extends Place {
  readonly change?: number;
  readonly all?: true;
  readonly at?: string;
  readonly dryRun?: true;
}

async function restore(name: string | undefined, options: RestoreOptions): Promise<void> {
  const { change, all, at, dryRun } = options;
  if (all === true && name === undefined && change === undefined && at !== undefined) {
    const moment = parseMoment(at);
    const rewind = await withLinks(options, (links) =>
      links.restoreAll(moment, { dryRun: dryRun === true }),
    );
    const verb = dryRun ? 'would come' : 'came';
    print(
      rewind,
      options.json,
      () =>
        `${rewind.created} links ${verb} back, ${rewind.changed} ${verb} back to what they were, ${rewind.deleted} that are newer ${dryRun ? 'would be' : 'were'} deleted`,
    );
    return;
  }
  if (name === undefined || change === undefined || all === true || at !== undefined || dryRun)
    throw new CliError('ERR_USAGE', 'give either NAME and --change N, or --all and --at TIME');
  await withLinks(options, (links) => links.restore(name, change));
  print({ restored: name, change }, options.json, () => `${name} is as change ${change} left it`);
}

interface TokenOptions extends Place {
  readonly owner: string;
  readonly scope: readonly string[];
  /** Milliseconds. */
  readonly expires: number | null;
}

async function createToken(name: string, options: TokenOptions): Promise<void> {
  const { owner, expires } = options;
  const scopes = options.scope.length === 0 ? ['read'] : [...new Set(options.scope)];
  const isScope = (scope: string): scope is 'read' | 'write' =>
    scope === 'read' || scope === 'write';
  if (!scopes.every(isScope)) throw new CliError('ERR_USAGE', 'a scope is read or write');
  const until = expires === null ? undefined : Math.floor((Date.now() + expires) / 1000);
  const { token, text } = await withLinks(options, (links) =>
    links.issueToken({ name, owner, scopes, expires: until }),
  );
  print({ id: token.id, token: text }, options.json, () => text);
}

async function listTokens(options: Place): Promise<void> {
  const tokens = await withLinks(options, (links) => links.tokens());
  const time = (seconds: number | undefined): string =>
    seconds === undefined ? 'never' : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
  print(tokens, options.json, () =>
    tokens.length === 0
      ? 'there are no tokens'
      : table([
          ['ID', 'NAME', 'OWNER', 'SCOPES', 'EXPIRES', 'LAST USED'],
          ...tokens.map(({ id, name, owner, scopes, expires, lastUsed }) => [
            ...[id, name, owner, scopes.join(','), time(expires), time(lastUsed)],
          ]),
        ]),
  );
}

async function revokeToken(id: string, options: Place): Promise<void> {
  if (!(await withLinks(options, (links) => links.revokeToken(id))))
    throw new CliError('ERR_REFUSED', `there is no token ${id}`);
  print({ revoked: id }, options.json, () => `${id} is revoked`);
}

async function backup(file: string, options: Place): Promise<void> {
  const database = databaseOf(options);
  const { backUp } = await import('@cove/golink');
  backUp(database, file);
  print({ file }, options.json, () => `all links, their history and clicks are in ${file}`);
}
