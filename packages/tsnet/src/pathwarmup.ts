// Two nodes of nobody that talk to each other in memory, so that what every packet runs through is compiled before an
// application waits for it. V8 compiles a function once it ran some thousand times, on threads of its own which take the
// processor from the packets meanwhile; and it throws that code away when a branch is taken that it has not seen, as by
// a connection's end. So there are many short connections here, with small messages and large ones.
import type { Crypto } from '@cove/protocol/crypto';
import { discoPublic, nodePublic, PrivateKey } from '@cove/protocol/keys';
import { parseAddr } from '@cove/protocol/netaddr';
import type { Node } from '@cove/protocol/tailcfg';
import type { Clock } from './clock.ts';
import { Conn, type ConnEnvironment } from './conn.ts';
import { DataPath } from './datapath.ts';
import { IpSet } from './filter/ipset.ts';
import { compileRules } from './filter/rules.ts';
import { Linger } from './linger.ts';
import { LoopHold } from './loophold.ts';
import { PathTable } from './magicsock/paths.ts';
import type { NetworkMap } from './netmap.ts';
import { NodeTable } from './nodetable.ts';
import { receiveRoom } from './slab.ts';

const ADDRESSES = ['100.64.0.1', '100.64.0.2'] as const;
const PORT = 7;
const SMALL: Uint8Array = new Uint8Array(64);
const LARGE: Uint8Array = new Uint8Array(6_000);
/** Per step at most; code that is not compiled yet takes ten times as long, so the first steps have fewer. */
const ECHOES = 24;
const STEPS_PER_CONNECTION = 4;
const SLOT_LENGTH = 2048;
/** Rounds of packets that one message may cause. */
const ROUNDS = 64;
/** Milliseconds of their clock: a hop, between echoes, and longer than acknowledgements are delayed. */
const HOP = 0.0625;
const PACE = 2.125;
const PAUSE = 120.5;

export class PathWarmUp {
  readonly #sides: readonly DataPath[];
  readonly #env: ConnEnvironment;
  readonly #room: Uint8Array = receiveRoom();
  /** Side and length of each datagram under way, in the order of their slots. */
  readonly #to: number[] = [];
  readonly #length: number[] = [];
  readonly #from = new PathTable().find('192.0.2.1', 1)!;
  #client: Conn | undefined;
  #steps = 0;
  #now = 1000.5;
  #echoed = 0;

  constructor(crypto: Crypto) {
    const keys = ADDRESSES.map(() => PrivateKey.generate(crypto.randomBytes));
    const nodes = keys.map((key, i) => nobody(i, key.publicBytes(crypto.x25519)));
    const clock: Clock = {
      now: () => this.#now,
      wallNow: () => 0,
      schedule: () => ({ cancel: () => {} }),
    };
    this.#sides = keys.map((nodeKey, i) => this.#open(i, nodeKey, crypto, clock, nodes));
    const hold = new LoopHold(clock);
    this.#env = {
      clock,
      hold,
      linger: new Linger(clock, hold),
      connect: ({ host, port }, handler) =>
        this.#sides[0]!.stack.connect({ remoteAddress: host, remotePort: port, handler }),
    };
    this.#sides[1]!.stack.listen({
      port: PORT,
      accept: (socket) => {
        const conn = new Conn(this.#env, {}, socket);
        conn.on('error', () => {});
        conn.on('data', (bytes: Uint8Array) => conn.write(bytes));
      },
    });
  }

  /** A few milliseconds of work, in the end less than one. Streams do the rest of theirs between steps. */
  step(): void {
    const step = this.#steps++;
    this.#settle();
    const client = this.#client;
    if (client === undefined) {
      this.#connect();
    } else {
      const isLast = step % STEPS_PER_CONNECTION === 0;
      const echoes = Math.min(ECHOES, 1 + (step >> 2));
      for (let i = 0; i < echoes; i++) this.#exchange(client, SMALL);
      if (isLast) this.#exchange(client, LARGE);
      this.#now += PAUSE;
      if (isLast) {
        client.destroy();
        this.#client = undefined;
      }
    }
    this.#settle();
  }

  /** Bytes that came back so far. */
  get echoed(): number {
    return this.#echoed;
  }

  close(): void {
    this.#client?.destroy();
    for (const side of this.#sides) side.close();
  }

  #open(
    i: number,
    nodeKey: PrivateKey,
    crypto: Crypto,
    clock: Clock,
    nodes: readonly Node[],
  ): DataPath {
    const table = new NodeTable(false);
    const own = parseAddr(ADDRESSES[i]!)!;
    const path = new DataPath({
      nodeKey,
      crypto,
      clock,
      nodes: table,
      sink: {
        transmit: (_peer, buf, offset, length) => this.#transmit(1 - i, buf, offset, length),
        reply: () => {},
        wake: () => {},
        suspect: () => {},
        pong: () => {},
        refused: () => {},
        discoKey: () => {},
        discoKeyFor: () => undefined,
        ownAddress: (length) => (length === own.length ? own : undefined),
      },
    });
    path.applyPeers(table.setMap(mapOf(nodes[i]!, nodes[1 - i]!)));
    path.stack.setAddresses([ADDRESSES[i]!]);
    const rules = compileRules([
      { SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65_535 } }] },
    ]);
    path.setFilter(rules, new IpSet([{ first: own, last: own }]), false);
    return path;
  }

  #connect(): void {
    const client = new Conn(this.#env);
    client.on('error', () => {});
    client.on('data', (bytes: Uint8Array) => {
      this.#echoed += bytes.length;
    });
    client.connect({ host: ADDRESSES[1], port: PORT });
    this.#client = client;
  }

  #exchange(client: Conn, message: Uint8Array): void {
    this.#now += PACE;
    client.write(message);
    this.#settle();
  }

  #transmit(to: number, buf: Uint8Array, offset: number, length: number): boolean {
    const at = this.#to.length * SLOT_LENGTH;
    if (length > SLOT_LENGTH || at + SLOT_LENGTH > this.#room.length) return false;
    this.#room.set(buf.subarray(offset, offset + length), at);
    this.#to.push(to);
    this.#length.push(length);
    return false;
  }

  /** Carries packets until none is under way. */
  #settle(): void {
    const [a, b] = this.#sides;
    for (let round = 0; round < ROUNDS; round++) {
      a!.poll(this.#now);
      b!.poll(this.#now);
      const count = this.#to.length;
      if (count === 0) return;
      this.#now += HOP;
      for (let i = 0; i < count; i++) {
        const side = this.#sides[this.#to[i]!]!;
        side.receive(this.#room, i * SLOT_LENGTH, this.#length[i]!, this.#from, this.#now);
      }
      // What was answered meanwhile lies behind, and comes next.
      const left = this.#to.length - count;
      this.#room.copyWithin(0, count * SLOT_LENGTH, (count + left) * SLOT_LENGTH);
      this.#to.splice(0, count);
      this.#length.splice(0, count);
    }
  }
}

function nobody(i: number, key: Uint8Array): Node {
  const addresses = [`${ADDRESSES[i]!}/32`];
  const name = `n${i}`;
  return {
    ...{ ID: i + 1, StableID: name, Name: `${name}.invalid.`, User: 1, MachineAuthorized: true },
    ...{ Key: nodePublic(key), DiscoKey: discoPublic(key) },
    ...{ Addresses: addresses, AllowedIPs: addresses },
  };
}

function mapOf(self: Node, peer: Node): NetworkMap {
  return {
    ...{ self, peers: new Map([[peer.ID, peer]]), users: new Map() },
    ...{ derpMap: undefined, dns: undefined, sshPolicy: undefined, domain: '' },
    ...{ packetFilters: new Map(), filterRules: [], health: [] },
    ...{ displayMessages: new Map(), clockOffset: 0 },
  };
}
