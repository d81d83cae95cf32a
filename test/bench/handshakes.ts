// WireGuard handshakes answered per second, in memory and with one responder: the initiations of many peers are made
// before, and the same ones go to Cove's device (in a process of its own) and to wireguard-go's (test/interop/go/benchpeer).
// As a program: `handshakes.js FILE default|noble` answers those of the file and prints {"perSecond": N}.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nodeCrypto } from '@cove/crypto';
import type { Crypto } from '@cove/protocol/crypto';
import { PrivateKey } from '@cove/protocol/keys';
import { nobleCrypto } from '@cove/protocol/noblecrypto';
import { Device, type DeviceSink } from '@cove/wireguard';
import { peerPath } from '../harness/peers.ts';
import type { Flavour } from './pairings.ts';

const PROGRAM = fileURLToPath(import.meta.url);
const PEERS = 1000;
/** Milliseconds of the device's clock between two initiations, so that it never counts as under load. */
const SPACING = 100;
const execute = promisify(execFile);

/** Keys and messages in base64. */
interface Exercise {
  readonly privateKey: string;
  readonly peers: readonly { readonly publicKey: string; readonly initiation: string }[];
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const binary = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));
const random = (n: number): Uint8Array => new Uint8Array(randomBytes(n));

function device(
  crypto: Crypto,
  privateKey: PrivateKey,
  transmit: DeviceSink['transmit'],
): Device<undefined, string> {
  return new Device<undefined, string>({
    privateKey,
    crypto,
    wallClock: () => ({ seconds: Math.floor(Date.now() / 1000), nanos: 0 }),
    sink: {
      transmit,
      reply: () => {},
      deliver: () => {},
      roamed: () => {},
      handshakeComplete: () => {},
      handshakeFailed: () => {},
      peerForgotten: () => {},
      sourceBytes: (from) => Buffer.from(from),
    },
  });
}

/** Writes the exercise that both responders get. */
export function writeExercise(file: string): void {
  const crypto = nodeCrypto();
  const responder = PrivateKey.generate(random);
  const publicKey = responder.publicBytes(crypto.x25519);
  const peers = Array.from({ length: PEERS }, () => {
    const key = PrivateKey.generate(random);
    let initiation = '';
    const initiator = device(crypto, key, (_peer, buf, offset, length) => {
      initiation = text(buf.subarray(offset, offset + length));
    });
    initiator.wake(initiator.addPeer({ publicKey, allowedIPs: [], context: undefined }, 0), 0);
    initiator.close();
    return { publicKey: text(key.publicBytes(crypto.x25519)), initiation };
  });
  const exercise: Exercise = { privateKey: text(responder.expose()), peers };
  writeFileSync(file, JSON.stringify(exercise), { mode: 0o600 });
}

/** Handshakes per second of one kind of node, in a fresh process. */
export async function handshakeRate(flavour: Flavour, file: string): Promise<number> {
  const [program, ...args] =
    flavour === 'go'
      ? [peerPath('benchpeer'), '-handshakes', file]
      : [process.execPath, PROGRAM, file, flavour === 'cove-js' ? 'noble' : 'default'];
  const { stdout } = await execute(program!, args, { timeout: 60_000 });
  return (JSON.parse(stdout) as { perSecond: number }).perSecond;
}

function respond(file: string, tier: string): number {
  const exercise = JSON.parse(readFileSync(file, 'utf8')) as Exercise;
  const crypto = tier === 'noble' ? nobleCrypto(random) : nodeCrypto();
  let answered = 0;
  const responder = device(crypto, PrivateKey.fromBytes(binary(exercise.privateKey)), () => {
    answered++;
  });
  const initiations = exercise.peers.map(({ publicKey, initiation }) => {
    const config = { publicKey: binary(publicKey), allowedIPs: [], context: undefined };
    responder.addPeer(config, 0);
    return binary(initiation);
  });
  const from = performance.now();
  for (const [i, message] of initiations.entries()) {
    responder.receive(message, 0, message.length, i * SPACING, 'memory');
  }
  const took = performance.now() - from;
  if (answered !== PEERS) throw new Error(`answered ${answered} of ${PEERS}`);
  return PEERS / (took / 1000);
}

if (process.argv[1] === PROGRAM) {
  console.log(JSON.stringify({ perSecond: respond(process.argv[2]!, process.argv[3]!) }));
}
