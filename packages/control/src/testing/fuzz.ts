// Fuzz targets of the coordination server's HTTP/2: header compression, and the bytes of a whole connection.
import assert from 'node:assert/strict';
import { concat, utf8Encode } from '@cove/protocol/bytes';
import { type FuzzTarget, tolerate } from '@cove/protocol/testing/fuzztarget';
import { Http2Connection, MAX_BODY } from '../http2/connection.ts';
import { Http2Error } from '../http2/errors.ts';
import { Flag, FrameType, frame, PREFACE, settings, u32s } from '../http2/frames.ts';
import { encodeResponseHead, HpackDecoder } from '../http2/hpack.ts';

/** GET / with an authority in Huffman code and one header remembered. */
const BLOCK = Uint8Array.of(
  ...[0x82, 0x84, 0x86, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90],
  ...[0xf4, 0xff, 0x40, 0x01, 0x61, 0x01, 0x62, 0xbe],
);

const hpackTarget: FuzzTarget = {
  name: 'hpack',
  maxLength: 400,
  seeds: [BLOCK, Uint8Array.of(0x20, 0x82), encodeResponseHead(200, 'text/plain', 5)],
  words: [Uint8Array.of(0x40, 1, 97, 1, 98), Uint8Array.of(0x3f, 0xe1, 0x1f), Uint8Array.of(0x82)],
  run(input) {
    const decoder = new HpackDecoder();
    tolerate(
      (error) => error instanceof Http2Error,
      () => {
        for (let n = 0; n < 3; n++) {
          let size = 0;
          for (const { name, value } of decoder.decode(input, 4096)) {
            size += name.length + value.length + 32;
          }
          assert.ok(size <= 4096, 'the list stays within its limit');
        }
      },
    );
  },
};

const http2Target: FuzzTarget = {
  name: 'http2',
  maxLength: 2000,
  seeds: [
    concat(
      frame(FrameType.SETTINGS, 0, 0, settings({ 4: 1000 })),
      frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, BLOCK),
      frame(FrameType.HEADERS, Flag.END_HEADERS, 3, BLOCK),
      frame(FrameType.DATA, Flag.END_STREAM, 3, new Uint8Array(5)),
      frame(FrameType.WINDOW_UPDATE, 0, 0, u32s(100)),
      frame(FrameType.PING, 0, 0, new Uint8Array(8)),
    ),
    concat(
      frame(FrameType.SETTINGS, 0, 0, new Uint8Array(0)),
      frame(FrameType.HEADERS, 0, 1, BLOCK.subarray(0, 4)),
      frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, BLOCK.subarray(4)),
      frame(FrameType.RST_STREAM, 0, 1, u32s(8)),
      frame(FrameType.GOAWAY, 0, 0, u32s(0, 0)),
    ),
  ],
  words: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((type) => Uint8Array.of(0, 0, 8, type, 5, 0, 0, 0, 1)),
  run(input) {
    let closed = 0;
    let sent = 0;
    let streamed = 0;
    const connection = new Http2Connection({
      transport: {
        send: (bytes) => {
          assert.equal(closed, 0, 'nothing is sent after the close');
          sent += bytes.length;
        },
        buffered: 0,
        close: () => void closed++,
      },
      now: () => 0,
      onRequest: (exchange) => {
        assert.ok(exchange.body.length <= MAX_BODY);
        if (exchange.body.length % 2 === 0) {
          exchange.reply(200, 'text/plain', utf8Encode('hello'));
          return;
        }
        const stream = exchange.stream();
        exchange.onClose = () => void streamed--;
        streamed++;
        stream.write(new Uint8Array(3000));
        if (exchange.body.length % 3 === 0) {
          streamed--;
          exchange.onClose = undefined;
          stream.end();
        }
      },
    });
    const cut = (input[0] ?? 0) % (input.length + 1);
    if ((input[1] ?? 0) !== 0xff) connection.receive(PREFACE);
    connection.receive(input.slice(0, cut));
    connection.receive(input.slice(cut));
    connection.end();
    assert.ok(closed <= 1, 'closed once');
    assert.equal(streamed, 0, 'every open answer is told of the end');
    assert.ok(sent < 1 << 20);
  },
};

export const targets: readonly FuzzTarget[] = [hpackTarget, http2Target];
