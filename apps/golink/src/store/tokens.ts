// API tokens of scripts: random secrets of which only a hash is kept, with scopes, revocable.
import { createHash, randomBytes } from 'node:crypto';
import type { Store } from './store.ts';

/** `read`: everything that can be seen; `write`: changes as the token's owner. */
export type TokenScope = 'read' | 'write';

export interface Token {
  readonly id: string;
  /** What its owner calls it. */
  readonly name: string;
  /** Login name it acts for. */
  readonly owner: string;
  readonly scopes: readonly TokenScope[];
  /** Seconds since the epoch, as the other times. */
  readonly created: number;
  readonly expires: number | undefined;
  readonly lastUsed: number | undefined;
}

const PREFIX = 'golink';
/** The time of use is written at most this often, in seconds. */
const USE_SPACING_S = 60;

const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** Makes a token; the text is told only here. */
export async function issueToken(
  store: Store,
  token: Pick<Token, 'name' | 'owner' | 'scopes' | 'expires'>,
): Promise<{ readonly token: Token; readonly text: string }> {
  const id = randomBytes(6).toString('hex');
  const secret = randomBytes(24).toString('base64url');
  const created = Math.floor(store.now() / 1000);
  const { name, owner, scopes, expires } = token;
  await store.write((tx) =>
    tx
      .insertInto('tokens')
      .values({
        ...{ id, name, owner, created, hash: hashOf(secret), scopes: scopes.join(' ') },
        ...{ expires: expires ?? null, last_used: null, revoked: null },
      })
      .execute(),
  );
  return {
    token: { id, name, owner, scopes, created, expires, lastUsed: undefined },
    text: `${PREFIX}_${id}_${secret}`,
  };
}

/** The token a text stands for; undefined for one that is unknown, expired or revoked. */
export async function findToken(store: Store, text: string): Promise<Token | undefined> {
  const match = /^golink_([0-9a-f]{12})_([\w-]{32})$/.exec(text);
  if (match === null) return undefined;
  const [, id, secret] = match as unknown as [string, string, string];
  const now = Math.floor(store.now() / 1000);
  const row = await store.read((db) =>
    db
      .selectFrom('tokens')
      .selectAll()
      // The hash of a secret of 24 random bytes tells nothing by how long comparing it takes.
      .where('id', '=', id)
      .where('hash', '=', hashOf(secret))
      .where('revoked', 'is', null)
      .executeTakeFirst(),
  );
  if (row === undefined || (row.expires !== null && row.expires <= now)) return undefined;
  if (row.last_used === null || now - row.last_used >= USE_SPACING_S)
    await store.write((tx) =>
      tx.updateTable('tokens').set({ last_used: now }).where('id', '=', id).execute(),
    );
  return fromTokenRow(row);
}

/** Tokens that are not revoked, oldest first; of one owner or of all. */
export async function listTokens(store: Store, owner?: string): Promise<readonly Token[]> {
  const rows = await store.read((db) =>
    db
      .selectFrom('tokens')
      .selectAll()
      .where('revoked', 'is', null)
      .$if(owner !== undefined, (query) => query.where('owner', '=', owner!))
      .orderBy('created')
      .orderBy('id')
      .execute(),
  );
  return rows.map(fromTokenRow);
}

/** False when there was none to revoke, or it is somebody else's. */
export async function revokeToken(store: Store, id: string, owner?: string): Promise<boolean> {
  const revoked = Math.floor(store.now() / 1000);
  const { numUpdatedRows } = await store.write((tx) =>
    tx
      .updateTable('tokens')
      .set({ revoked })
      .where('id', '=', id)
      .where('revoked', 'is', null)
      .$if(owner !== undefined, (query) => query.where('owner', '=', owner!))
      .executeTakeFirst(),
  );
  return numUpdatedRows > 0n;
}

interface TokenRow {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly scopes: string;
  readonly created: number;
  readonly expires: number | null;
  readonly last_used: number | null;
}

function fromTokenRow(row: TokenRow): Token {
  const { id, name, owner, scopes, created, expires, last_used } = row;
  return {
    ...{ id, name, owner, created },
    scopes: scopes.split(' ') as TokenScope[],
    expires: expires ?? undefined,
    lastUsed: last_used ?? undefined,
  };
}
