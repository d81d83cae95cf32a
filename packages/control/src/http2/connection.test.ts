import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { Http2Connection, MAX_BODY } from './connection.ts';
import type { BodyStream, Exchange } from './exchange.ts';
import { Flag, FrameType, frame, PREFACE, readU32, Setting, settings, u32s } from './frames.ts';

const EMPTY = new Uint8Array(0);

/** A server connection fed with bytes, its output kept. */
function raw(onRequest: (exchange: Exchange) => void = () => {}, now: () => number = () => 0) {
  const sent: Uint8Array[] = [];
  const state = { closed: undefined as string | undefined };
  const connection = new Http2Connection({
    transport: {
      send: (bytes) => sent.push(bytes),
      buffered: 0,
      close: (reason) => {
        state.closed = reason;
      },
    },
    onRequest,
    now,
  });
  const frames = (): { type: number; flags: number; stream: number; payload: Buffer }[] => {
    const all = Buffer.concat(sent);
    const out = [];
    for (let at = 0; at < all.length; ) {
      const length = all.readUIntBE(at, 3);
      out.push({
        type: all[at + 3]!,
        flags: all[at + 4]!,
        stream: all.readUInt32BE(at + 5),
        payload: all.subarray(at + 9, at + 9 + length),
      });
      at += 9 + length;
    }
    return out;
  };
  const open = (): void => {
    connection.receive(PREFACE);
    connection.receive(frame(FrameType.SETTINGS, 0, 0, EMPTY));
    sent.length = 0;
  };
  return { connection, frames, state, open, sent };
}

/** POST / as literals. */
const POST = Uint8Array.of(0x83, 0x84, 0x87);

/** A node:http2 client on a server connection. */
function client(onRequest: (exchange: Exchange) => void, options: http2.ClientSessionOptions = {}) {
  let server: Http2Connection | undefined;
  let clock = 0;
  const pipe = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      // Cut small, so that frames arrive in pieces.
      for (let at = 0; at < chunk.length; at += 1000)
        server!.receive(chunk.subarray(at, at + 1000));
      done();
    },
  });
  server = new Http2Connection({
    transport: {
      send: (bytes) => {
        setImmediate(() => {
          if (!pipe.destroyed) pipe.push(bytes);
        });
      },
      buffered: 0,
      close: () => {
        setImmediate(() => pipe.push(null));
      },
    },
    onRequest,
    // Every frame comes a second after the one before: no limit of rates is in the way.
    now: () => (clock += 1000),
  });
  pipe.on('error', () => {});
  const session = http2.connect('http://control', { createConnection: () => pipe, ...options });
  session.on('error', () => {});
  return { session, server };
}

async function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body: Buffer,
): Promise<{ status: number; body: Buffer }> {
  const stream = session.request({ ':method': 'POST', ...headers });
  stream.end(body);
  let status = 0;
  stream.on('response', (head) => {
    status = head[':status']!;
  });
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { status, body: Buffer.concat(chunks) };
}

test('node:http2 as the client: bodies of all sizes go there and back', async () => {
  const { session } = client((exchange) => {
    exchange.reply(200, 'text/plain', Buffer.concat([Buffer.from(exchange.path), exchange.body]));
  });
  for (const size of [0, 1, 16_383, 16_384, 16_385, 100_000, MAX_BODY]) {
    const body = Buffer.alloc(size, 'x');
    const answer = await ask(session, { ':method': 'POST', ':path': `/p/${size}` }, body);
    assert.equal(answer.status, 200);
    assert.equal(answer.body.length, `/p/${size}`.length + size);
  }
  session.destroy();
});

test('node:http2 as the client: every character of a path survives Huffman coding', async () => {
  const { session } = client((exchange) => {
    exchange.reply(200, 'text/plain', Buffer.from(exchange.path, 'latin1'));
  });
  for (let code = 33; code < 256; code++) {
    if (code === 127) continue;
    const path = `/${'a'.repeat(60)}${String.fromCharCode(code)}b`;
    const answer = await ask(session, { ':path': path }, Buffer.alloc(0));
    assert.equal(answer.body.toString('latin1'), path);
  }
  session.destroy();
});

test("an answer larger than the client's windows waits for WINDOW_UPDATE (RFC 9113 5.2)", async () => {
  const big = Buffer.alloc(3_000_000, 'z');
  const { session } = client((exchange) => exchange.reply(200, 'text/plain', big), {
    settings: { initialWindowSize: 1000 },
  });
  const answer = await ask(session, { ':path': '/' }, Buffer.alloc(0));
  assert.ok(answer.body.equals(big));
  session.destroy();
});

test('a stream stays open beside other requests and ends when the client resets it', async () => {
  let body: BodyStream | undefined;
  let closed = 0;
  const { session } = client((exchange) => {
    if (exchange.path !== '/stream') {
      exchange.reply(204, '', EMPTY);
      return;
    }
    body = exchange.stream();
    exchange.onClose = () => {
      closed++;
    };
  });
  const stream = session.request({ ':path': '/stream' });
  await new Promise((done) => stream.once('response', done));
  body!.write(Buffer.from('one'));
  assert.equal(String(await new Promise((done) => stream.once('data', done))), 'one');
  assert.equal((await ask(session, { ':path': '/other' }, Buffer.alloc(0))).status, 204);
  body!.write(Buffer.from('two'));
  assert.equal(String(await new Promise((done) => stream.once('data', done))), 'two');
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await new Promise((done) => stream.once('close', done));
  await new Promise(setImmediate);
  assert.equal(closed, 1);
  session.destroy();
});

test('PING is answered with its payload, a PING answer is not (RFC 9113 6.7)', () => {
  const { connection, frames, open } = raw();
  open();
  const payload = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  connection.receive(frame(FrameType.PING, 0, 0, payload));
  connection.receive(frame(FrameType.PING, Flag.ACK, 0, payload));
  assert.deepEqual(
    frames().map(({ type, flags, payload: bytes }) => [type, flags, ...bytes]),
    [[FrameType.PING, Flag.ACK, ...payload]],
  );
});

test('a connection that ends tells open exchanges once', () => {
  let closed = 0;
  const { connection, open } = raw((exchange) => {
    exchange.stream();
    exchange.onClose = () => {
      closed++;
    };
  });
  open();
  connection.receive(frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, POST));
  connection.end();
  connection.end();
  assert.equal(closed, 1);
});

test('requests above the limit of streams are refused, the others served', () => {
  let requests = 0;
  const { connection, frames, open, state } = raw((exchange) => {
    requests++;
    exchange.stream();
  });
  open();
  for (let i = 0; i < 40; i++) {
    const flags = Flag.END_HEADERS | Flag.END_STREAM;
    connection.receive(frame(FrameType.HEADERS, flags, 2 * i + 1, POST));
  }
  assert.equal(requests, 32);
  assert.equal(frames().filter(({ type }) => type === FrameType.RST_STREAM).length, 8);
  assert.equal(state.closed, undefined);
});

for (const [name, bytes, code] of [
  ['frames before SETTINGS', [frame(FrameType.PING, 0, 0, new Uint8Array(8))], 0x1],
  ['an oversized frame', [Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 1)], 0x6],
  ['DATA on an idle stream', [frame(FrameType.DATA, 0, 1, EMPTY)], 0x1],
  ['HEADERS on an even stream', [frame(FrameType.HEADERS, 4, 2, POST)], 0x1],
  ['PUSH_PROMISE', [frame(FrameType.PUSH_PROMISE, 4, 1, POST)], 0x1],
  ['CONTINUATION alone', [frame(FrameType.CONTINUATION, 4, 1, POST)], 0x1],
  [
    'another frame inside a header block',
    [frame(FrameType.HEADERS, 0, 1, POST), frame(FrameType.PING, 0, 0, new Uint8Array(8))],
    0x1,
  ],
  ['WINDOW_UPDATE of 0', [frame(FrameType.WINDOW_UPDATE, 0, 0, u32s(0))], 0x1],
  ['a window above 2^31 - 1', [frame(FrameType.WINDOW_UPDATE, 0, 0, u32s(0x7fffffff))], 0x3],
  [
    'more padding than payload',
    [frame(FrameType.HEADERS, 4, 1, POST), frame(FrameType.DATA, 8, 1, Uint8Array.of(9, 0))],
    0x1,
  ],
  ['SETTINGS of a wrong length', [frame(FrameType.SETTINGS, 0, 0, new Uint8Array(5))], 0x6],
  [
    'a frame size below the minimum',
    [frame(FrameType.SETTINGS, 0, 0, settings({ [Setting.MAX_FRAME_SIZE]: 100 }))],
    0x1,
  ],
  [
    'a reused stream ID',
    [frame(FrameType.HEADERS, 5, 3, POST), frame(FrameType.HEADERS, 5, 1, POST)],
    0x5,
  ],
] as const) {
  test(`GOAWAY: ${name}`, () => {
    const { connection, frames, state, open } = raw((exchange) => exchange.stream());
    if (name === 'frames before SETTINGS') connection.receive(PREFACE);
    else open();
    for (const piece of bytes) connection.receive(piece);
    const goaway = frames().at(-1)!;
    assert.equal(goaway.type, FrameType.GOAWAY);
    assert.equal(readU32(goaway.payload, 4), code);
    assert.notEqual(state.closed, undefined);
    // Nothing more is read or sent.
    connection.receive(frame(FrameType.PING, 0, 0, new Uint8Array(8)));
    assert.equal(frames().at(-1)!.type, FrameType.GOAWAY);
  });
}

for (const [name, bytes] of [
  ['PING', frame(FrameType.PING, 0, 0, new Uint8Array(8))],
  ['SETTINGS', frame(FrameType.SETTINGS, 0, 0, EMPTY)],
  ['PRIORITY', frame(FrameType.PRIORITY, 0, 1, new Uint8Array(5))],
] as const) {
  test(`a flood of ${name} frames ends the connection`, () => {
    const { connection, state, open } = raw();
    open();
    for (let i = 0; i < 2000 && state.closed === undefined; i++) connection.receive(bytes);
    assert.equal(state.closed, 'too many control frames');
  });
}

test('requests opened and reset in haste end the connection', () => {
  const { connection, state, open } = raw();
  open();
  for (let i = 0; i < 1000 && state.closed === undefined; i++) {
    connection.receive(frame(FrameType.HEADERS, Flag.END_HEADERS, 2 * i + 1, POST));
    connection.receive(frame(FrameType.RST_STREAM, 0, 2 * i + 1, u32s(8)));
  }
  assert.equal(state.closed, 'too many requests');
});

test('a body above the limit ends the connection', () => {
  const { connection, state, open } = raw();
  open();
  connection.receive(frame(FrameType.HEADERS, Flag.END_HEADERS, 1, POST));
  for (let i = 0; i < 20 && state.closed === undefined; i++) {
    connection.receive(frame(FrameType.DATA, 0, 1, new Uint8Array(16_384)));
  }
  assert.equal(state.closed, 'stream window');
});

test('a body in a quarter of a million pieces costs the connection, not the process', () => {
  const flood = (clock: () => number): { bodies: number[]; closed: string | undefined } => {
    const bodies: number[] = [];
    const { connection, state, open } = raw(({ body }) => bodies.push(body.length), clock);
    open();
    connection.receive(frame(FrameType.HEADERS, Flag.END_HEADERS, 1, POST));
    const piece = Buffer.concat(
      Array.from({ length: 1024 }, () => frame(FrameType.DATA, 0, 1, Uint8Array.of(7))),
    );
    for (let i = 0; i < MAX_BODY / 1024; i++) connection.receive(piece);
    connection.receive(frame(FrameType.DATA, Flag.END_STREAM, 1, EMPTY));
    return { bodies, closed: state.closed };
  };
  assert.deepEqual(
    flood(() => 0),
    { bodies: [], closed: 'too many control frames' },
  );
  // Slow enough it is a body like any other.
  let clock = 0;
  const patient = flood(() => (clock += 1000));
  assert.deepEqual(patient, { bodies: [MAX_BODY], closed: undefined });
});

test('empty CONTINUATION frames pile nothing up', () => {
  let clock = 0;
  let requests = 0;
  const { connection, state, open } = raw(
    () => requests++,
    () => (clock += 1000),
  );
  open();
  connection.receive(frame(FrameType.HEADERS, Flag.END_STREAM, 1, POST));
  const empty = Buffer.concat(
    Array.from({ length: 1024 }, () => frame(FrameType.CONTINUATION, 0, 1, EMPTY)),
  );
  for (let i = 0; i < 200; i++) connection.receive(empty);
  connection.receive(frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, EMPTY));
  assert.deepEqual([requests, state.closed], [1, undefined]);
});

test('any frames after the preface are survived', () => {
  const anyFrame = fc
    .tuple(
      fc.integer({ min: 0, max: 10 }),
      fc.nat(255),
      fc.constantFrom(0, 1, 3, 5, 2),
      fc.uint8Array({ maxLength: 60 }),
    )
    .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload));
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 20 }), fc.nat(50), (pieces, cut) => {
      const { connection, open } = raw((exchange) => exchange.reply(200, '', exchange.body));
      open();
      const bytes = Buffer.concat(pieces);
      for (let at = 0; at < bytes.length; at += cut + 1) {
        connection.receive(bytes.subarray(at, at + cut + 1));
      }
      connection.end();
    }),
    { numRuns: 500 },
  );
});
