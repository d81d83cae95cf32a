// The first handshake and the first discovery messages of a process take ten times as long as the next, because the
// code behind them was never run. A node runs it once, with keys of nobody, while it has nothing to do yet. What packets
// run through follows with the first connection: a node without any shall not pay for it.
import { BOX_NONCE_LENGTH, boxSharedKey, type Crypto } from '@cove/protocol/crypto';
import {
  DISCO_TXID_LENGTH,
  encodeDisco,
  openDisco,
  parseDisco,
  sealDisco,
} from '@cove/protocol/disco';
import { PrivateKey } from '@cove/protocol/keys';
import { Device, type DeviceSink } from '@cove/wireguard';
import { PathWarmUp } from './pathwarmup.ts';

/** More make it only a little faster, and cost more of the start. */
const ROUNDS = 6;
const MESSAGES = 5;

/** Whoever wants a single answer of a peer nearby has had it by then. */
const PATH_DELAY = 20;
/** Some three thousand echoes within a second: what is left to compile after them comes rarely. */
const PATH_STEPS = 200;
const PATH_INTERVAL = 3;

let isWarm = false;
let isPathWarm = false;

/** Spreads some 25 ms of work over turns of the event loop; only the first call in a process does anything. */
export function warmUp(crypto: Crypto): void {
  if (isWarm) return;
  isWarm = true;
  let round = 0;
  const next = (): void => {
    exchangeDisco(crypto);
    shakeHands(crypto);
    if (++round < ROUNDS) setImmediate(next);
  };
  setImmediate(next);
}

/**
 * The node has a connection. Takes a third of a second in all, in pieces of a millisecond or a few; only the first call
 * in a process does anything, and the process may end before it is done.
 */
export function warmUpPath(crypto: Crypto): void {
  if (isPathWarm) return;
  isPathWarm = true;
  setTimeout(() => {
    const path = new PathWarmUp(crypto);
    let step = 0;
    const timer = setInterval(() => {
      path.step();
      if (++step < PATH_STEPS) return;
      clearInterval(timer);
      path.close();
    }, PATH_INTERVAL);
    timer.unref();
  }, PATH_DELAY).unref();
}

function exchangeDisco(crypto: Crypto): void {
  const { x25519, randomBytes } = crypto;
  const ours = PrivateKey.generate(randomBytes);
  const publicKey = ours.publicBytes(x25519);
  const shared = boxSharedKey(x25519, ours.expose(), publicKey);
  for (let i = 0; i < MESSAGES; i++) {
    const txId = randomBytes(DISCO_TXID_LENGTH);
    const inner = encodeDisco({ type: 'ping', txId, nodeKey: publicKey });
    const sealed = sealDisco(shared, publicKey, randomBytes(BOX_NONCE_LENGTH), inner);
    const opened = openDisco(shared, sealed);
    if (opened) parseDisco(opened);
  }
}

function shakeHands(crypto: Crypto): void {
  const toB: Uint8Array[] = [];
  const toA: Uint8Array[] = [];
  const keyA = PrivateKey.generate(crypto.randomBytes);
  const keyB = PrivateKey.generate(crypto.randomBytes);
  const a = device(crypto, keyA, toB);
  const b = device(crypto, keyB, toA);
  const publicKey = keyB.publicBytes(crypto.x25519);
  const allowedIPs: [] = [];
  b.addPeer({ publicKey: keyA.publicBytes(crypto.x25519), allowedIPs, context: undefined }, 0);
  a.wake(a.addPeer({ publicKey, allowedIPs, context: undefined }, 0), 0);
  for (const initiation of toB.splice(0)) b.receive(initiation, 0, initiation.length, 0, undefined);
  for (const response of toA.splice(0)) a.receive(response, 0, response.length, 0, undefined);
  a.close();
  b.close();
}

function device(
  crypto: Crypto,
  privateKey: PrivateKey,
  sent: Uint8Array[],
): Device<undefined, undefined> {
  const send = (buf: Uint8Array, offset: number, length: number): void =>
    void sent.push(buf.slice(offset, offset + length));
  const sink: DeviceSink<undefined, undefined> = {
    transmit: (_peer, buf, offset, length) => send(buf, offset, length),
    reply: (buf, offset, length) => send(buf, offset, length),
    deliver: () => {},
    roamed: () => {},
    handshakeComplete: () => {},
    handshakeFailed: () => {},
    peerForgotten: () => {},
    sourceBytes: () => privateKey.expose(),
  };
  return new Device({
    privateKey,
    crypto,
    wallClock: () => ({ seconds: 0, nanos: 0 }),
    lookupPeer: () => undefined,
    sink,
  });
}
