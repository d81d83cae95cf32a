// Fuzz target of the device: datagrams, packets to send and passing time, with a cryptography that anyone can break, so that
// what lies behind authentication is reached. Strangers may do anything; nothing may throw or grow.
import assert from 'node:assert/strict';
import type { Crypto } from '@cove/protocol/crypto';
import { PrivateKey } from '@cove/protocol/keys';
import type { FuzzTarget } from '@cove/protocol/testing/fuzztarget';
import { addressLength, packetLength } from '../innerpacket.ts';
import { messageType } from '../messages.ts';
import { A_ADDRESS, B_ADDRESS, End, ipv4, prefix, slotOf } from './pair.ts';

/** Keys are their own public keys, all hashes are zero, whatever ends in zeros authenticates. */
function openCrypto(): Crypto {
  let counter = 0;
  const zeros = (sealed: Uint8Array): boolean => sealed.subarray(-16).every((byte) => byte === 0);
  return {
    name: 'open',
    x25519: {
      publicKey: (priv) => priv.slice(),
      sharedSecret: (priv, pub) => priv.map((byte, i) => byte ^ pub[i]!),
    },
    aead: {
      seal(_key, _nonce, _ad, plaintext) {
        const out = new Uint8Array(plaintext.length + 16);
        out.set(plaintext);
        return out;
      },
      open: (_key, _nonce, _ad, sealed) =>
        sealed.length >= 16 && zeros(sealed) ? sealed.slice(0, -16) : undefined,
    },
    packet: {
      seal: (_key, _lo, _hi, buf, offset, length) => {
        buf.fill(0, offset + length, offset + length + 16);
      },
      open: (_key, _lo, _hi, buf, offset, length) => zeros(buf.subarray(offset, offset + length)),
    },
    blake2s: {
      hash: () => new Uint8Array(32),
      hmac: () => new Uint8Array(32),
      keyed: (_key, length) => new Uint8Array(length),
    },
    randomBytes: (n) => {
      const out = new Uint8Array(n);
      for (let i = 0; i < n; i++) out[i] = i === 0 ? ++counter : 0;
      return out;
    },
  };
}

const A_KEY = PrivateKey.fromBytes(new Uint8Array(32).fill(0x40, 0, 31).fill(0x41, 31));
const B_KEY = PrivateKey.fromBytes(new Uint8Array(32).fill(0x40, 0, 31).fill(0x42, 31));
const PATHS = ['p', 'q'];

/** One end with one peer, and others on demand whose key begins with a zero. */
function open(key: PrivateKey, other: PrivateKey, peerAddress: string): Machine {
  return new Machine(key, other, peerAddress);
}

class Machine {
  now = 0;
  readonly end: End;
  readonly #peer;
  #onDemand = 0;

  constructor(key: PrivateKey, other: PrivateKey, peerAddress: string) {
    const crypto = openCrypto();
    this.end = new End({
      privateKey: key,
      crypto,
      now: () => this.now,
      lookupPeer: (publicKey) => {
        if (publicKey[0] !== 0) return undefined;
        this.#onDemand++;
        return { publicKey, allowedIPs: [prefix('10.0.0.0/8')], context: 'demand' };
      },
    });
    this.#peer = this.end.device.addPeer(
      {
        publicKey: other.publicBytes(crypto.x25519),
        allowedIPs: [prefix(`${peerAddress}/32`), prefix('fd00::/64')],
        context: 'peer',
      },
      0,
    );
  }

  get onDemand(): number {
    return this.#onDemand;
  }

  send(length: number): void {
    const packet = ipv4(A_ADDRESS, B_ADDRESS, length);
    this.end.device.send(this.#peer, slotOf(packet), 16, length, this.now);
  }

  receive(datagram: Uint8Array, path: number): void {
    this.end.device.receive(datagram, 0, datagram.length, this.now, PATHS[path & 1]);
  }

  advance(ms: number): void {
    const until = this.now + ms;
    for (let i = 0; i < 2000; i++) {
      const at = this.end.device.nextTick;
      if (at === undefined || at > until) break;
      this.now = Math.max(this.now, at);
      this.end.device.tick(this.now);
    }
    this.now = until;
  }
}

/** Two bytes before each datagram: six bits of action, ten of length. */
function run(input: Uint8Array): void {
  const machine = open(A_KEY, B_KEY, B_ADDRESS);
  const { end } = machine;
  let datagrams = 0;
  for (let at = 0; at + 2 <= input.length; ) {
    const head = (input[at]! << 8) | input[at + 1]!;
    const action = head >> 10;
    at += 2;
    if (action < 8) machine.send(20 + (head & 0x3ff));
    else if (action < 16) machine.advance(2 ** ((head & 0x3ff) / 50));
    else {
      const datagram = input.slice(at, at + (head & 0x3ff));
      at += datagram.length;
      datagrams++;
      messageType(datagram, 0, datagram.length);
      machine.receive(datagram, action);
    }
    for (const { bytes } of end.sent.splice(0)) {
      assert.ok(bytes.length >= 32 && bytes.length <= 1600, `${bytes.length} bytes to the peer`);
    }
    end.replies.length = 0;
    for (const packet of end.delivered.splice(0)) {
      const size = addressLength(packet, 0);
      assert.ok(size === 4 || size === 16, 'only IP packets are delivered');
      assert.equal(packetLength(packet, 0, packet.length), packet.length, 'trimmed');
      const source = packet.subarray(size === 4 ? 12 : 8);
      const own =
        size === 4
          ? source.subarray(0, 4).join('.') === B_ADDRESS || source[0] === 10
          : source[0] === 0xfd;
      assert.ok(own, 'from an address of a peer');
    }
    end.events.length = 0;
  }
  assert.ok(machine.onDemand <= datagrams, 'peers on demand are asked for once per datagram');
  machine.advance(3_600_000);
}

function frame(action: number, bytes: Uint8Array): number[] {
  return [(action << 2) | (bytes.length >> 8), bytes.length & 255, ...bytes];
}

/** What a peer with the same cryptography sends: initiation, response, transport. */
function recordSeeds(): Uint8Array[] {
  const a = open(A_KEY, B_KEY, B_ADDRESS);
  const b = open(B_KEY, A_KEY, A_ADDRESS);
  const toB: Uint8Array[] = [];
  const toA: Uint8Array[] = [];
  a.send(60);
  for (let round = 0; round < 3; round++) {
    for (const { bytes } of a.end.sent.splice(0)) {
      toB.push(bytes);
      b.receive(bytes.slice(), 0);
    }
    for (const { bytes } of b.end.sent.splice(0)) {
      toA.push(bytes);
      a.receive(bytes.slice(), 0);
    }
  }
  const swapped = open(B_KEY, A_KEY, A_ADDRESS);
  swapped.send(60);
  const initiation = swapped.end.sent[0]!.bytes;
  const transport = new Uint8Array(16 + 32 + 16);
  transport.set([4, 0, 0, 0, toA[0]![8]!, toA[0]![9]!, toA[0]![10]!, toA[0]![11]!]);
  transport.set(ipv4(B_ADDRESS, A_ADDRESS, 32), 16);
  return [
    Uint8Array.from([1, 40, ...frame(16, toA[0]!), ...frame(16, transport)]),
    Uint8Array.from([...frame(16, initiation), 1, 40]),
    Uint8Array.from([...frame(17, initiation), 0x21, 0xff, ...frame(16, initiation)]),
    Uint8Array.from([1, 40, ...frame(20, new Uint8Array(64).fill(3, 0, 1))]),
    ...toB.map((bytes) => Uint8Array.from(frame(16, bytes))),
  ];
}

export const targets: readonly FuzzTarget[] = [
  {
    name: 'wireguard',
    maxLength: 1500,
    seeds: recordSeeds(),
    words: [
      Uint8Array.of(1, 0, 0, 0),
      Uint8Array.of(2, 0, 0, 0),
      Uint8Array.of(3, 0, 0, 0),
      Uint8Array.of(4, 0, 0, 0),
      new Uint8Array(16),
      Uint8Array.of(1, 40),
      Uint8Array.of(0x22, 0x80),
      Uint8Array.of(0x23, 0xff),
    ],
    run,
  },
];
