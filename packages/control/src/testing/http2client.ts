// The client's end of HTTP/2 for tests and load: requests with a whole body, answers as status and chunks. It trusts the
// server it talks to.
import { concat } from '@cove/protocol/bytes';
import {
  DEFAULT_FRAME_SIZE,
  Flag,
  FrameType,
  frame,
  HEADER_LENGTH,
  PREFACE,
  readU32,
  Setting,
  settings,
  u32s,
} from '../http2/frames.ts';
import { HpackDecoder } from '../http2/hpack.ts';

/** What the stock client announces. */
const STREAM_WINDOW = 4_194_304;
const CONNECTION_WINDOW = 0x3fff_ffff;
const REFILL = 1 << 20;

export interface ResponseHandler {
  onHead(status: number): void;
  onData(chunk: Uint8Array): void;
  /** error: the stream was reset or the connection ended first. */
  onEnd(error: Error | undefined): void;
}

interface ClientStream {
  readonly handler: ResponseHandler;
  consumed: number;
}

export class Http2Client {
  readonly #send: (bytes: Uint8Array) => void;
  readonly #hpack = new HpackDecoder();
  readonly #streams = new Map<number, ClientStream>();
  #nextStream = 1;
  #held: Uint8Array = new Uint8Array(0);
  #consumed = 0;

  constructor(send: (bytes: Uint8Array) => void) {
    this.#send = send;
    const ours = settings({
      [Setting.ENABLE_PUSH]: 0,
      [Setting.INITIAL_WINDOW_SIZE]: STREAM_WINDOW,
      [Setting.MAX_FRAME_SIZE]: DEFAULT_FRAME_SIZE,
    });
    send(
      concat(
        PREFACE,
        frame(FrameType.SETTINGS, 0, 0, ours),
        frame(FrameType.WINDOW_UPDATE, 0, 0, u32s(CONNECTION_WINDOW)),
      ),
    );
  }

  /** Sends a request; the returned function resets its stream. */
  request(method: string, path: string, body: Uint8Array, handler: ResponseHandler): () => void {
    const id = this.#nextStream;
    this.#nextStream += 2;
    const head = frame(
      FrameType.HEADERS,
      Flag.END_HEADERS | (body.length === 0 ? Flag.END_STREAM : 0),
      id,
      requestHead(method, path),
    );
    const parts = [head];
    for (let at = 0; at < body.length; at += DEFAULT_FRAME_SIZE) {
      const piece = body.subarray(at, at + DEFAULT_FRAME_SIZE);
      const last = at + DEFAULT_FRAME_SIZE >= body.length;
      parts.push(frame(FrameType.DATA, last ? Flag.END_STREAM : 0, id, piece));
    }
    this.#streams.set(id, { handler, consumed: 0 });
    this.#send(concat(...parts));
    return () => {
      if (this.#streams.delete(id)) this.#send(frame(FrameType.RST_STREAM, 0, id, u32s(8)));
    };
  }

  receive(bytes: Uint8Array): void {
    const input = this.#held.length === 0 ? bytes : concat(this.#held, bytes);
    let at = 0;
    while (input.length - at >= HEADER_LENGTH) {
      const length = (input[at]! << 16) | (input[at + 1]! << 8) | input[at + 2]!;
      const end = at + HEADER_LENGTH + length;
      if (end > input.length) break;
      const id = readU32(input, at + 5) & 0x7fffffff;
      this.#frame(input[at + 3]!, input[at + 4]!, id, input.subarray(at + HEADER_LENGTH, end));
      at = end;
    }
    this.#held = at === input.length ? new Uint8Array(0) : input.slice(at);
  }

  end(error: Error): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.handler.onEnd(error);
  }

  #frame(type: number, flags: number, id: number, payload: Uint8Array): void {
    const stream = this.#streams.get(id);
    switch (type) {
      case FrameType.SETTINGS:
        if ((flags & Flag.ACK) === 0) {
          this.#send(frame(FrameType.SETTINGS, Flag.ACK, 0, new Uint8Array(0)));
        }
        break;
      case FrameType.PING:
        if ((flags & Flag.ACK) === 0) this.#send(frame(FrameType.PING, Flag.ACK, 0, payload));
        break;
      case FrameType.HEADERS: {
        const fields = this.#hpack.decode(payload, 65_536);
        const status = fields.find((field) => field.name === ':status')?.value;
        stream?.handler.onHead(Number(status));
        if ((flags & Flag.END_STREAM) !== 0) this.#finish(id, undefined);
        break;
      }
      case FrameType.DATA: {
        this.#consumed += payload.length;
        if (this.#consumed > REFILL) {
          this.#send(frame(FrameType.WINDOW_UPDATE, 0, 0, u32s(this.#consumed)));
          this.#consumed = 0;
        }
        if (stream === undefined) break;
        stream.consumed += payload.length;
        if (stream.consumed > REFILL) {
          this.#send(frame(FrameType.WINDOW_UPDATE, 0, id, u32s(stream.consumed)));
          stream.consumed = 0;
        }
        if (payload.length > 0) stream.handler.onData(payload);
        if ((flags & Flag.END_STREAM) !== 0) this.#finish(id, undefined);
        break;
      }
      case FrameType.RST_STREAM:
        this.#finish(id, new Error(`stream reset with code ${readU32(payload, 0)}`));
        break;
      case FrameType.GOAWAY:
        this.end(new Error(`connection closed with code ${readU32(payload, 4)}`));
        break;
    }
  }

  #finish(id: number, error: Error | undefined): void {
    const stream = this.#streams.get(id);
    this.#streams.delete(id);
    stream?.handler.onEnd(error);
  }
}

function requestHead(method: string, path: string): Uint8Array {
  const out: number[] = [];
  const literal = (index: number, value: string): void => {
    out.push(index, value.length);
    for (let i = 0; i < value.length; i++) out.push(value.charCodeAt(i));
  };
  literal(2, method);
  literal(4, path);
  literal(1, 'control');
  out.push(0x80 | 7);
  return Uint8Array.from(out);
}
