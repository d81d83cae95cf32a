// What the store needs of a database: typed queries, and the one lookup that every visit makes.
import type { Expression, Kysely, RawBuilder, SqlBool, Transaction } from 'kysely';
import { GolinkError } from '../errors.ts';
import type { Link } from '../links.ts';
import type { DatabaseKind, Tables } from './schema.ts';

export interface Database {
  readonly kind: DatabaseKind;
  /** For changes; one transaction at a time where the database has only one writer. */
  readonly db: Kysely<Tables>;
  /**
   * A transaction of counts. Unless it is `lasting`, a power cut may take it back, though nothing that was committed before
   * it; it lasts as soon as a later one does.
   */
  count(work: (tx: Transaction<Tables>) => Promise<void>, lasting: boolean): Promise<void>;
  /** After much was written, outside transactions: what the file needs then, done without holding anybody up. */
  settle(): Promise<void>;
  /** For reading: sees only what has been committed. */
  readonly reader: Kysely<Tables>;
  /** A living link by its ID or by that of another name of it, as it is in the database now. */
  find(id: string): Link | undefined | Promise<Link | undefined>;
  /** What has been committed until now, for long reading: later changes are not in it. */
  snapshot(): Promise<Snapshot>;
  /** To be told when a transaction of ours has ended: the next `find` sees it. */
  committed(): void;
  /** Inserts many rows of the same columns in one statement with one parameter. */
  insertMany<T extends keyof Tables>(
    tx: Transaction<Tables>,
    table: T,
    rows: readonly Readonly<Record<string, string | number | null>>[],
  ): Promise<void>;
  /** A table of the JSON arrays, with the one column `value`, as one parameter. */
  rows(values: readonly (readonly (string | number)[])[]): RawBuilder<unknown>;
  /** `column in (...)`, as one parameter. */
  among(column: string, values: readonly string[]): Expression<SqlBool>;
  /** Holds other writers back until the transaction ends: what it has read stays true. */
  lock(tx: Transaction<Tables>): Promise<void>;
  /** Whether the statement failed only because somebody else wrote at the same time. */
  isConflict(error: unknown): boolean;
  /** Any error of the database as a GolinkError; others of ours pass as they are. */
  error(error: unknown): GolinkError;
  close(): Promise<void>;
}

export interface Snapshot {
  readonly db: Kysely<Tables>;
  /** Once is enough, and more do no harm. */
  close(): Promise<void>;
}

/** `where`: the file or server, without secrets. */
export function unusable(where: string, cause: unknown): GolinkError {
  const why = cause instanceof Error ? cause.message || cause.name : String(cause);
  // What Kysely calls corrupted.
  if (/previously executed migration .* is missing/.test(why))
    return new GolinkError(
      'ERR_DATABASE_FOREIGN',
      `The database ${where} was written by a later version of this program: use that one.`,
      { cause },
    );
  return new GolinkError('ERR_DATABASE', `The database ${where} cannot be used: ${why}.`, {
    cause,
  });
}
