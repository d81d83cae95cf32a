// The tables, as Kysely sees them. Column types are those SQLite and PostgreSQL share: text, integer (flags 0 and 1)
// and bigint (milliseconds since 1970, counters). JSON is text. Every key begins with the tailnet's ID.

export interface TailnetTable {
  id: number;
  name: string;
  created_at: number;
  /** Highest numbers ever given out; rows may go, numbers never return. */
  last_user_id: number;
  last_node_id: number;
  last_event_seq: number;
}

export interface ServerSettingTable {
  name: string;
  value: string;
}

export interface SettingTable {
  tailnet_id: number;
  name: string;
  value: string;
}

export interface UserTable {
  tailnet_id: number;
  id: number;
  login_name: string;
  display_name: string;
  role: string;
  created_at: number;
}

export interface NodeTable {
  tailnet_id: number;
  id: number;
  stable_id: string;
  machine_key: string;
  node_key: string;
  nl_key: string | null;
  /** null: a tagged node. */
  user_id: number | null;
  tags: string;
  hostname: string;
  given_name: string;
  /** 1: an admin chose given_name; the client's hostname no longer changes it. */
  renamed: number;
  ipv4: string;
  ipv6: string;
  ephemeral: number;
  auth_key_id: string | null;
  registered_by: string;
  created_at: number;
  key_expiry: number | null;
  // Reported by the node; written some seconds late (see Journal).
  cap_version: number;
  disco_key: string | null;
  endpoints: string;
  home_derp: number;
  hostinfo: string;
  last_seen: number | null;
}

export interface AuthKeyTable {
  tailnet_id: number;
  id: string;
  /** SHA-256 of the secret part, hex: the secret has 192 random bits, so a slow hash would add nothing. */
  secret_hash: string;
  /** null: makes tagged nodes. */
  user_id: number | null;
  tags: string;
  reusable: number;
  ephemeral: number;
  description: string;
  uses: number;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
}

export interface PolicyTable {
  tailnet_id: number;
  version: number;
  /** null: the policy was removed. */
  text: string | null;
  created_at: number;
}

export interface EventTable {
  tailnet_id: number;
  seq: number;
  at: number;
  actor: string;
  kind: string;
  subject: string;
  data: string;
}

export interface MigrationTable {
  id: number;
  name: string;
  applied_at: number;
}

export interface Schema {
  cove_control_migrations: MigrationTable;
  server_settings: ServerSettingTable;
  tailnets: TailnetTable;
  settings: SettingTable;
  users: UserTable;
  nodes: NodeTable;
  auth_keys: AuthKeyTable;
  policies: PolicyTable;
  events: EventTable;
}
