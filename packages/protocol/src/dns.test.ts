import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concat, fromHex, ProtocolError, toHex, utf8Encode } from './bytes.ts';
import {
  type DnsData,
  type DnsMessage,
  DnsRcode,
  type DnsRecord,
  DnsType,
  ednsUdpLength,
  encodeDns,
  parseDns,
  parseDnsQuery,
} from './dns.ts';
import { nameLabels, parseName, parseReverseName, reverseName } from './dnsname.ts';
import { parseAddr } from './netaddr.ts';

const code =
  (wanted: string) =>
  (error: unknown): boolean =>
    error instanceof ProtocolError && error.code === wanted;

const EMPTY: DnsMessage = {
  id: 0x1234,
  response: true,
  opcode: 0,
  authoritative: true,
  truncated: false,
  recursionDesired: true,
  recursionAvailable: true,
  authenticData: false,
  checkingDisabled: false,
  rcode: DnsRcode.noError,
  questions: [],
  answers: [],
  authorities: [],
  additionals: [],
};

const record = (name: string, type: number, data: DnsData, ttl = 5): DnsRecord => ({
  name,
  type,
  class: 1,
  ttl,
  data,
});

const EVERYTHING: DnsMessage = {
  ...EMPTY,
  questions: [{ name: 'go.Tail1.ts.net', type: DnsType.ANY, class: 1 }],
  answers: [
    record('go.Tail1.ts.net', DnsType.A, { kind: 'address', addr: parseAddr('100.64.0.1')! }),
    record('go.Tail1.ts.net', DnsType.AAAA, { kind: 'address', addr: parseAddr('fd7a::1')! }),
    record('1.0.64.100.in-addr.arpa', DnsType.PTR, { kind: 'name', target: 'go.Tail1.ts.net' }),
    record('www.go.Tail1.ts.net', DnsType.CNAME, { kind: 'name', target: 'go.Tail1.ts.net' }),
    record('Tail1.ts.net', DnsType.MX, { kind: 'mx', preference: 10, target: 'mail.ts.net' }),
    record('_x._tcp.ts.net', DnsType.SRV, {
      kind: 'srv',
      priority: 1,
      weight: 2,
      port: 443,
      target: 'go.Tail1.ts.net',
    }),
    record('ts.net', DnsType.TXT, {
      kind: 'txt',
      strings: [utf8Encode('a=b'), new Uint8Array(0), new Uint8Array(255)],
    }),
  ],
  authorities: [
    record('ts.net', DnsType.SOA, {
      kind: 'soa',
      primary: 'ts.net',
      mailbox: 'ts.net',
      serial: 4_000_000_000,
      refresh: 10,
      retry: 10,
      expire: 10,
      minimum: 10,
    }),
    record('ts.net', DnsType.NS, { kind: 'name', target: 'ns.ts.net' }),
  ],
  additionals: [
    {
      name: '',
      type: DnsType.OPT,
      class: 1232,
      ttl: 0,
      data: { kind: 'raw', bytes: fromHex('00') },
    },
  ],
};

test('a query and its answer have the bytes of any resolver', () => {
  // dig +noedns example.com A: the query as it goes over the wire, the answer compressed to the question's name.
  const query = fromHex('beef01000001000000000000076578616d706c6503636f6d0000010001');
  assert.deepEqual(parseDnsQuery(query)?.question, { name: 'example.com', type: 1, class: 1 });
  const parsed = parseDns(query);
  assert.deepEqual(encodeDns(parsed), query);
  const answer = encodeDns({
    ...parsed,
    response: true,
    recursionAvailable: true,
    answers: [
      record('example.com', DnsType.A, { kind: 'address', addr: parseAddr('93.184.216.34')! }, 300),
    ],
  });
  assert.equal(
    toHex(answer),
    'beef81800001000100000000076578616d706c6503636f6d0000010001c00c000100010000012c00045db8d822',
  );
});

test('names are compressed to any earlier suffix (the example of RFC 1035 4.1.4)', () => {
  const bare = (name: string): DnsRecord => record(name, 99, { kind: 'raw', bytes: fromHex('') });
  const bytes = encodeDns({
    ...EMPTY,
    answers: [bare('F.ISI.ARPA'), bare('FOO.F.ISI.ARPA'), bare('ARPA'), bare('')],
  });
  const rest = '00630001000000050000';
  assert.equal(
    toHex(bytes.subarray(12)),
    ['014603495349044152504100', '03464f4fc00c', 'c012', '00'].map((name) => name + rest).join(''),
  );
});

test('every kind of record survives encoding and parsing', () => {
  assert.deepEqual(parseDns(encodeDns(EVERYTHING)), EVERYTHING);
});

test('every truncation of a message is a typed error, and of a query no exception', () => {
  const bytes = encodeDns(EVERYTHING);
  for (let n = 0; n < bytes.length; n++) {
    const cut = bytes.subarray(0, n);
    assert.throws(
      () => parseDns(cut),
      (error) => error instanceof ProtocolError,
      `${n} bytes`,
    );
    const query = parseDnsQuery(cut);
    assert.equal(query !== undefined, n >= 12);
    assert.equal(query?.question !== undefined, n >= 12 + 21);
  }
});

test('any bytes behind a header are read or refused with a typed error', () => {
  const header = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 }));
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc
      .constantFrom('c00c', '00', '0161', 'c010', '00010001', '0000000a0004', '000f0001')
      .map(fromHex),
  );
  fc.assert(
    fc.property(header, fc.array(piece, { maxLength: 12 }), ([questions, answers], pieces) => {
      const counts = Uint8Array.of(0, questions, 0, answers, 0, 0, 0, 0);
      const bytes = concat(fromHex('00010100'), counts, ...pieces);
      try {
        const message = parseDns(bytes);
        assert.deepEqual(parseDns(encodeDns(message)), message);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

test('pointers that loop, lead forward or chain for ever are refused; the work stays bounded', () => {
  const at = (hex: string): Uint8Array => concat(new Uint8Array(12), fromHex(hex));
  assert.throws(() => parseName(at('c00c'), 12), code('ERR_MALFORMED'));
  assert.throws(() => parseName(at('0161c00c'), 12), code('ERR_MALFORMED'));
  assert.throws(() => parseName(at('c00e00'), 12), code('ERR_MALFORMED'));
  assert.throws(() => parseName(at('c00ec00c'), 14), code('ERR_MALFORMED'));
  // 200 pointers, each to the one before it, the first to a root label.
  const chain = concat(
    new Uint8Array(1),
    ...Array.from({ length: 200 }, (_, i) => {
      const target = i === 0 ? 0 : 1 + 2 * (i - 1);
      return Uint8Array.of(0xc0 | (target >> 8), target);
    }),
  );
  assert.equal(parseName(chain, 1 + 2 * 40).name, '');
  assert.throws(() => parseName(chain, 1 + 2 * 199), code('ERR_MALFORMED'));
  for (const type of ['40', '80', 'bf']) {
    assert.throws(() => parseName(at(`${type}00`), 12), code('ERR_MALFORMED'));
  }
});

test('a name of 255 bytes is the longest (RFC 1035 2.3.4)', () => {
  const label = 'a'.repeat(63);
  const longest = [label, label, label, 'a'.repeat(61)].join('.');
  const wire = concat(
    ...nameLabels(longest).flatMap((l) => [Uint8Array.of(l.length), l]),
    fromHex('00'),
  );
  assert.equal(wire.length, 255);
  assert.equal(parseName(wire, 0).name, longest);
  assert.throws(() => nameLabels(`${longest}a`), code('ERR_TOO_LARGE'));
  assert.throws(() => nameLabels('a'.repeat(64)), code('ERR_TOO_LARGE'));
  const over = concat(
    wire.subarray(0, 192),
    fromHex('3e'),
    new Uint8Array(62).fill(97),
    fromHex('00'),
  );
  assert.throws(() => parseName(over, 0), code('ERR_TOO_LARGE'));
});

test('any bytes in labels survive the text form; broken text is a typed error', () => {
  const label = fc.uint8Array({ minLength: 1, maxLength: 63 });
  fc.assert(
    fc.property(fc.array(label, { minLength: 1, maxLength: 3 }), (labels) => {
      const wire = concat(...labels.flatMap((l) => [Uint8Array.of(l.length), l]), Uint8Array.of(0));
      const { name } = parseName(wire, 0);
      assert.match(name, /^[\x21-\x7e]+$/);
      assert.deepEqual(
        nameLabels(name),
        labels.map((l) => Uint8Array.from(l)),
      );
      assert.deepEqual(nameLabels(`${name}.`), nameLabels(name));
    }),
  );
  for (const text of ['.a', 'a..b', 'a\\', 'a\\25', 'a\\256', 'a..']) {
    assert.throws(() => nameLabels(text), code('ERR_MALFORMED'), text);
  }
});

test('data that does not fit its type is refused', () => {
  const answer = (type: string, data: string): Uint8Array => {
    const length = (data.length / 2).toString(16).padStart(4, '0');
    return fromHex(`000081800000000100000000${`00${type}000100000000${length}${data}`}`);
  };
  for (const [type, data] of [
    ['0001', '010203'],
    ['001c', '01020304'],
    ['0005', ''],
    ['0005', '0000'],
    ['000f', '0001'],
    ['0021', '000100020003'],
    ['0010', '0561'],
    ['0006', '0000'],
  ] as const) {
    assert.throws(
      () => parseDns(answer(type, data)),
      (error) => error instanceof ProtocolError,
      `${type} ${data}`,
    );
  }
});

test('what does not fit is cut by whole records, TC set, OPT kept', () => {
  const many: DnsMessage = {
    ...EVERYTHING,
    answers: Array.from({ length: 100 }, (_, i) =>
      record('go.Tail1.ts.net', DnsType.A, { kind: 'address', addr: Uint8Array.of(100, 64, 0, i) }),
    ),
  };
  assert.equal(ednsUdpLength(many), 1232);
  assert.equal(ednsUdpLength(EMPTY), 512);
  for (const limit of [100, 512, ednsUdpLength(many)]) {
    const bytes = encodeDns(many, limit);
    assert.ok(bytes.length <= limit && bytes.length > limit - 16, `${bytes.length} of ${limit}`);
    const parsed = parseDns(bytes);
    assert.equal(parsed.truncated, true);
    assert.deepEqual(parsed.answers, many.answers.slice(0, parsed.answers.length));
    assert.deepEqual(parsed.authorities, []);
    assert.deepEqual(parsed.additionals, many.additionals);
  }
  assert.equal(parseDns(encodeDns(many)).truncated, false);
  assert.throws(() => encodeDns(many, 20), code('ERR_TOO_LARGE'));
});

test('reverse names stand for their address (RFC 1035 3.5, RFC 3596 2.5)', () => {
  assert.equal(reverseName(parseAddr('100.64.0.1')!), '1.0.64.100.in-addr.arpa');
  assert.equal(
    reverseName(parseAddr('4321:0:1:2:3:4:567:89ab')!),
    'b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
      ),
      (addr) => {
        assert.deepEqual(
          parseReverseName(`${reverseName(addr).toUpperCase()}.`),
          Uint8Array.from(addr),
        );
      },
    ),
  );
  for (const name of [
    '1.2.3.in-addr.arpa',
    '256.0.0.1.in-addr.arpa',
    '01.0.0.1.in-addr.arpa',
    'arpa',
  ]) {
    assert.equal(parseReverseName(name), undefined, name);
  }
});
