// One peer: who it is, its keys, its pending handshake, its timers and what waits for it. Everything that is
// only needed once it is spoken to is made then: thousands of idle peers cost memory for their names alone.
import type { Crypto } from '@cove/protocol/crypto';
import type { Prefix } from '@cove/protocol/netaddr';
import { CookieHolder } from './cookie.ts';
import {
  agree,
  type Identity,
  KEY_LENGTH,
  type PendingHandshake,
  wipePending,
} from './handshake.ts';
import type { IndexTable } from './indextable.ts';
import { type Keypair, Keypairs } from './keypair.ts';
import { type StagedPacket, StagedPackets, type StagingBudget } from './staging.ts';
import { stampAfter } from './tai64n.ts';
import type { Scheduled } from './timerheap.ts';
import { idleTimers, setPersistent, type Timers } from './timers.ts';
import type { Peer, PeerConfig, WallTime } from './types.ts';

/** Where a peer last came from before it ever did; unlike any token of a caller. */
const NOWHERE: unique symbol = Symbol('nowhere');
const NO_PRESHARED_KEY: Uint8Array = new Uint8Array(KEY_LENGTH);

/** What a peer needs of its device. */
export interface PeerHome<Context> {
  readonly identity: Identity;
  readonly indices: IndexTable<PeerState<Context>>;
  readonly budget: StagingBudget;
}

export class PeerState<Context = unknown> implements Peer<Context>, Scheduled {
  readonly publicKey: Uint8Array;
  context: Context;
  readonly onDemand: boolean;
  live = true;
  txBytes = 0;
  rxBytes = 0;
  lastHandshake: number | undefined = undefined;

  readonly presharedKey: Uint8Array;
  allowedIPs: readonly Prefix[] = [];
  readonly keypairs: Keypairs<PeerState<Context>>;
  readonly timers: Timers = idleTimers();
  heapIndex = -1;
  heapAt: number = Infinity;
  pending: PendingHandshake | undefined = undefined;
  /** Where the last authenticated message came from, as the caller names it; NOWHERE before the first. */
  lastFrom: unknown = NOWHERE;
  /** The newest timestamp accepted, and when; kept when keys are wiped, against replay. */
  acceptedStamp: Uint8Array | undefined = undefined;
  acceptedAt: number = -Infinity;
  #sentStamp: WallTime | undefined = undefined;
  #staged: StagedPackets | undefined = undefined;
  #cookies: CookieHolder | undefined = undefined;
  #staticShared: Uint8Array | undefined = undefined;
  readonly #home: PeerHome<Context>;

  constructor(
    home: PeerHome<Context>,
    config: PeerConfig<Context>,
    options: { readonly onDemand: boolean; readonly now: number },
  ) {
    this.#home = home;
    this.publicKey = new Uint8Array(config.publicKey);
    this.context = config.context;
    this.onDemand = options.onDemand;
    this.presharedKey =
      config.presharedKey === undefined ? NO_PRESHARED_KEY : new Uint8Array(config.presharedKey);
    this.keypairs = new Keypairs((keypair) => {
      home.indices.removeKeypair(keypair);
      keypair.wipe();
    });
    setPersistent(this.timers, config.persistentKeepalive ?? 0, options.now);
  }

  hasSession(now: number): boolean {
    return this.keypairs.current?.canSend(now) ?? false;
  }

  /** The keys to send with now. */
  sendingKeypair(now: number): Keypair<PeerState<Context>> | undefined {
    const current = this.keypairs.current;
    return current?.canSend(now) ? current : undefined;
  }

  /** Copies a packet to wait for the handshake. Returns how many were dropped for it, itself included. */
  stage(buf: Uint8Array, offset: number, length: number): number {
    this.#staged ??= new StagedPackets(this.#home.budget);
    return this.#staged.push(buf, offset, length);
  }

  takeStaged(): StagedPacket | undefined {
    return this.#staged?.shift();
  }

  /** Returns how many there were. */
  dropStaged(): number {
    return this.#staged?.clear() ?? 0;
  }

  get cookies(): CookieHolder {
    this.#cookies ??= new CookieHolder(this.#crypto, this.publicKey);
    return this.#cookies;
  }

  /** DH of the two static keys, made once; undefined if the peer's key is unusable. */
  get staticShared(): Uint8Array | undefined {
    this.#staticShared ??= agree(this.#crypto, this.#home.identity.privateKey, this.publicKey);
    return this.#staticShared;
  }

  /** The timestamp for the next initiation: the time given, or just later than the last one. */
  nextStamp(time: WallTime): WallTime {
    this.#sentStamp = stampAfter(time, this.#sentStamp);
    return this.#sentStamp;
  }

  /** Replaces the pending initiation; undefined ends it. */
  setPending(pending: PendingHandshake | undefined): void {
    if (this.pending !== undefined) {
      this.#home.indices.removeHandshake(this.pending.sender);
      wipePending(this.pending);
    }
    this.pending = pending;
    if (pending !== undefined) this.#home.indices.addHandshake(pending.sender, this);
  }

  /** No keys and no handshake under way after this. */
  wipeSession(): void {
    this.keypairs.clear();
    this.setPending(undefined);
    this.#staticShared?.fill(0);
    this.#staticShared = undefined;
    this.#cookies = undefined;
  }

  get #crypto(): Crypto {
    return this.#home.identity.crypto;
  }
}
