// How the tables came to be, in order. A migration once released is never edited; a new one is added below.
import type { CompiledQuery, Kysely } from 'kysely';
import type { Schema } from './schema.ts';

export interface Migration {
  /** Ascending from 1. */
  readonly id: number;
  readonly name: string;
  statements(db: Kysely<Schema>): readonly CompiledQuery[];
}

/** Created before the first migration; its presence tells our database from a foreign one. */
export function migrationTable(db: Kysely<Schema>): CompiledQuery {
  return db.schema
    .createTable('cove_control_migrations')
    .addColumn('id', 'integer', (c) => c.primaryKey())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('applied_at', 'bigint', (c) => c.notNull())
    .compile();
}

export const MIGRATIONS: readonly Migration[] = [
  {
    id: 1,
    name: 'initial',
    statements: (db) => [
      db.schema
        .createTable('server_settings')
        .addColumn('name', 'text', (c) => c.primaryKey())
        .addColumn('value', 'text', (c) => c.notNull())
        .compile(),
      db.schema
        .createTable('tailnets')
        .addColumn('id', 'bigint', (c) => c.primaryKey())
        .addColumn('name', 'text', (c) => c.notNull())
        .addColumn('created_at', 'bigint', (c) => c.notNull())
        .addColumn('last_user_id', 'bigint', (c) => c.notNull())
        .addColumn('last_node_id', 'bigint', (c) => c.notNull())
        .addColumn('last_event_seq', 'bigint', (c) => c.notNull())
        .compile(),
      db.schema
        .createTable('settings')
        .addColumn('tailnet_id', 'bigint', (c) => c.notNull().references('tailnets.id'))
        .addColumn('name', 'text', (c) => c.notNull())
        .addColumn('value', 'text', (c) => c.notNull())
        .addPrimaryKeyConstraint('settings_key', ['tailnet_id', 'name'])
        .compile(),
      db.schema
        .createTable('users')
        .addColumn('tailnet_id', 'bigint', (c) => c.notNull().references('tailnets.id'))
        .addColumn('id', 'bigint', (c) => c.notNull())
        .addColumn('login_name', 'text', (c) => c.notNull())
        .addColumn('display_name', 'text', (c) => c.notNull())
        .addColumn('role', 'text', (c) => c.notNull())
        .addColumn('created_at', 'bigint', (c) => c.notNull())
        .addPrimaryKeyConstraint('users_key', ['tailnet_id', 'id'])
        .addUniqueConstraint('users_login_name', ['tailnet_id', 'login_name'])
        .compile(),
      db.schema
        .createTable('auth_keys')
        .addColumn('tailnet_id', 'bigint', (c) => c.notNull().references('tailnets.id'))
        .addColumn('id', 'text', (c) => c.notNull())
        .addColumn('secret_hash', 'text', (c) => c.notNull())
        .addColumn('user_id', 'bigint')
        .addColumn('tags', 'text', (c) => c.notNull())
        .addColumn('reusable', 'integer', (c) => c.notNull())
        .addColumn('ephemeral', 'integer', (c) => c.notNull())
        .addColumn('description', 'text', (c) => c.notNull())
        .addColumn('uses', 'integer', (c) => c.notNull())
        .addColumn('created_at', 'bigint', (c) => c.notNull())
        .addColumn('expires_at', 'bigint')
        .addColumn('revoked_at', 'bigint')
        .addPrimaryKeyConstraint('auth_keys_key', ['tailnet_id', 'id'])
        .addForeignKeyConstraint('auth_keys_user', ['tailnet_id', 'user_id'], 'users', [
          'tailnet_id',
          'id',
        ])
        .compile(),
      db.schema
        .createTable('nodes')
        .addColumn('tailnet_id', 'bigint', (c) => c.notNull().references('tailnets.id'))
        .addColumn('id', 'bigint', (c) => c.notNull())
        .addColumn('stable_id', 'text', (c) => c.notNull())
        .addColumn('machine_key', 'text', (c) => c.notNull())
        .addColumn('node_key', 'text', (c) => c.notNull())
        .addColumn('nl_key', 'text')
        .addColumn('user_id', 'bigint')
        .addColumn('tags', 'text', (c) => c.notNull())
        .addColumn('hostname', 'text', (c) => c.notNull())
        .addColumn('given_name', 'text', (c) => c.notNull())
        .addColumn('renamed', 'integer', (c) => c.notNull())
        .addColumn('ipv4', 'text', (c) => c.notNull())
        .addColumn('ipv6', 'text', (c) => c.notNull())
        .addColumn('ephemeral', 'integer', (c) => c.notNull())
        .addColumn('auth_key_id', 'text')
        .addColumn('registered_by', 'text', (c) => c.notNull())
        .addColumn('created_at', 'bigint', (c) => c.notNull())
        .addColumn('key_expiry', 'bigint')
        .addColumn('cap_version', 'integer', (c) => c.notNull())
        .addColumn('disco_key', 'text')
        .addColumn('endpoints', 'text', (c) => c.notNull())
        .addColumn('home_derp', 'integer', (c) => c.notNull())
        .addColumn('hostinfo', 'text', (c) => c.notNull())
        .addColumn('last_seen', 'bigint')
        .addPrimaryKeyConstraint('nodes_key', ['tailnet_id', 'id'])
        .addUniqueConstraint('nodes_stable_id', ['tailnet_id', 'stable_id'])
        .addUniqueConstraint('nodes_node_key', ['tailnet_id', 'node_key'])
        .addUniqueConstraint('nodes_given_name', ['tailnet_id', 'given_name'])
        .addUniqueConstraint('nodes_ipv4', ['tailnet_id', 'ipv4'])
        .addUniqueConstraint('nodes_ipv6', ['tailnet_id', 'ipv6'])
        .addForeignKeyConstraint('nodes_user', ['tailnet_id', 'user_id'], 'users', [
          'tailnet_id',
          'id',
        ])
        .compile(),
      db.schema
        .createTable('policies')
        .addColumn('tailnet_id', 'bigint', (c) => c.notNull().references('tailnets.id'))
        .addColumn('version', 'integer', (c) => c.notNull())
        .addColumn('text', 'text')
        .addColumn('created_at', 'bigint', (c) => c.notNull())
        .addPrimaryKeyConstraint('policies_key', ['tailnet_id', 'version'])
        .compile(),
      db.schema
        .createTable('events')
        .addColumn('tailnet_id', 'bigint', (c) => c.notNull().references('tailnets.id'))
        .addColumn('seq', 'bigint', (c) => c.notNull())
        .addColumn('at', 'bigint', (c) => c.notNull())
        .addColumn('actor', 'text', (c) => c.notNull())
        .addColumn('kind', 'text', (c) => c.notNull())
        .addColumn('subject', 'text', (c) => c.notNull())
        .addColumn('data', 'text', (c) => c.notNull())
        .addPrimaryKeyConstraint('events_key', ['tailnet_id', 'seq'])
        .compile(),
    ],
  },
];
