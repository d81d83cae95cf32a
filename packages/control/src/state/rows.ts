// Between rows and records: loading a tailnet, and the statements that store each kind of record.
import type { DiscoPublic, MachinePublic, NodePublic } from '@cove/protocol/keys';
import type { DERPMap, Hostinfo } from '@cove/protocol/tailcfg';
import type { CompiledQuery, Insertable, Updateable } from 'kysely';
import { type Database, sql } from '../database/database.ts';
import type { AuthKeyTable, NodeTable } from '../database/schema.ts';
import { offsetOf } from './addresses.ts';
import { type AuthKey, type NodeState, Tailnet, type User } from './tailnet.ts';

const flag = (value: boolean): number => (value ? 1 : 0);

/** The tailnet as stored, everybody offline; undefined if there is none yet. */
export function loadTailnet(database: Database, id: number): Tailnet | undefined {
  const row = database.all(sql.selectFrom('tailnets').selectAll().where('id', '=', id))[0];
  if (row === undefined) return undefined;
  const tailnet = new Tailnet(id);
  tailnet.lastUserId = row.last_user_id;
  tailnet.lastNodeId = row.last_node_id;
  tailnet.lastEventSeq = row.last_event_seq;
  for (const user of database.all(
    sql.selectFrom('users').selectAll().where('tailnet_id', '=', id).orderBy('id'),
  )) {
    tailnet.addUser({
      id: user.id,
      loginName: user.login_name,
      displayName: user.display_name,
      role: user.role === 'admin' ? 'admin' : 'member',
      created: user.created_at,
    });
  }
  for (const node of database.all(
    sql.selectFrom('nodes').selectAll().where('tailnet_id', '=', id).orderBy('id'),
  )) {
    tailnet.addNode({
      id: node.id,
      stableId: node.stable_id,
      machineKey: node.machine_key as MachinePublic,
      nodeKey: node.node_key as NodePublic,
      nlKey: node.nl_key ?? undefined,
      userId: node.user_id ?? undefined,
      tags: JSON.parse(node.tags) as string[],
      hostname: node.hostname,
      givenName: node.given_name,
      renamed: node.renamed === 1,
      ipv4: node.ipv4,
      ipv6: node.ipv6,
      offset: offsetOf(node.ipv4),
      ephemeral: node.ephemeral === 1,
      authKeyId: node.auth_key_id ?? undefined,
      registeredBy: node.registered_by === 'authkey' ? 'authkey' : 'approval',
      created: node.created_at,
      keyExpiry: node.key_expiry ?? undefined,
      expired: false,
      capVersion: node.cap_version,
      discoKey: (node.disco_key ?? undefined) as DiscoPublic | undefined,
      endpoints: JSON.parse(node.endpoints) as string[],
      homeDerp: node.home_derp,
      hostinfo: JSON.parse(node.hostinfo) as Hostinfo,
      lastSeen: node.last_seen ?? undefined,
      online: false,
      slot: tailnet.takeSlot(),
    });
  }
  for (const key of database.all(
    sql.selectFrom('auth_keys').selectAll().where('tailnet_id', '=', id).orderBy('created_at'),
  )) {
    tailnet.authKeys.set(key.id, {
      id: key.id,
      secretHash: key.secret_hash,
      userId: key.user_id ?? undefined,
      tags: JSON.parse(key.tags) as string[],
      reusable: key.reusable === 1,
      ephemeral: key.ephemeral === 1,
      description: key.description,
      uses: key.uses,
      created: key.created_at,
      expires: key.expires_at ?? undefined,
      revoked: key.revoked_at ?? undefined,
    });
  }
  const policy = database.all(
    sql
      .selectFrom('policies')
      .selectAll()
      .where('tailnet_id', '=', id)
      .orderBy('version', 'desc')
      .limit(1),
  )[0];
  if (policy !== undefined) {
    tailnet.policy = {
      version: policy.version,
      text: policy.text ?? undefined,
      created: policy.created_at,
    };
  }
  const derpMap = database.all(
    sql
      .selectFrom('settings')
      .select('value')
      .where('tailnet_id', '=', id)
      .where('name', '=', 'derp_map'),
  )[0];
  if (derpMap !== undefined) tailnet.derpMap = JSON.parse(derpMap.value) as DERPMap;
  return tailnet;
}

export function insertTailnet(id: number, name: string, now: number): CompiledQuery {
  return sql
    .insertInto('tailnets')
    .values({ id, name, created_at: now, last_user_id: 0, last_node_id: 0, last_event_seq: 0 })
    .compile();
}

/** Stores the counters; once per transaction. */
export function updateCounters(tailnet: Tailnet): CompiledQuery {
  return sql
    .updateTable('tailnets')
    .set({
      last_user_id: tailnet.lastUserId,
      last_node_id: tailnet.lastNodeId,
      last_event_seq: tailnet.lastEventSeq,
    })
    .where('id', '=', tailnet.id)
    .compile();
}

export function insertUser(tailnetId: number, user: User): CompiledQuery {
  return sql
    .insertInto('users')
    .values({
      tailnet_id: tailnetId,
      id: user.id,
      login_name: user.loginName,
      display_name: user.displayName,
      role: user.role,
      created_at: user.created,
    })
    .compile();
}

export function updateUser(tailnetId: number, user: User): CompiledQuery {
  return sql
    .updateTable('users')
    .set({ display_name: user.displayName, role: user.role })
    .where('tailnet_id', '=', tailnetId)
    .where('id', '=', user.id)
    .compile();
}

/** What a node itself reports, besides its keys. */
function reportedColumns(node: NodeState): Updateable<NodeTable> {
  return {
    cap_version: node.capVersion,
    disco_key: node.discoKey ?? null,
    endpoints: JSON.stringify(node.endpoints),
    home_derp: node.homeDerp,
    hostinfo: JSON.stringify(node.hostinfo, bigIntAsNumber),
    last_seen: node.lastSeen ?? null,
  };
}

/** The one 64-bit member (TPM.FirmwareVersion) is for display: its nearest double will do. */
function bigIntAsNumber(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}

export function insertNode(tailnetId: number, node: NodeState): CompiledQuery {
  const row = {
    tailnet_id: tailnetId,
    id: node.id,
    stable_id: node.stableId,
    machine_key: node.machineKey,
    ipv4: node.ipv4,
    ipv6: node.ipv6,
    created_at: node.created,
    ...ownedColumns(node),
    ...reportedColumns(node),
  };
  return sql
    .insertInto('nodes')
    .values(row as Insertable<NodeTable>)
    .compile();
}

/** What registration and admins decide. */
function ownedColumns(node: NodeState): Updateable<NodeTable> {
  return {
    node_key: node.nodeKey,
    nl_key: node.nlKey ?? null,
    user_id: node.userId ?? null,
    tags: JSON.stringify(node.tags),
    hostname: node.hostname,
    given_name: node.givenName,
    renamed: flag(node.renamed),
    ephemeral: flag(node.ephemeral),
    auth_key_id: node.authKeyId ?? null,
    registered_by: node.registeredBy,
    key_expiry: node.keyExpiry ?? null,
  };
}

export function updateNode(tailnetId: number, node: NodeState): CompiledQuery {
  return sql
    .updateTable('nodes')
    .set({ ...ownedColumns(node), ...reportedColumns(node) })
    .where('tailnet_id', '=', tailnetId)
    .where('id', '=', node.id)
    .compile();
}

export function deleteNode(tailnetId: number, id: number): CompiledQuery {
  return sql.deleteFrom('nodes').where('tailnet_id', '=', tailnetId).where('id', '=', id).compile();
}

export function insertAuthKey(tailnetId: number, key: AuthKey): CompiledQuery {
  const row: Insertable<AuthKeyTable> = {
    tailnet_id: tailnetId,
    id: key.id,
    secret_hash: key.secretHash,
    user_id: key.userId ?? null,
    tags: JSON.stringify(key.tags),
    reusable: flag(key.reusable),
    ephemeral: flag(key.ephemeral),
    description: key.description,
    uses: key.uses,
    created_at: key.created,
    expires_at: key.expires ?? null,
    revoked_at: key.revoked ?? null,
  };
  return sql.insertInto('auth_keys').values(row).compile();
}

export function updateAuthKey(tailnetId: number, key: AuthKey): CompiledQuery {
  return sql
    .updateTable('auth_keys')
    .set({ uses: key.uses, revoked_at: key.revoked ?? null })
    .where('tailnet_id', '=', tailnetId)
    .where('id', '=', key.id)
    .compile();
}

export function insertPolicy(
  tailnetId: number,
  version: number,
  text: string | undefined,
  now: number,
): CompiledQuery {
  return sql
    .insertInto('policies')
    .values({ tailnet_id: tailnetId, version, text: text ?? null, created_at: now })
    .compile();
}

export function storeSetting(tailnetId: number, name: string, value: string): CompiledQuery {
  return sql
    .insertInto('settings')
    .values({ tailnet_id: tailnetId, name, value })
    .onConflict((conflict) => conflict.columns(['tailnet_id', 'name']).doUpdateSet({ value }))
    .compile();
}
