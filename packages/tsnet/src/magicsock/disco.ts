// Discovery messages: opened with the sender's key, answered, matched to the pings they answer.
//
// Only senders whose disco key some peer of the network map has are listened to; everything else is ignored before
// any cryptography.

import { toHex } from '@cove/protocol/bytes';
import { BOX_NONCE_LENGTH, boxSharedKey, type Crypto } from '@cove/protocol/crypto';
import {
  DISCO_TXID_LENGTH,
  type DiscoMessage,
  discoSender,
  encodeDisco,
  openDisco,
  parseDisco,
  sealDisco,
} from '@cove/protocol/disco';
import { type DiscoPublic, isZeroKey, type PrivateKey, publicBytes } from '@cove/protocol/keys';
import type { Peer } from '../nodetable.ts';
import type { RelayPath } from './endpoint.ts';
import { KeyMap } from './peermap.ts';

/** The pseudo address under which a relay region stands in a pong. */
const RELAY_ADDRESS: Uint8Array = Uint8Array.of(127, 3, 3, 40);

export interface DiscoOptions {
  /** Our node's public key, which pings carry. */
  readonly nodeKeyBytes: () => Uint8Array;
  readonly discoKey: PrivateKey;
  readonly crypto: Crypto;
  /** Sends an envelope by a path. */
  readonly send: (path: RelayPath, envelope: Uint8Array) => void;
}

/** One disco key and who has it: several nodes may share one. */
interface Contact {
  readonly key: Uint8Array;
  readonly peers: Set<Peer>;
  sharedKey: Uint8Array | undefined;
}

export interface DiscoPong {
  readonly path: RelayPath;
}

export class Disco {
  readonly #options: DiscoOptions;
  readonly #publicKey: Uint8Array;
  readonly #contacts: KeyMap<Contact> = new KeyMap();
  /** Pings of ours by transaction id in hex. */
  readonly #pings: Map<
    string,
    { readonly peer: Peer; readonly onPong: (pong: DiscoPong) => void }
  > = new Map();
  /** Messages dropped: unknown sender, not opened, not understood, or from the wrong node. */
  ignored = 0;

  constructor(options: DiscoOptions) {
    this.#options = options;
    this.#publicKey = options.discoKey.publicBytes(options.crypto.x25519);
  }

  addPeer(peer: Peer): void {
    const disco = peer.node.DiscoKey;
    if (disco === undefined || isZeroKey(disco)) return;
    const key = publicBytes(disco);
    let contact = this.#contacts.get(key);
    if (!contact) {
      contact = { key, peers: new Set(), sharedKey: undefined };
      this.#contacts.set(key, contact);
    }
    contact.peers.add(peer);
  }

  /** The disco key is given because the peer's node may have another one by now. */
  removePeer(peer: Peer, disco: DiscoPublic | undefined): void {
    if (disco === undefined || isZeroKey(disco)) return;
    const key = publicBytes(disco);
    const contact = this.#contacts.get(key);
    if (!contact) return;
    contact.peers.delete(peer);
    if (contact.peers.size === 0) this.#contacts.delete(key);
  }

  /** Takes an envelope (isDisco was asked) that came through a relay from the path's peer. */
  receiveRelayed(envelope: Uint8Array, path: RelayPath): void {
    const contact = this.#contacts.get(discoSender(envelope));
    // The relay vouches for the node key; a disco key of some other node is none of its business.
    const inner = contact?.peers.has(path.peer)
      ? openDisco(this.#sharedKey(contact), envelope)
      : undefined;
    const message = inner && parseDisco(inner);
    if (!contact || !message) {
      this.ignored++;
      return;
    }
    switch (message.type) {
      case 'ping':
        this.#send(contact, path, {
          type: 'pong',
          txId: message.txId.slice(),
          source: { addr: RELAY_ADDRESS, port: path.region & 0xffff },
        });
        return;
      case 'pong': {
        const id = toHex(message.txId);
        const ping = this.#pings.get(id);
        if (ping?.peer !== path.peer) this.ignored++;
        else {
          this.#pings.delete(id);
          ping.onPong({ path });
        }
        return;
      }
      default:
        // callMeMaybe and the relay messages ask for direct paths, which are not made yet.
        return;
    }
  }

  /** Pings by a path; returns what forgets the ping again. Undefined: the peer's disco key is not known. */
  ping(path: RelayPath, onPong: (pong: DiscoPong) => void): (() => void) | undefined {
    const disco = path.peer.node.DiscoKey;
    const contact =
      disco === undefined || isZeroKey(disco) ? undefined : this.#contacts.get(publicBytes(disco));
    if (!contact) return undefined;
    const txId = this.#options.crypto.randomBytes(DISCO_TXID_LENGTH);
    const id = toHex(txId);
    this.#pings.set(id, { peer: path.peer, onPong });
    this.#send(contact, path, { type: 'ping', txId, nodeKey: this.#options.nodeKeyBytes() });
    return () => this.#pings.delete(id);
  }

  #send(contact: Contact, path: RelayPath, message: DiscoMessage): void {
    const nonce = this.#options.crypto.randomBytes(BOX_NONCE_LENGTH);
    const inner = encodeDisco(message);
    this.#options.send(path, sealDisco(this.#sharedKey(contact), this.#publicKey, nonce, inner));
  }

  #sharedKey(contact: Contact): Uint8Array {
    contact.sharedKey ??= this.#compute(contact.key);
    return contact.sharedKey;
  }

  #compute(key: Uint8Array): Uint8Array {
    const { discoKey, crypto } = this.#options;
    try {
      return boxSharedKey(crypto.x25519, discoKey.expose(), key);
    } catch {
      // A weak key that control handed out: nothing sealed with random bytes will ever open.
      return crypto.randomBytes(32);
    }
  }
}
