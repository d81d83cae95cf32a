// Discovery messages: opened with the sender's key, answered, handed to whom they concern.
//
// Only senders whose disco key some peer of the network map has are listened to, and peer relays whose word is waited
// for; everything else is ignored before any cryptography.

import { toHex } from '@cove/protocol/bytes';
import { BOX_NONCE_LENGTH, boxSharedKey, type Crypto } from '@cove/protocol/crypto';
import {
  type AllocateRelayResponse,
  DISCO_TXID_LENGTH,
  type DiscoEndpoint,
  type DiscoMessage,
  discoSender,
  encodeDisco,
  openDisco,
  parseDisco,
  type RelayEndpoint,
  type RelayHandshake,
  sealDisco,
} from '@cove/protocol/disco';
import { type DiscoPublic, isZeroKey, type PrivateKey, publicBytes } from '@cove/protocol/keys';
import type { Peer } from '../nodetable.ts';
import type { DatagramPath, Path, RelayPath, UdpPath, ViaPath } from './paths.ts';
import { KeyMap } from './peermap.ts';

/** The pseudo address under which a relay region stands in a pong. */
const RELAY_ADDRESS: Uint8Array = Uint8Array.of(127, 3, 3, 40);

/** What messages say about paths by UDP. Arrays are borrowed for the call. */
export interface DiscoSink {
  /** Sends an envelope by a path; isForRelay: to the peer relay itself, not to who is behind it. */
  send(path: Path, envelope: Uint8Array, isForRelay: boolean): void;
  /** The peer may be at this address. False: that very ping was seen before, it gets no answer. */
  pinged(peer: Peer, from: UdpPath, txId: Uint8Array): boolean;
  /** False: answers no ping to this peer. */
  ponged(peer: Peer, txId: Uint8Array): boolean;
  /** The peer wants to be pinged at these addresses. */
  called(peer: Peer, endpoints: readonly DiscoEndpoint[]): void;
  /** The peer has an endpoint of a peer relay for the two of us. */
  calledVia(peer: Peer, relay: RelayEndpoint): void;
  /** The peer, a relay node, answers our request for an endpoint. */
  allocated(server: Peer, response: AllocateRelayResponse): void;
  /** A peer's ping came through a peer relay; it has its pong. */
  pingedVia(from: ViaPath): void;
  /** As ponged, for a pong that no peer's pings know. */
  pongedVia(txId: Uint8Array, from: ViaPath): boolean;
  /** The peer relay with this disco key speaks. */
  challenged(server: Uint8Array, message: RelayHandshake, from: ViaPath): void;
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
  readonly key: DiscoPublic;
  peers: readonly Peer[];
  sharedKey: Uint8Array | undefined;
}

/** A peer relay that we speak with at present. */
interface RelayContact {
  readonly key: Uint8Array;
  sharedKey: Uint8Array | undefined;
  users: number;
}

export class Disco {
  readonly #options: DiscoOptions;
  /** Ours, 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #contacts: KeyMap<Contact> = new KeyMap();
  readonly #relays: KeyMap<RelayContact> = new KeyMap();
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
    const contact = this.#contacts.get(key);
    if (!contact) {
      this.#contacts.set(key, { key: peer.discoKey, peers: [peer], sharedKey: undefined });
    } else if (!contact.peers.includes(peer)) {
      contact.peers = [...contact.peers, peer];
    }
  }

  /** The disco key is given because the peer may have another one by now. */
  removePeer(peer: Peer, disco: DiscoPublic): void {
    if (isZeroKey(disco)) return;
    const key = publicBytes(disco);
    const contact = this.#contacts.get(key);
    if (!contact) return;
    contact.peers = contact.peers.filter((one) => one !== peer);
    if (contact.peers.length === 0) this.#contacts.delete(key);
  }

  /** Takes an envelope (isDisco was asked) that came through a relay from the path's peer. */
  receiveRelayed(envelope: Uint8Array, path: RelayPath): void {
    const contact = this.#contacts.get(discoSender(envelope));
    // The relay vouches for the node key; a disco key of some other node is none of its business.
    if (!contact?.peers.includes(path.peer)) {
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
      case 'callMeMaybeVia':
        if (message.relay) this.#options.sink.calledVia(path.peer, message.relay);
        else this.ignored++;
        return;
      case 'allocateUdpRelayEndpointResponse':
        this.#options.sink.allocated(path.peer, message);
        return;
      default:
        // Requests to a peer relay, which this node is not.
        this.ignored++;
    }
  }

  /** Takes an envelope (isDisco was asked) that came by UDP, from the peer itself or passed on by a peer relay. */
  receiveDatagram(envelope: Uint8Array, from: DatagramPath): void {
    const contact = this.#contacts.get(discoSender(envelope));
    if (!contact) {
      this.ignored++;
      return;
    }
    const { sink } = this.#options;
    const message = this.#open(contact, envelope);
    if (message === undefined) this.malformed++;
    else if (message.type === 'ping') {
      let isNew = from.kind === 'via';
      if (from.kind === 'udp')
        for (const peer of contact.peers) isNew = sink.pinged(peer, from, message.txId) || isNew;
      if (!isNew) this.replayed++;
      else {
        const { addr, port } = from.kind === 'via' ? from.hop : from;
        const txId = message.txId.slice();
        this.#sendTo(contact, from, { type: 'pong', txId, source: { addr, port } });
        if (from.kind === 'via') sink.pingedVia(from);
      }
    } else if (message.type === 'pong') {
      for (const peer of contact.peers) if (sink.ponged(peer, message.txId)) return;
      if (from.kind !== 'via' || !sink.pongedVia(message.txId, from)) this.replayed++;
    } else {
      // Only a relay can vouch for the sender of the others.
      this.ignored++;
    }
  }

  /** Takes an envelope (isDisco was asked) that a peer relay sent for itself. */
  receiveFromRelay(envelope: Uint8Array, from: ViaPath): void {
    const contact = this.#relays.get(discoSender(envelope));
    if (!contact) {
      this.ignored++;
      return;
    }
    const message = this.#open(contact, envelope);
    if (message === undefined) this.malformed++;
    else if (message.type === 'bindUdpRelayEndpointChallenge')
      this.#options.sink.challenged(contact.key, message, from);
    else this.ignored++;
  }

  /** Listens to the peer relay with this disco key until forgetRelay was called as often. */
  expectRelay(key: Uint8Array): void {
    let contact = this.#relays.get(key);
    if (!contact) {
      contact = { key: key.slice(), sharedKey: undefined, users: 0 };
      this.#relays.set(contact.key, contact);
    }
    contact.users++;
  }

  forgetRelay(key: Uint8Array): void {
    const contact = this.#relays.get(key);
    if (contact && --contact.users === 0) this.#relays.delete(key);
  }

  /** Sends an expected peer relay a step of the handshake. */
  sendToRelay(path: ViaPath, key: Uint8Array, message: RelayHandshake): void {
    const contact = this.#relays.get(key);
    if (contact) this.#sendTo(contact, path, message, true);
  }

  /** Sends a message to a peer. False: its disco key is not known. */
  send(path: Path, peer: Peer, message: DiscoMessage): boolean {
    const contact = this.#contactOf(peer);
    if (contact) this.#sendTo(contact, path, message);
    return contact !== undefined;
  }

  ping(path: DatagramPath, peer: Peer, txId: Uint8Array, padding = 0): boolean {
    const nodeKey = this.#options.nodeKeyBytes();
    return this.send(path, peer, { type: 'ping', txId, nodeKey, padding });
  }

  /** Pings through a relay; returns what forgets the ping again. Undefined: the peer's disco key is not known. */
  pingRelayed(
    path: RelayPath,
    onPong: (path: RelayPath) => void,
    padding = 0,
  ): (() => void) | undefined {
    const txId = this.#options.crypto.randomBytes(DISCO_TXID_LENGTH);
    const nodeKey = this.#options.nodeKeyBytes();
    const id = toHex(txId);
    if (!this.send(path, path.peer, { type: 'ping', txId, nodeKey, padding })) return undefined;
    this.#relayPings.set(id, { peer: path.peer, onPong });
    return () => this.#relayPings.delete(id);
  }

  #contactOf(peer: Peer): Contact | undefined {
    return isZeroKey(peer.discoKey) ? undefined : this.#contacts.get(publicBytes(peer.discoKey));
  }

  #open(contact: Contact | RelayContact, envelope: Uint8Array): DiscoMessage | undefined {
    const inner = openDisco(this.#sharedKey(contact), envelope);
    return inner && parseDisco(inner);
  }

  #sendTo(
    contact: Contact | RelayContact,
    path: Path,
    message: DiscoMessage,
    isForRelay = false,
  ): void {
    const nonce = this.#options.crypto.randomBytes(BOX_NONCE_LENGTH);
    const sealed = sealDisco(this.#sharedKey(contact), this.publicKey, nonce, encodeDisco(message));
    this.#options.sink.send(path, sealed, isForRelay);
  }

  #sharedKey(contact: Contact | RelayContact): Uint8Array {
    const { key } = contact;
    contact.sharedKey ??= this.#compute(typeof key === 'string' ? publicBytes(key) : key);
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
