// Discovery messages: opened with the sender's key, answered, handed to whom they concern.
//
// Only senders whose disco key some peer of the network map has are listened to; everything else is ignored before
// any cryptography.

import { toHex } from '@cove/protocol/bytes';
import { BOX_NONCE_LENGTH, boxSharedKey, type Crypto } from '@cove/protocol/crypto';
import {
  DISCO_TXID_LENGTH,
  type DiscoEndpoint,
  type DiscoMessage,
  discoSender,
  encodeDisco,
  openDisco,
  parseDisco,
  sealDisco,
} from '@cove/protocol/disco';
import { type DiscoPublic, isZeroKey, type PrivateKey, publicBytes } from '@cove/protocol/keys';
import type { Peer } from '../nodetable.ts';
import type { Path, RelayPath, UdpPath } from './paths.ts';
import { KeyMap } from './peermap.ts';

/** The pseudo address under which a relay region stands in a pong. */
const RELAY_ADDRESS: Uint8Array = Uint8Array.of(127, 3, 3, 40);

/** What messages say about direct paths. Arrays are borrowed for the call. */
export interface DiscoSink {
  /** Sends an envelope by a path. */
  send(path: Path, envelope: Uint8Array): void;
  /** The peer may be at this address. False: that very ping was seen before, it gets no answer. */
  pinged(peer: Peer, from: UdpPath, txId: Uint8Array): boolean;
  /** False: answers no ping to this peer. */
  ponged(peer: Peer, txId: Uint8Array): boolean;
  /** The peer wants to be pinged at these addresses. */
  called(peer: Peer, endpoints: readonly DiscoEndpoint[]): void;
}

export interface DiscoOptions {
  /** Our node's public key, which pings carry. */
  readonly nodeKeyBytes: () => Uint8Array;
  readonly discoKey: PrivateKey;
  readonly crypto: Crypto;
  readonly sink: DiscoSink;
}

/** One disco key and who has it: several nodes may share one. */
interface Contact {
  readonly key: Uint8Array;
  readonly peers: Set<Peer>;
  sharedKey: Uint8Array | undefined;
}

export class Disco {
  readonly #options: DiscoOptions;
  /** Ours, 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #contacts: KeyMap<Contact> = new KeyMap();
  /** Pings through relays by transaction id in hex. */
  readonly #relayPings: Map<
    string,
    { readonly peer: Peer; readonly onPong: (path: RelayPath) => void }
  > = new Map();
  /** Messages dropped: of unknown senders, or by a path they must not take. */
  ignored = 0;
  /** Not opened with the sender's key, or not understood. */
  malformed = 0;
  /** Pings seen before, pongs to no ping of ours. */
  replayed = 0;

  constructor(options: DiscoOptions) {
    this.#options = options;
    this.publicKey = options.discoKey.publicBytes(options.crypto.x25519);
  }

  addPeer(peer: Peer): void {
    if (isZeroKey(peer.discoKey)) return;
    const key = publicBytes(peer.discoKey);
    let contact = this.#contacts.get(key);
    if (!contact) {
      contact = { key, peers: new Set(), sharedKey: undefined };
      this.#contacts.set(key, contact);
    }
    contact.peers.add(peer);
  }

  /** The disco key is given because the peer may have another one by now. */
  removePeer(peer: Peer, disco: DiscoPublic): void {
    if (isZeroKey(disco)) return;
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
    if (!contact?.peers.has(path.peer)) {
      this.ignored++;
      return;
    }
    const message = this.#open(contact, envelope);
    switch (message?.type) {
      case undefined:
        this.malformed++;
        return;
      case 'ping':
        this.#sendTo(contact, path, {
          type: 'pong',
          txId: message.txId.slice(),
          source: { addr: RELAY_ADDRESS, port: path.region & 0xffff },
        });
        return;
      case 'pong': {
        const id = toHex(message.txId);
        const ping = this.#relayPings.get(id);
        if (ping?.peer !== path.peer) this.replayed++;
        else {
          this.#relayPings.delete(id);
          ping.onPong(path);
        }
        return;
      }
      case 'callMeMaybe':
        this.#options.sink.called(path.peer, message.endpoints);
        return;
      default:
        // Messages about peer relays, which this node takes no part in.
        this.ignored++;
    }
  }

  /** Takes an envelope (isDisco was asked) that came by UDP. */
  receiveDirect(envelope: Uint8Array, from: UdpPath): void {
    const contact = this.#contacts.get(discoSender(envelope));
    if (!contact) {
      this.ignored++;
      return;
    }
    const { sink } = this.#options;
    const message = this.#open(contact, envelope);
    if (message === undefined) this.malformed++;
    else if (message.type === 'ping') {
      let isNew = false;
      for (const peer of contact.peers) isNew = sink.pinged(peer, from, message.txId) || isNew;
      if (!isNew) this.replayed++;
      else {
        this.#sendTo(contact, from, {
          type: 'pong',
          txId: message.txId.slice(),
          source: { addr: from.addr, port: from.port },
        });
      }
    } else if (message.type === 'pong') {
      for (const peer of contact.peers) if (sink.ponged(peer, message.txId)) return;
      this.replayed++;
    } else {
      // Only a relay can vouch for the sender of the others.
      this.ignored++;
    }
  }

  /** Sends a message to a peer. False: its disco key is not known. */
  send(path: Path, peer: Peer, message: DiscoMessage): boolean {
    const contact = this.#contactOf(peer);
    if (contact) this.#sendTo(contact, path, message);
    return contact !== undefined;
  }

  ping(path: UdpPath, peer: Peer, txId: Uint8Array): boolean {
    return this.send(path, peer, { type: 'ping', txId, nodeKey: this.#options.nodeKeyBytes() });
  }

  /** Pings through a relay; returns what forgets the ping again. Undefined: the peer's disco key is not known. */
  pingRelayed(path: RelayPath, onPong: (path: RelayPath) => void): (() => void) | undefined {
    const txId = this.#options.crypto.randomBytes(DISCO_TXID_LENGTH);
    const nodeKey = this.#options.nodeKeyBytes();
    const id = toHex(txId);
    if (!this.send(path, path.peer, { type: 'ping', txId, nodeKey })) return undefined;
    this.#relayPings.set(id, { peer: path.peer, onPong });
    return () => this.#relayPings.delete(id);
  }

  #contactOf(peer: Peer): Contact | undefined {
    return isZeroKey(peer.discoKey) ? undefined : this.#contacts.get(publicBytes(peer.discoKey));
  }

  #open(contact: Contact, envelope: Uint8Array): DiscoMessage | undefined {
    const inner = openDisco(this.#sharedKey(contact), envelope);
    return inner && parseDisco(inner);
  }

  #sendTo(contact: Contact, path: Path, message: DiscoMessage): void {
    const nonce = this.#options.crypto.randomBytes(BOX_NONCE_LENGTH);
    const sealed = sealDisco(this.#sharedKey(contact), this.publicKey, nonce, encodeDisco(message));
    this.#options.sink.send(path, sealed);
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
