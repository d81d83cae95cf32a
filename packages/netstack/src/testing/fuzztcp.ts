// The stateful fuzz target: bytes become segments, calls of the application and passing time, fed to one TCP layer whose
// invariants (RFC 9293 3.3.1, 3.4, 3.8) are checked after each step. Deep inside the stack on purpose: it looks at the control
// blocks themselves.
import assert from 'node:assert/strict';
import type { FuzzTarget } from '@cove/protocol/testing/fuzztarget';
import { AddressTable } from '../addresses.ts';
import type { StackOptions, TcpHandler, TcpSocket } from '../api.ts';
import { Counters } from '../counters.ts';
import { PacketWriter } from '../output.ts';
import { EphemeralPorts } from '../ports.ts';
import { TcpContext } from '../tcp/context.ts';
import { TcpLayer } from '../tcp/layer.ts';
import { SentFlag } from '../tcp/sent.ts';
import { seqDiff } from '../tcp/seq.ts';
import { Recovery, State, type Tcb } from '../tcp/tcb.ts';
import { TimerHeap } from '../timers.ts';
import { putU16 } from '../wire/bigendian.ts';
import { fold, InternetChecksum, sumBytes } from '../wire/checksum.ts';
import { addressSum, IpFault, IpPacket, Protocol, parseIp, writeIpHeader } from '../wire/packet.ts';
import { Flag, parseTcp, TcpSegment, writeTcpHeader } from '../wire/tcp.ts';
import { patternBytes } from './apps.ts';
import { checkPacket } from './link.ts';
import { SeededRandom } from './random.ts';

const OURS = new Uint8Array([100, 64, 0, 1]);
const PEER = new Uint8Array([100, 64, 0, 2]);
const ADDRESS_SUM = addressSum(OURS, 0, 4) + addressSum(PEER, 0, 4);
const PEER_ISS = 0xffffe000;
const PEER_PORT = 40_000;
const OUR_PORT = 80;
const RECEIVE_LIMIT = 60_000;
const MTU = 1280;
const STEPS = 200;
/** Both streams repeat after this many bytes, a prime; held thrice, so that any 64 KiB of a stream are one piece of it. */
const PERIOD = 65_521;
const OUR_STREAM = stream(1);
const PEER_STREAM = stream(2);
/** What is over when the peer falls silent: R2 and twice the segment lifetime, and time for keep-alives. */
const SILENCE = 4_000_000;

function stream(seed: number): Uint8Array {
  const out = new Uint8Array(3 * PERIOD);
  out.set(patternBytes(seed, 0, PERIOD));
  out.copyWithin(PERIOD, 0, PERIOD);
  out.copyWithin(2 * PERIOD, 0, PERIOD);
  return out;
}

/** `count` bytes of a stream from byte `at` on, which may be negative. */
function piece(of: Uint8Array, at: number, count: number): Uint8Array {
  const from = ((at % PERIOD) + PERIOD) % PERIOD;
  return of.subarray(from, from + count);
}

/** Reads the script; nothing but zeros behind its end. */
class Script {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  u8(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  u16(): number {
    return (this.u8() << 8) | this.u8();
  }
}

class Machine implements TcpHandler {
  readonly #counters = new Counters();
  readonly #ctx: TcpContext;
  readonly #layer: TcpLayer;
  readonly #timers = new TimerHeap();
  readonly #packet = new IpPacket();
  readonly #blocks = new Set<Tcb>();
  #socket: TcpSocket | undefined;
  /** Of later connections between the same ports. */
  readonly #later: TcpSocket[] = [];
  #now = 1000;
  /** What the stack has sent, as the peer saw it: initial number, furthest number, right edge of its window. */
  #iss = -1;
  #sentEnd = 0;
  #edge = -1;
  #edgeOf: Tcb | undefined;
  #localPort = OUR_PORT;
  #peerTs = false;
  #lastTs = 0;
  #peerSent = 1;
  #written = 0;
  #received = 0;
  #irs = 0;
  #reading = true;
  #closedCalls = 0;
  #steps = 0;
  /** Everything emitted, hashed: equal for equal inputs. */
  digest = 0;

  constructor(flags: number, mssChoice: number) {
    const random = new SeededRandom(11);
    const options: StackOptions = {
      randomBytes: (n) => random.bytes(n),
      output: () => {},
      tcp: {
        receiveBuffer: flags & 64 ? 3000 : 20_000,
        receiveBufferLimit: RECEIVE_LIMIT,
        sendBufferLimit: 40_000,
        sack: (flags & 2) !== 0,
        timestamps: (flags & 4) !== 0,
        windowScaling: (flags & 8) !== 0,
        congestion: flags & 16 ? 'newreno' : 'cubic',
      },
    };
    const addresses = new AddressTable(7);
    const writer = new PacketWriter(options, MTU, this.#counters, (buf, offset, length) =>
      this.#emitted(new Uint8Array(buf.subarray(offset, offset + length))),
    );
    const incoming = new InternetChecksum();
    this.#ctx = new TcpContext(options, MTU, this.#counters, writer, incoming, () => random.next());
    this.#ctx.now = this.#now;
    const ports = new EphemeralPorts(random.bytes(16));
    this.#layer = new TcpLayer(this.#ctx, addresses, this.#timers, ports, random.bytes(16), {
      wake() {},
    });
    const { touch } = this.#layer;
    this.#layer.touch = (tcb) => {
      this.#blocks.add(tcb);
      touch.call(this.#layer, tcb);
    };
    const local = addresses.hold(OURS, 0, 4)!;
    local.own = true;
    this.#peerTs = (flags & 32) !== 0;
    const mss = [0, 1000, 64, 1240, 1, 65535, 536, 1460][mssChoice & 7]!;
    const scale = (mssChoice >> 3) % 16 === 15 ? -1 : (mssChoice >> 3) % 16;
    if (flags & 1) {
      const remote = addresses.hold(PEER, 0, 4)!;
      const socket = this.#layer.connect(
        local,
        remote,
        { remoteAddress: '', remotePort: PEER_PORT, handler: this },
        false,
      );
      this.#socket = socket;
      this.#localPort = socket.localPort;
      this.#step();
    } else {
      this.#layer.listen(undefined, {
        port: OUR_PORT,
        accept: (socket) => {
          this.#socket ??= socket;
          if (this.#socket === socket) socket.handler = this;
          else this.#later.push(socket);
        },
      });
    }
    if (flags & 128) return;
    // The peer's part of the handshake, unless the script is to play it.
    const syn = { mss, scale, sack: (mssChoice & 128) === 0 };
    if (flags & 1) {
      this.#send(Flag.SYN | Flag.ACK, 0, 1, 60_000, 0, syn);
      this.#send(Flag.ACK, 1, 1, 60_000, 0);
    } else {
      this.#send(Flag.SYN, 0, 0, 60_000, 0, syn);
      this.#step();
      this.#send(Flag.ACK, 1, 1, 60_000, 0);
    }
    this.#step();
    // A machine that got nowhere would find nothing.
    assert.equal(this.#live?.state, State.ESTABLISHED);
  }

  readable(): void {
    if (this.#reading) this.#drain();
  }

  #drain(): void {
    for (const tcb of this.#blocks) this.#learn(tcb);
    for (let chunk = this.#socket?.read(); chunk !== undefined; chunk = this.#socket?.read()) {
      const at = this.#irs + this.#received;
      assert.ok(
        Buffer.compare(chunk, piece(PEER_STREAM, at, chunk.length)) === 0,
        `what is delivered from byte ${this.#received} on differs`,
      );
      this.#received += chunk.length;
    }
  }

  /** The script may open the connection with any number. */
  #learn(tcb: Tcb): void {
    if (tcb.socket === this.#socket) this.#irs = (tcb.irs - PEER_ISS) | 0;
  }

  closed(): void {
    this.#closedCalls++;
  }

  /** Decodes one action and carries it out. */
  act(script: Script): void {
    const code = script.u8();
    switch (code & 7) {
      case 0:
      case 1:
        this.#anySegment(script, code);
        break;
      case 2:
        // An honest peer takes everything sent so far.
        this.#send(Flag.ACK, this.#peerSent, this.#sentEnd, script.u16(), 0);
        break;
      case 3: {
        const length = 1 + (script.u16() % 1200);
        this.#send(Flag.ACK | Flag.PSH, this.#peerSent, this.#sentEnd, 60_000, length);
        this.#peerSent += length;
        break;
      }
      case 4:
        this.#write(script.u16());
        break;
      case 5:
        this.#application(code >> 3);
        break;
      case 6:
        this.#advance(2 ** (script.u8() / 14));
        return;
      default:
        this.#sackBlocks(script, code);
    }
    if (code < 128) this.#step();
  }

  #application(kind: number): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    if (kind < 4) socket.shutdownWrite();
    else if (kind < 6) socket.close();
    else if (kind === 6) socket.abort();
    else if (kind < 12) this.#reading = false;
    else if (kind < 20) {
      this.#reading = true;
      this.#drain();
    } else if (kind < 24) socket.setNoDelay(kind < 22);
    else if (kind < 26) {
      socket.setKeepAlive(kind === 24 ? { idle: 1000, interval: 500, probes: 3 } : undefined);
    } else if (kind < 28) this.#ctx.paused = kind === 26;
    else this.#layer.pathChanged(() => true, true);
    if (!this.#ctx.paused) this.#layer.touchAll();
  }

  #write(count: number): void {
    if (this.#socket === undefined || this.#written > 4_000_000) return;
    this.#written += this.#socket.write(piece(OUR_STREAM, this.#written, count));
  }

  /** A segment with any flags, near or far from what is expected. */
  #anySegment(script: Script, code: number): void {
    const near = (base: number): number => {
      const choice = script.u8();
      const by = ((choice & 15) << 8) | script.u8();
      switch (choice >> 4) {
        case 0:
          return base;
        case 1:
          return base + by;
        case 2:
          return base - by;
        case 3:
          return base + (by << 4);
        case 4:
          return base - (by << 8);
        case 5:
          return base + (by << 19);
        case 6:
          return this.#edge < 0 ? base : this.#edge - by;
        case 7:
          return this.#edge < 0 ? base : this.#edge + (by & 255) - 128;
        case 8:
          return base - 1;
        case 9:
          return 0;
        default:
          return base + ((by & 255) - 128);
      }
    };
    const flags = script.u8() & 63;
    const seq = near(this.#peerSent);
    const ack = near(this.#sentEnd);
    const window = script.u16();
    const length = code & 64 ? script.u16() % 1240 : 0;
    this.#send(flags, seq, ack, window, length);
    const isNext = seq === this.#peerSent;
    if (isNext) this.#peerSent += length;
  }

  /** Up to three SACK blocks, in units of 100 bytes above the acknowledgement. */
  #sackBlocks(script: Script, code: number): void {
    const ack = Math.max(1, this.#sentEnd - 100 * script.u8());
    const sack: [number, number][] = [];
    for (let n = (code >> 3) & 3; n >= 0; n--) {
      const left = ack + 100 * script.u8() - (script.u8() & 64 ? 300 : 0);
      sack.push([left, left + 100 * (script.u8() & 31)]);
    }
    this.#send(Flag.ACK, this.#peerSent, ack, 60_000, 0, { blocks: sack });
  }

  /** Sends a segment to the stack; numbers are relative, payload is the peer's stream at that place. */
  #send(
    flags: number,
    seq: number,
    ack: number,
    window: number,
    length: number,
    extra: {
      mss?: number;
      scale?: number;
      sack?: boolean;
      blocks?: readonly (readonly [number, number])[];
    } = {},
  ): void {
    const segment = new TcpSegment();
    segment.sourcePort = PEER_PORT;
    segment.destinationPort = this.#localPort;
    segment.flags = flags;
    segment.seq = (PEER_ISS + seq) >>> 0;
    segment.ack = flags & Flag.ACK ? (Math.max(this.#iss, 0) + ack) >>> 0 : 0;
    segment.window = window;
    segment.mss = extra.mss ?? 0;
    segment.windowScale = extra.scale ?? -1;
    segment.sackPermitted = extra.sack ?? false;
    if (this.#peerTs) {
      segment.hasTimestamps = true;
      segment.tsVal = Math.floor(this.#now) >>> 0;
      segment.tsEcr = flags & Flag.ACK ? this.#lastTs : 0;
    }
    for (const [left, right] of extra.blocks ?? []) {
      segment.sackLeft[segment.sackCount] = this.#iss + left;
      segment.sackRight[segment.sackCount] = this.#iss + right;
      segment.sackCount++;
    }
    if (segment.hasTimestamps && segment.sackCount > 3) segment.sackCount = 3;
    const bytes = new Uint8Array(20 + 60 + length);
    const header = writeTcpHeader(bytes, 20, segment);
    bytes.set(piece(PEER_STREAM, (seq - 1) | 0, length), 20 + header);
    const total = header + length;
    writeIpHeader(bytes, 0, 4, Protocol.TCP, PEER, 0, OURS, 0, ADDRESS_SUM, total);
    putU16(bytes, 36, ~fold(sumBytes(bytes, 20, total) + ADDRESS_SUM + Protocol.TCP + total));
    this.#ctx.now = this.#now;
    assert.equal(parseIp(bytes, 0, 20 + total, this.#packet), IpFault.NONE);
    this.#layer.input(bytes, this.#packet, true);
  }

  get #live(): Tcb | undefined {
    let live: Tcb | undefined;
    for (const tcb of this.#blocks) if (tcb.state !== State.CLOSED) live = tcb;
    return live;
  }

  /** The stack sent a packet. */
  #emitted(bytes: Uint8Array): void {
    checkPacket(bytes, MTU);
    // Headers are enough: payload is compared below.
    for (let i = 0; i < bytes.length && i < 80; i++) {
      this.digest = (Math.imul(this.digest, 31) + bytes[i]!) | 0;
    }
    const packet = new IpPacket();
    parseIp(bytes, 0, bytes.length, packet);
    const segment = new TcpSegment();
    assert.ok(parseTcp(bytes, packet.payload, packet.payloadLength, segment));
    if (segment.flags & Flag.RST) return;
    if (segment.hasTimestamps) this.#lastTs = segment.tsVal;
    const tcb = this.#live;
    if (tcb === undefined) return;
    if (tcb.iss !== this.#iss) {
      // The first connection, or one after it between the same ports.
      this.#iss = tcb.iss;
      this.#sentEnd = 1;
    }
    if (segment.flags & Flag.SYN || tcb.socket !== this.#socket) return;
    const seq = (segment.seq - this.#iss) | 0;
    const end = seq + segment.sequenceLength;
    assert.ok(end <= this.#written + 2, `sent up to ${end} of ${this.#written} bytes written`);
    const sent = bytes.subarray(segment.payload, segment.payload + segment.payloadLength);
    assert.ok(
      Buffer.compare(sent, piece(OUR_STREAM, seq - 1, sent.length)) === 0,
      `what is sent from byte ${seq - 1} on differs`,
    );
    this.#sentEnd = Math.max(this.#sentEnd, end);
  }

  /** A batch ends: the application and the sender get their turn, then everything is checked. */
  #step(): void {
    this.#ctx.now = this.#now;
    for (let i = 0; i < 64; i++) {
      // As if others had sent before in this poll.
      this.#ctx.budget = this.#steps++ % 4 === 0 ? 1 : 64;
      this.#layer.poll();
      if (!this.#layer.due) break;
      this.#now += 0.01;
      this.#ctx.now = this.#now;
    }
    for (const tcb of this.#blocks) this.#check(tcb);
  }

  #advance(ms: number): void {
    const end = this.#now + ms;
    for (let i = 0; i < 3000; i++) {
      const at = this.#timers.next;
      if (at === undefined || at > end) break;
      this.#now = Math.max(this.#now, at);
      this.#step();
    }
    this.#now = end;
    this.#step();
  }

  #check(tcb: Tcb): void {
    const { sent, state } = tcb;
    this.#learn(tcb);
    assert.ok(tcb.queue.length <= RECEIVE_LIMIT + 65_535, 'receive queue is bounded');
    if (state === State.CLOSED) {
      this.#blocks.delete(tcb);
      assert.equal(sent.count, 0, 'a closed connection has nothing in flight');
      if (this.#blocks.size === 0) assert.equal(this.#timers.next, undefined, 'no timer is left');
      return;
    }
    if (state < State.ESTABLISHED) return;
    const outstanding = seqDiff(tcb.sndNxt, tcb.sndUna);
    assert.ok(outstanding >= 0, 'UNA <= NXT');
    assert.ok(outstanding <= tcb.maxSndWnd + 2, `NXT is ${outstanding} beyond UNA`);
    let bytes = 0;
    let sacked = 0;
    let lost = 0;
    for (let i = 0; i < sent.count; i++) {
      const length = sent.length(i);
      const flags = sent.flags(i);
      assert.equal(seqDiff(sent.seq(i), tcb.sndUna), bytes, 'sent segments are contiguous');
      bytes += length;
      if (flags & SentFlag.SACKED) sacked += length;
      if (flags & SentFlag.LOST) lost += length;
      assert.ok((flags & (SentFlag.SACKED | SentFlag.LOST)) < 3, 'SACKED or LOST, not both');
    }
    if (state !== State.TIME_WAIT) {
      assert.equal(bytes, outstanding, 'everything outstanding is remembered');
    }
    assert.equal(sent.bytes, bytes, 'bytes');
    assert.equal(sent.sackedBytes, sacked, 'sacked bytes');
    assert.equal(sent.lostBytes, lost, 'lost bytes');
    assert.ok(sent.inFlight >= 0 && tcb.flight >= 0, 'pipe is not negative');
    assert.ok(tcb.congestion.cwnd > 0 && tcb.congestion.cwnd < 1e9, `cwnd ${tcb.congestion.cwnd}`);
    assert.ok(tcb.congestion.ssthresh > 0, 'ssthresh');
    if (tcb.recovery === Recovery.FAST) assert.ok(tcb.recoveryWindow >= 0, 'recovery window');
    const edge = (tcb.rcvAdv - PEER_ISS) | 0;
    if (this.#edgeOf === tcb) assert.ok(edge >= this.#edge, 'the right edge never moves left');
    this.#edge = edge;
    this.#edgeOf = tcb;
    if (this.#ctx.paused || tcb.dirty) return;
    // Nobody is waited for without a timer.
    const timer = Math.min(tcb.rexmitAt, tcb.persistAt);
    if (sent.count > 0) assert.ok(timer < Number.POSITIVE_INFINITY, 'data in flight, no timer');
    else if (tcb.unsent > 0) assert.ok(timer < Number.POSITIVE_INFINITY, 'data unsent, no timer');
    if (timer < Number.POSITIVE_INFINITY) {
      assert.ok(timer <= this.#now + 61_000 * 1.1, 'timers are bounded');
      assert.ok(this.#timers.next !== undefined, 'the heap knows');
    }
  }

  /** The peer is gone and so is the application: nothing may be left. */
  finish(): void {
    this.#ctx.paused = false;
    this.#layer.touchAll();
    this.#advance(SILENCE);
    this.#reading = true;
    this.#drain();
    this.#socket?.abort();
    for (const socket of this.#later) socket.abort();
    this.#step();
    this.#advance(300_000);
    assert.equal(this.#layer.connectionCount, 0, 'no connection is left');
    assert.equal(this.#timers.next, undefined, 'no timer is left');
    assert.ok(this.#closedCalls <= 1, 'closed is told once');
    if (this.#socket !== undefined) assert.equal(this.#closedCalls, 1, 'closed is told');
    assert.equal(this.#ctx.queued, 0, 'nothing counts as queued');
  }
}

function play(input: Uint8Array): number {
  const script = new Script(input);
  const machine = new Machine(script.u8(), script.u8());
  for (let i = 0; i < STEPS && !script.done; i++) machine.act(script);
  machine.finish();
  return machine.digest;
}

const SCRIPTS: readonly (readonly number[])[] = [
  [0x0e, 0x01, 0x04, 0x10, 0x00, 0x02, 0xff, 0xff, 0x03, 0x02, 0x00, 0x05],
  [0x2f, 0x39, 0x04, 0x40, 0x00, 0x07, 0x08, 0x02, 0x00, 0x02, 0x06, 0x90, 0x02, 0xff, 0xff],
  [0x0f, 0x01, 0x04, 0x40, 0x00, 0x02, 0x00, 0x00, 0x06, 0xc0, 0x02, 0xff, 0xff, 0x25, 0x06, 0x80],
  [0x8e, 0x01, 0x00, 0x02, 0x90, 0x00, 0x90, 0x00, 0xff, 0xff, 0x00, 0x12, 0x00, 0x00, 0x00, 0x00],
];

export const tcpTarget: FuzzTarget = {
  name: 'tcp',
  maxLength: 600,
  seeds: SCRIPTS.map((script) => Uint8Array.from(script)),
  words: [
    [0x02, 0xff, 0xff],
    [0x04, 0x20, 0x00],
    [0x03, 0x03, 0xe8],
    [0x06, 0x90],
    [0x06, 0xf0],
    [0x05],
    [0x25],
    [0x07, 0x08, 0x00, 0x02],
    [0x00, 0x11, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff],
    [0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
  ].map((word) => Uint8Array.from(word)),
  run(input) {
    const digest = play(input);
    // The same input leads to the same output; asked of some, because it doubles the work.
    if (((input[input.length - 1] ?? 0) & 15) === 0) {
      assert.equal(play(input), digest, 'the same script twice');
    }
  },
};
