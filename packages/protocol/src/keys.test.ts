import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { ProtocolError, toHex } from './bytes.ts';
import {
  challengePublic,
  discoPublic,
  isZeroKey,
  machinePublic,
  nlPublic,
  nodePublic,
  PrivateKey,
  parseChallengePublic,
  parseDiscoPublic,
  parseMachinePublic,
  parseNLPublic,
  parseNodePublic,
  publicBytes,
  shortKey,
  ZERO_CHALLENGE_PUBLIC,
  ZERO_DISCO_PUBLIC,
  ZERO_MACHINE_PUBLIC,
  ZERO_NL_PUBLIC,
  ZERO_NODE_PUBLIC,
} from './keys.ts';
import { nobleX25519 } from './noblecrypto.ts';

const badKey = (error: unknown): boolean =>
  error instanceof ProtocolError && error.code === 'ERR_BAD_KEY';
const AB = 'aB'.repeat(32);

const KINDS = [
  { prefix: 'nodekey:', make: nodePublic, parse: parseNodePublic, zero: ZERO_NODE_PUBLIC },
  { prefix: 'mkey:', make: machinePublic, parse: parseMachinePublic, zero: ZERO_MACHINE_PUBLIC },
  { prefix: 'discokey:', make: discoPublic, parse: parseDiscoPublic, zero: ZERO_DISCO_PUBLIC },
  {
    prefix: 'chalpub:',
    make: challengePublic,
    parse: parseChallengePublic,
    zero: ZERO_CHALLENGE_PUBLIC,
  },
  { prefix: 'nlpub:', make: nlPublic, parse: parseNLPublic, zero: ZERO_NL_PUBLIC },
];

for (const { prefix, make, parse, zero } of KINDS) {
  test(`${prefix} text is read in both cases and written in lower case`, () => {
    assert.equal(parse(prefix + AB), prefix + AB.toLowerCase());
    assert.equal(make(new Uint8Array(32).fill(0xab)), prefix + AB.toLowerCase());
    assert.equal(toHex(publicBytes(parse(prefix + AB))), AB.toLowerCase());
    assert.equal(parse(zero), zero);
    assert.equal(isZeroKey(zero), true);
    assert.equal(isZeroKey(parse(prefix + AB)), false);
    assert.throws(() => make(new Uint8Array(31)), badKey);
  });

  test(`${prefix} text of another prefix, length or alphabet is refused`, () => {
    const good = prefix + AB;
    const bad = ['', prefix, AB, good.slice(0, -1), `${good}0`, ` ${good}`, `${good}\n`];
    bad.push(
      prefix.toUpperCase() + AB,
      `${good.slice(0, -1)}g`,
      `privkey:${AB}`,
      prefix + AB.slice(2),
    );
    for (let n = 0; n < good.length; n++) bad.push(good.slice(0, n));
    for (const other of KINDS) if (other.prefix !== prefix) bad.push(other.prefix + AB);
    for (const text of bad) assert.throws(() => parse(text), badKey, text);
  });
}

test('the command-line form of a tailnet lock key is read', () => {
  assert.equal(parseNLPublic(`tlpub:${AB}`), `nlpub:${AB.toLowerCase()}`);
});

test('a private key is generated clamped (RFC 7748 section 5) and round-trips as text', () => {
  const key = PrivateKey.generate((n) => new Uint8Array(n).fill(0xff));
  assert.equal(key.exposeText(), `privkey:f8${'ff'.repeat(30)}7f`);
  assert.deepEqual(PrivateKey.parse(key.exposeText()).expose(), key.expose());
  assert.equal(PrivateKey.parse(`privkey:${AB}`).exposeText(), `privkey:${AB.toLowerCase()}`);
  assert.deepEqual(key.publicBytes(nobleX25519), nobleX25519.publicKey(key.expose()));
});

test('a private key does not share memory with what it was made of, a Buffer included', () => {
  const buffer = Buffer.alloc(32, 7);
  const key = PrivateKey.fromBytes(buffer);
  const generated = PrivateKey.generate(() => buffer);
  buffer.fill(0);
  assert.equal(key.exposeText(), `privkey:${'07'.repeat(32)}`);
  assert.notEqual(generated.expose()[5], 0);
});

test('a zero, short or misnamed private key is refused, and the error repeats nothing of it', () => {
  assert.throws(() => PrivateKey.fromBytes(new Uint8Array(32)), badKey);
  assert.throws(() => PrivateKey.fromBytes(new Uint8Array(31).fill(1)), badKey);
  for (const text of [
    `privkey:${'0'.repeat(64)}`,
    `nodekey:${AB}`,
    `PRIVKEY:${AB}`,
    `privkey:${AB}00`,
    '',
  ]) {
    assert.throws(
      () => PrivateKey.parse(text),
      (error) => badKey(error) && !inspect(error).includes('aBaB'),
    );
  }
});

test('printing, inspecting or serialising a private key shows no byte of it', () => {
  const key = PrivateKey.fromBytes(new Uint8Array(32).fill(0xab));
  for (const text of [
    inspect(key),
    inspect({ nested: [key] }, { depth: 9, showHidden: true }),
    String(key),
    `${key}`,
    JSON.stringify({ key }),
    JSON.stringify(Object.entries(key)),
  ]) {
    assert.doesNotMatch(text, /abab|171/i);
  }
  assert.equal(inspect(key), '[private key]');
});

test('short forms are those people compare', () => {
  assert.equal(shortKey(nodePublic(new Uint8Array(32).fill(0xab))), '[q6urq]');
  assert.equal(shortKey(discoPublic(new Uint8Array(32).fill(0xab))), 'd:abababababababab');
});

test('any text gives a key or ERR_BAD_KEY', () => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom(...KINDS), (text, { prefix, parse }) => {
      assert.throws(() => parse(prefix + text), badKey);
      assert.throws(() => parse(text as never), badKey);
    }),
  );
});
