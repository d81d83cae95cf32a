// A relay node for tests: its relay's UDP socket on loopback, and its presence at the tailnet's relay, where it is asked
// for endpoints. It keeps no time: what it gave stays.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { DerpClient } from '@cove/derp/client';
import { equalBytes } from '@cove/protocol/bytes';
import { boxSharedKey } from '@cove/protocol/crypto';
import {
  type DiscoMessage,
  discoSender,
  encodeDisco,
  isDisco,
  openDisco,
  parseDisco,
  type RelayEndpoint,
  sealDisco,
} from '@cove/protocol/disco';
import {
  GENEVE_HEADER_LENGTH,
  GeneveProtocol,
  geneveProtocol,
  geneveVni,
  isGeneveControl,
  writeGeneve,
} from '@cove/protocol/geneve';
import { discoPublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import type { DERPMap, Node } from '@cove/protocol/tailcfg';
import { testNode } from './maps.ts';
import { crypto } from './tailnet.ts';

interface Leg {
  readonly key: Uint8Array;
  generation: number;
  readonly challenge: Uint8Array;
  bound: RemoteInfo | undefined;
}

interface Held {
  readonly endpoint: RelayEndpoint;
  readonly legs: readonly [Leg, Leg];
}

export class TestPeerRelay {
  /** As the network map has it. */
  readonly node: Node;
  /** Datagrams passed on so far. */
  forwarded = 0;
  readonly port: number;
  readonly #nodeDisco: PrivateKey;
  readonly #disco: PrivateKey = PrivateKey.generate(crypto.randomBytes);
  readonly #socket: Socket;
  readonly #held: Held[] = [];
  #derp: DerpClient | undefined;

  private constructor(id: number, socket: Socket, nodeKey: PrivateKey) {
    this.#nodeDisco = PrivateKey.generate(crypto.randomBytes);
    this.#socket = socket;
    this.port = socket.address().port;
    this.node = testNode(id, {
      Key: nodePublic(nodeKey.publicBytes(crypto.x25519)),
      DiscoKey: discoPublic(this.#nodeDisco.publicBytes(crypto.x25519)),
      Cap: 121,
    });
    socket.on('message', (datagram, from) => this.#receive(Uint8Array.from(datagram), from));
  }

  /** At the first region of the map. */
  static async start(id: number, map: DERPMap): Promise<TestPeerRelay> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const nodeKey = PrivateKey.generate(crypto.randomBytes);
    const relay = new TestPeerRelay(id, socket, nodeKey);
    relay.#derp = await DerpClient.connect({
      region: Object.values(map.Regions!)[0]!,
      privateKey: nodeKey,
      handler: { packet: (source, packet) => relay.#asked(source.slice(), packet.slice()) },
    });
    return relay;
  }

  /** Sends a client something by the relay's socket. */
  send(to: number, datagram: Uint8Array): void {
    this.#socket.send(datagram, to, '127.0.0.1');
  }

  async close(): Promise<void> {
    await this.#derp?.close();
    this.#socket.close();
  }

  #asked(source: Uint8Array, envelope: Uint8Array): void {
    const request = isDisco(envelope) ? open(this.#nodeDisco, envelope) : undefined;
    if (request?.type !== 'allocateUdpRelayEndpointRequest') return;
    const relay = this.#hold(request.clientDisco).endpoint;
    const type = 'allocateUdpRelayEndpointResponse';
    const response = { type, generation: request.generation, relay } as const;
    this.#derp!.send(source, seal(this.#nodeDisco, discoSender(envelope), response));
  }

  #hold(clientDisco: RelayEndpoint['clientDisco']): Held {
    const known = this.#held.find(({ endpoint }) =>
      endpoint.clientDisco.every((key, i) => equalBytes(key, clientDisco[i]!)),
    );
    if (known) return known;
    const number = this.#held.length + 1;
    const leg = (key: Uint8Array): Leg => ({
      key: key.slice(),
      generation: 0,
      challenge: crypto.randomBytes(32),
      bound: undefined,
    });
    const held: Held = {
      endpoint: {
        serverDisco: this.#disco.publicBytes(crypto.x25519),
        clientDisco: [clientDisco[0].slice(), clientDisco[1].slice()],
        lamportId: BigInt(number),
        vni: number,
        bindLifetime: 30_000_000_000n,
        steadyStateLifetime: 300_000_000_000n,
        endpoints: [{ addr: Uint8Array.of(127, 0, 0, 1), port: this.port }],
      },
      legs: [leg(clientDisco[0]), leg(clientDisco[1])],
    };
    this.#held.push(held);
    return held;
  }

  #receive(datagram: Uint8Array, from: RemoteInfo): void {
    if (geneveProtocol(datagram) === 0) return;
    const held = this.#held.find(({ endpoint }) => endpoint.vni === geneveVni(datagram));
    if (!held) return;
    if (isGeneveControl(datagram)) {
      this.#shakeHands(held, datagram.subarray(GENEVE_HEADER_LENGTH), from);
      return;
    }
    const [a, b] = held.legs;
    if (!a.bound || !b.bound) return;
    const to = from.port === a.bound.port ? b : from.port === b.bound.port ? a : undefined;
    if (!to) return;
    this.forwarded++;
    this.send(to.bound!.port, datagram);
  }

  #shakeHands(held: Held, envelope: Uint8Array, from: RemoteInfo): void {
    const sender = discoSender(envelope);
    const mine = held.legs.find(({ key }) => equalBytes(key, sender));
    const message = mine && open(this.#disco, envelope);
    if (!mine) return;
    if (message?.type === 'bindUdpRelayEndpoint') {
      mine.generation = message.generation;
      const { challenge } = mine;
      const answer = { ...message, type: 'bindUdpRelayEndpointChallenge', challenge } as const;
      const sealed = seal(this.#disco, mine.key, answer);
      const out = new Uint8Array(GENEVE_HEADER_LENGTH + sealed.length);
      writeGeneve(out, GeneveProtocol.disco, held.endpoint.vni, true);
      out.set(sealed, GENEVE_HEADER_LENGTH);
      this.send(from.port, out);
    } else if (message?.type === 'bindUdpRelayEndpointAnswer') {
      const isRight = message.generation === mine.generation && mine.generation !== 0;
      if (!isRight || !equalBytes(message.challenge, mine.challenge)) return;
      mine.generation = 0;
      mine.bound = from;
    }
  }
}

function open(key: PrivateKey, envelope: Uint8Array): DiscoMessage | undefined {
  const shared = boxSharedKey(crypto.x25519, key.expose(), discoSender(envelope));
  const inner = openDisco(shared, envelope);
  return inner && parseDisco(inner);
}

function seal(key: PrivateKey, to: Uint8Array, message: DiscoMessage): Uint8Array {
  const shared = boxSharedKey(crypto.x25519, key.expose(), to);
  const own = key.publicBytes(crypto.x25519);
  return sealDisco(shared, own, crypto.randomBytes(24), encodeDisco(message));
}
