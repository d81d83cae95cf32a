// Tables and migrations. Times are seconds since the epoch, except in `changes`, where they are milliseconds.
import type { ColumnType, Generated, Kysely, Migration } from 'kysely';

export interface Tables {
  links: {
    id: string;
    short: string;
    long: string;
    owner: string;
    created: number;
    last_edit: number;
  };
  /** One row for each change of a link, written in the same transaction. `before` and `after`: the link as JSON. */
  changes: {
    seq: Generated<number>;
    at: number;
    kind: ColumnType<ChangeKind, ChangeKind, never>;
    link_id: string;
    /** Login name, and the node it came from; both empty for the command line. */
    actor: string;
    actor_node: string;
    before: string | null;
    after: string | null;
  };
  /** Clicks counted since the row before. */
  stats: { link_id: string; at: number; clicks: number };
  settings: { name: string; value: string };
}

export type ChangeKind = 'create' | 'update' | 'delete' | 'import';

export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '2026-11-21-links': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable('links')
        .addColumn('id', 'text', (c) => c.primaryKey())
        .addColumn('short', 'text', (c) => c.notNull())
        .addColumn('long', 'text', (c) => c.notNull())
        .addColumn('owner', 'text', (c) => c.notNull())
        .addColumn('created', 'bigint', (c) => c.notNull())
        .addColumn('last_edit', 'bigint', (c) => c.notNull())
        .execute();
      await db.schema
        .createTable('changes')
        .addColumn('seq', 'integer', (c) => c.primaryKey().autoIncrement())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addColumn('kind', 'text', (c) => c.notNull())
        .addColumn('link_id', 'text', (c) => c.notNull())
        .addColumn('actor', 'text', (c) => c.notNull())
        .addColumn('actor_node', 'text', (c) => c.notNull())
        .addColumn('before', 'text')
        .addColumn('after', 'text')
        .execute();
      await db.schema
        .createIndex('changes_by_link')
        .on('changes')
        .columns(['link_id', 'seq'])
        .execute();
      await db.schema
        .createTable('stats')
        .addColumn('link_id', 'text', (c) => c.notNull())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addColumn('clicks', 'bigint', (c) => c.notNull())
        .addPrimaryKeyConstraint('stats_key', ['link_id', 'at'])
        .execute();
      await db.schema
        .createTable('settings')
        .addColumn('name', 'text', (c) => c.primaryKey())
        .addColumn('value', 'text', (c) => c.notNull())
        .execute();
    },
  },
};
