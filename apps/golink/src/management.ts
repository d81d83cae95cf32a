// What whoever may open the database may do with it, without a caller: the command line's history, restore, tokens and
// backup. The service may be running on the same database.
import { chmodSync, existsSync, renameSync, rmSync } from 'node:fs';
import { SqliteDatabase } from '@cove/sqlite';
import { GolinkError } from './errors.ts';
import { linkId } from './links.ts';
import {
  type Change,
  changeOf,
  changesOf,
  type Rewind,
  restoreAll,
  restoreLink,
  stateOf,
} from './store/history.ts';
import { isPostgresAddress } from './store/open.ts';
import { type Actor, Store } from './store/store.ts';
import { issueToken, listTokens, revokeToken, type Token } from './store/tokens.ts';

export interface Management extends AsyncDisposable {
  /** Changes of one link, by any spelling, or of all, newest first. */
  history(short: string | undefined, limit: number): Promise<readonly Change[]>;
  /**
   * Makes a link what the change numbered `seq` left, or, if it deleted, found. Throws GolinkError ERR_NOT_FOUND for a
   * change that is none of that link, ERR_TAKEN.
   */
  restore(short: string, seq: number): Promise<void>;
  /** Makes all links what they were at a moment, in milliseconds since the epoch. Throws GolinkError ERR_REQUEST. */
  restoreAll(at: number, options?: { readonly dryRun?: boolean }): Promise<Rewind>;
  /** Of all owners, oldest first. */
  tokens(): Promise<readonly Token[]>;
  /** `text` is told only here. */
  issueToken(
    token: Pick<Token, 'name' | 'owner' | 'scopes' | 'expires'>,
  ): Promise<{ readonly token: Token; readonly text: string }>;
  /** False when there is none of that ID. */
  revokeToken(id: string): Promise<boolean>;
}

const COMMAND_LINE: Actor = { login: '', node: '' };

/** `database`: as in GolinkOptions. Throws GolinkError ERR_DATABASE, ERR_DATABASE_CORRUPT, ERR_DATABASE_FOREIGN. */
export async function manage(database: string): Promise<Management> {
  const now = Date.now;
  const store = await Store.open({ database, now, log: () => {} });
  const idOf = async (short: string): Promise<string> =>
    (await store.find(linkId(short)))?.id ?? linkId(short);
  return {
    async history(short, limit) {
      const id = short === undefined ? undefined : await idOf(short);
      return changesOf(store, { limit, ...(id !== undefined && { id }) });
    },
    async restore(short, seq) {
      const change = await changeOf(store, seq);
      if (change === undefined || change.linkId !== (await idOf(short)))
        throw new GolinkError('ERR_NOT_FOUND', `Change ${seq} is none of ${short}.`);
      await restoreLink(store, change.linkId, stateOf(change), COMMAND_LINE, () => {});
    },
    async restoreAll(at, options) {
      if (!Number.isFinite(at) || at > now())
        throw new GolinkError('ERR_REQUEST', 'That moment has not come yet.');
      return restoreAll(store, at, COMMAND_LINE, options);
    },
    tokens: () => listTokens(store),
    issueToken: (token) => issueToken(store, token),
    revokeToken: (id) => revokeToken(store, id),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

/**
 * Writes a whole and consistent copy of a SQLite file, as it is at one moment, whoever writes to it meanwhile. `target`
 * appears when it is complete, readable by its owner only, and replaces what was there. Throws GolinkError.
 */
export function backUp(database: string, target: string): void {
  if (isPostgresAddress(database))
    throw new GolinkError('ERR_REQUEST', 'A PostgreSQL database is backed up with pg_dump.');
  const aside = `${target}.new-${process.pid}`;
  let source: SqliteDatabase | undefined;
  try {
    if (!existsSync(database)) throw new Error('it does not exist');
    source = new SqliteDatabase(database, { readonly: true, fileMustExist: true, timeout: 5000 });
    source.prepare('vacuum into ?').run(aside);
    chmodSync(aside, 0o600);
    renameSync(aside, target);
  } catch (cause) {
    rmSync(aside, { force: true });
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GolinkError('ERR_DATABASE', `${database} cannot be copied to ${target}: ${why}.`, {
      cause,
    });
  } finally {
    source?.close();
  }
}
