// The coordination server: owns the state, attaches to HTTP servers, answers the admin methods.
import type { Server as HttpServer } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { MachinePublic, NodePublic } from '@cove/protocol/keys';
import type { DERPMap } from '@cove/protocol/tailcfg';
import type {
  AuthKeyOptions,
  AuthKeyRecord,
  ControlOptions,
  CreatedAuthKey,
  EventRecord,
  NodeRecord,
  NodeRef,
  PendingRecord,
  PolicyRecord,
  StatusRecord,
  UserRecord,
} from './api.ts';

export declare class ControlServer implements AsyncDisposable {
  static open(options: ControlOptions): Promise<ControlServer>;
  readonly publicKey: MachinePublic;
  /** Serves requests and upgrades of this server until the returned function is called. */
  attach(server: HttpServer | HttpsServer): () => void;
  isKnownNode(key: NodePublic): boolean;
  listUsers(): UserRecord[];
  ensureUser(loginName: string, displayName?: string): Promise<UserRecord>;
  createAuthKey(options?: AuthKeyOptions): Promise<CreatedAuthKey>;
  listAuthKeys(): AuthKeyRecord[];
  expireAuthKey(id: string): Promise<AuthKeyRecord>;
  listNodes(): NodeRecord[];
  getNode(ref: NodeRef): NodeRecord;
  expireNode(ref: NodeRef): Promise<NodeRecord>;
  deleteNode(ref: NodeRef): Promise<NodeRecord>;
  renameNode(ref: NodeRef, name: string): Promise<NodeRecord>;
  setNodeTags(ref: NodeRef, tags: readonly string[]): Promise<NodeRecord>;
  listPending(): PendingRecord[];
  approve(id: string, options?: { readonly user?: string }): Promise<NodeRecord>;
  deny(id: string): Promise<void>;
  getPolicy(): PolicyRecord;
  /** Throws ERR_POLICY naming the place; undefined: back to no policy. */
  setPolicy(text: string | undefined): Promise<PolicyRecord>;
  validatePolicy(text: string): void;
  getDerpMap(): DERPMap;
  setDerpMap(map: DERPMap): Promise<void>;
  status(): StatusRecord;
  listEvents(options?: { readonly after?: number; readonly limit?: number }): EventRecord[];
  /** Prometheus text format. */
  metrics(): string;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
