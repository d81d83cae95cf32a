// The server's end of one HTTP/2 connection (RFC 9113) with prior knowledge, over any ordered byte channel. It knows
// what the coordination protocol needs and no more: whole request bodies in, one answer or a long stream out.
// node:http2 does the same over a Duplex at twice the processor time per message (README.md).
//
// Departures: priorities are ignored, nothing is pushed, answers carry no headers beyond status, type and length.
import { concat, equalBytes } from '@cove/protocol/bytes';
import { ErrorCode, Http2Error, type Http2ErrorCode } from './errors.ts';
import type { BodyStream, Exchange, Transport } from './exchange.ts';
import {
  DEFAULT_FRAME_SIZE,
  DEFAULT_WINDOW,
  Flag,
  FrameType,
  frame,
  HEADER_LENGTH,
  MAX_WINDOW,
  PREFACE,
  readU32,
  Setting,
  settings,
  u32s,
  writeHeader,
} from './frames.ts';
import { encodeResponseHead, type Field, HpackDecoder } from './hpack.ts';
import { TokenBucket } from './tokenbucket.ts';

/** Stock clients keep one stream open and send a handful of short requests beside it. */
const MAX_STREAMS = 32;
const MAX_HEADER_LIST = 16 * 1024;
/** Largest request body; also each stream's receive window, so that one never needs enlarging. */
export const MAX_BODY: number = 256 * 1024;
/** Bytes of unfinished bodies a connection may make us hold: its receive window. */
const CONNECTION_WINDOW = 512 * 1024;
/** Frames that cost us more than the sender: refilled per second, up to the burst. */
const CHEAP_FRAMES_PER_SECOND = 256;
const CHEAP_FRAMES_BURST = 1024;
/** A piece of a body below this, and not its last, is a cheap frame too. */
const SMALL_DATA = 1024;
const REQUESTS_PER_SECOND = 20;
const REQUESTS_BURST = 200;
/** Bytes the transport may hold while we still answer PING and SETTINGS. */
const MAX_CONTROL_BACKLOG = 256 * 1024;

const EMPTY: Uint8Array = new Uint8Array(0);

interface Stream {
  readonly id: number;
  readonly method: string;
  readonly path: string;
  /** Grown by doubling; the first bodyLength bytes count. */
  body: Uint8Array;
  bodyLength: number;
  received: boolean;
  exchange: ServerExchange | undefined;
  sendWindow: number;
  queue: Uint8Array[];
  queued: number;
  ending: boolean;
  closed: boolean;
}

/** The pieces of a header block until END_HEADERS. */
interface PartialHeaders {
  readonly stream: number;
  readonly endStream: boolean;
  readonly parts: Uint8Array[];
  length: number;
}

export class Http2Connection {
  readonly #transport: Transport;
  readonly #onRequest: (exchange: Exchange) => void;
  /** Monotonic milliseconds. */
  readonly #now: () => number;
  readonly #hpack = new HpackDecoder();
  readonly #streams = new Map<number, Stream>();
  readonly #cheapFrames = new TokenBucket(CHEAP_FRAMES_PER_SECOND, CHEAP_FRAMES_BURST);
  readonly #requests = new TokenBucket(REQUESTS_PER_SECOND, REQUESTS_BURST);
  #held: Uint8Array = EMPTY;
  #prefaceSeen = false;
  #settingsSeen = false;
  #partial: PartialHeaders | undefined;
  #lastStream = 0;
  #sendWindow = DEFAULT_WINDOW;
  #receiveWindow = CONNECTION_WINDOW;
  #initialWindow = DEFAULT_WINDOW;
  #frameSize = DEFAULT_FRAME_SIZE;
  #out: Uint8Array[] = [];
  #corked = false;
  #closed = false;

  /** Sends the server's SETTINGS at once. onRequest is called when a request's body is complete. */
  constructor(options: {
    readonly transport: Transport;
    readonly onRequest: (exchange: Exchange) => void;
    readonly now: () => number;
  }) {
    this.#transport = options.transport;
    this.#onRequest = options.onRequest;
    this.#now = options.now;
    const ours = settings({
      [Setting.MAX_CONCURRENT_STREAMS]: MAX_STREAMS,
      [Setting.INITIAL_WINDOW_SIZE]: MAX_BODY,
      [Setting.MAX_HEADER_LIST_SIZE]: MAX_HEADER_LIST,
    });
    this.#corked = true;
    this.#emit(frame(FrameType.SETTINGS, 0, 0, ours));
    this.#emit(frame(FrameType.WINDOW_UPDATE, 0, 0, u32s(CONNECTION_WINDOW - DEFAULT_WINDOW)));
    this.#uncork();
  }

  /** Whether a request that arrived in full is not yet answered in full. */
  get busy(): boolean {
    for (const stream of this.#streams.values()) if (stream.received) return true;
    return false;
  }

  /** Takes the next bytes of the client, which are borrowed. Whatever is wrong with them ends the connection. */
  receive(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#corked = true;
    try {
      this.#consume(bytes);
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      this.#fail(error.code, error.message);
    } finally {
      this.#uncork();
    }
  }

  /** The transport is gone. */
  end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#out = [];
    this.#abandon();
  }

  /** Says goodbye and closes. */
  close(code: Http2ErrorCode, reason: string): void {
    if (this.#closed) return;
    this.#fail(code, reason);
  }

  #fail(code: Http2ErrorCode, reason: string): void {
    if (this.#closed) return;
    this.#emit(frame(FrameType.GOAWAY, 0, 0, u32s(this.#lastStream, ErrorCode[code])));
    this.#corked = false;
    this.#flush();
    this.#closed = true;
    this.#transport.close(reason);
    this.#abandon();
  }

  #abandon(): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#held = EMPTY;
    for (const stream of streams) this.#closeStream(stream, true);
  }

  #consume(bytes: Uint8Array): void {
    let input = this.#held.length === 0 ? bytes : concat(this.#held, bytes);
    this.#held = EMPTY;
    if (!this.#prefaceSeen) {
      const length = Math.min(input.length, PREFACE.length);
      if (!equalBytes(input.subarray(0, length), PREFACE.subarray(0, length))) {
        throw new Http2Error('PROTOCOL_ERROR', 'no HTTP/2 preface');
      }
      if (length < PREFACE.length) {
        this.#held = input.slice();
        return;
      }
      this.#prefaceSeen = true;
      input = input.subarray(length);
    }
    let at = 0;
    while (!this.#closed && input.length - at >= HEADER_LENGTH) {
      const length = (input[at]! << 16) | (input[at + 1]! << 8) | input[at + 2]!;
      if (length > DEFAULT_FRAME_SIZE) throw new Http2Error('FRAME_SIZE_ERROR', 'frame too large');
      const end = at + HEADER_LENGTH + length;
      if (end > input.length) break;
      const stream = readU32(input, at + 5) & 0x7fffffff;
      this.#frame(input[at + 3]!, input[at + 4]!, stream, input.subarray(at + HEADER_LENGTH, end));
      at = end;
    }
    if (!this.#closed && at < input.length) this.#held = input.slice(at);
  }

  #frame(type: number, flags: number, id: number, payload: Uint8Array): void {
    if (this.#partial !== undefined && type !== FrameType.CONTINUATION) {
      throw new Http2Error('PROTOCOL_ERROR', 'frame inside a header block');
    }
    if (!this.#settingsSeen && type !== FrameType.SETTINGS) {
      throw new Http2Error('PROTOCOL_ERROR', 'first frame is not SETTINGS');
    }
    switch (type) {
      case FrameType.DATA:
        this.#data(flags, id, payload);
        break;
      case FrameType.HEADERS:
        this.#headers(flags, id, payload);
        break;
      case FrameType.CONTINUATION:
        this.#continuation(flags, id, payload);
        break;
      case FrameType.RST_STREAM: {
        this.#pay();
        if (payload.length !== 4) throw new Http2Error('FRAME_SIZE_ERROR', 'RST_STREAM');
        if (id === 0 || id > this.#lastStream)
          throw new Http2Error('PROTOCOL_ERROR', 'idle stream');
        const stream = this.#streams.get(id);
        if (stream !== undefined) this.#closeStream(stream, true);
        break;
      }
      case FrameType.SETTINGS:
        this.#settings(flags, id, payload);
        break;
      case FrameType.PING:
        if (payload.length !== 8) throw new Http2Error('FRAME_SIZE_ERROR', 'PING');
        if (id !== 0) throw new Http2Error('PROTOCOL_ERROR', 'PING on a stream');
        if ((flags & Flag.ACK) !== 0) break;
        this.#pay();
        this.#emit(frame(FrameType.PING, Flag.ACK, 0, payload));
        break;
      case FrameType.WINDOW_UPDATE:
        this.#windowUpdate(id, payload);
        break;
      case FrameType.PUSH_PROMISE:
        throw new Http2Error('PROTOCOL_ERROR', 'PUSH_PROMISE from a client');
      case FrameType.GOAWAY:
        if (id !== 0) throw new Http2Error('PROTOCOL_ERROR', 'GOAWAY on a stream');
        break;
      default:
        // PRIORITY and unknown types are ignored (sections 5.3.2 and 4.1).
        this.#pay();
    }
  }

  /** Charges a frame that makes us work for almost nothing. */
  #pay(): void {
    if (
      !this.#cheapFrames.take(this.#now()) ||
      this.#transport.buffered > MAX_CONTROL_BACKLOG + this.#queuedBytes()
    ) {
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many control frames');
    }
  }

  #queuedBytes(): number {
    let total = 0;
    for (const stream of this.#streams.values()) total += stream.queued;
    return total;
  }

  #headers(flags: number, id: number, payload: Uint8Array): void {
    if (id === 0 || id % 2 === 0) throw new Http2Error('PROTOCOL_ERROR', 'bad stream ID');
    let block = unpad(flags, payload);
    if ((flags & Flag.PRIORITY) !== 0) {
      if (block.length < 5) throw new Http2Error('FRAME_SIZE_ERROR', 'HEADERS');
      block = block.subarray(5);
    }
    const partial: PartialHeaders = {
      stream: id,
      endStream: (flags & Flag.END_STREAM) !== 0,
      parts: [block],
      length: block.length,
    };
    if ((flags & Flag.END_HEADERS) !== 0) this.#headerBlock(partial);
    else {
      this.#partial = { ...partial, parts: [block.slice()] };
    }
  }

  #continuation(flags: number, id: number, payload: Uint8Array): void {
    const partial = this.#partial;
    if (partial === undefined || partial.stream !== id) {
      throw new Http2Error('PROTOCOL_ERROR', 'CONTINUATION without HEADERS');
    }
    this.#pay();
    // Empty ones would never reach the limit.
    if (payload.length > 0) partial.parts.push(payload.slice());
    partial.length += payload.length;
    if (partial.length > MAX_HEADER_LIST) {
      throw new Http2Error('ENHANCE_YOUR_CALM', 'header block too large');
    }
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.#partial = undefined;
      this.#headerBlock(partial);
    }
  }

  #headerBlock({ stream: id, endStream, parts }: PartialHeaders): void {
    const block = parts.length === 1 ? parts[0]! : concat(...parts);
    const fields = this.#hpack.decode(block, MAX_HEADER_LIST);
    const known = this.#streams.get(id);
    if (known !== undefined) {
      // Trailers (section 8.1): they must end the request; their content means nothing to us.
      if (!endStream || known.received) throw new Http2Error('PROTOCOL_ERROR', 'second HEADERS');
      this.#complete(known);
      return;
    }
    if (id <= this.#lastStream) throw new Http2Error('STREAM_CLOSED', 'HEADERS on a closed stream');
    this.#lastStream = id;
    if (!this.#requests.take(this.#now())) {
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many requests');
    }
    if (this.#streams.size >= MAX_STREAMS) {
      this.#reset(id, 'REFUSED_STREAM');
      return;
    }
    const method = pseudo(fields, ':method');
    const path = pseudo(fields, ':path');
    if (method === undefined || path === undefined) {
      this.#reset(id, 'PROTOCOL_ERROR');
      return;
    }
    const stream: Stream = {
      id,
      method,
      path,
      body: EMPTY,
      bodyLength: 0,
      received: false,
      exchange: undefined,
      sendWindow: this.#initialWindow,
      queue: [],
      queued: 0,
      ending: false,
      closed: false,
    };
    this.#streams.set(id, stream);
    if (endStream) this.#complete(stream);
  }

  #data(flags: number, id: number, payload: Uint8Array): void {
    if (id === 0 || id > this.#lastStream) throw new Http2Error('PROTOCOL_ERROR', 'idle stream');
    // Padding counts for flow control (section 6.9.1).
    this.#receiveWindow -= payload.length;
    if (this.#receiveWindow < 0) throw new Http2Error('FLOW_CONTROL_ERROR', 'connection window');
    const data = unpad(flags, payload);
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.received) {
      this.#pay();
      this.#release(payload.length);
      if (stream !== undefined) throw new Http2Error('STREAM_CLOSED', 'DATA behind END_STREAM');
      return;
    }
    const last = (flags & Flag.END_STREAM) !== 0;
    if (data.length === 0 || (!last && data.length < SMALL_DATA)) this.#pay();
    this.#release(payload.length - data.length);
    if (stream.bodyLength + data.length > MAX_BODY) {
      throw new Http2Error('FLOW_CONTROL_ERROR', 'stream window');
    }
    append(stream, data);
    if (last) this.#complete(stream);
  }

  /** Gives receive window back once the bytes are no longer held. */
  #release(bytes: number): void {
    if (bytes === 0 || this.#closed) return;
    this.#receiveWindow += bytes;
    this.#emit(frame(FrameType.WINDOW_UPDATE, 0, 0, u32s(bytes)));
  }

  #complete(stream: Stream): void {
    stream.received = true;
    const body = stream.body.subarray(0, stream.bodyLength);
    stream.body = EMPTY;
    const exchange = new ServerExchange(this, stream, body);
    stream.exchange = exchange;
    // The handler owns the body from here: handlers run at once and keep none of it.
    this.#release(stream.bodyLength);
    this.#onRequest(exchange);
  }

  #settings(flags: number, id: number, payload: Uint8Array): void {
    if (id !== 0) throw new Http2Error('PROTOCOL_ERROR', 'SETTINGS on a stream');
    if ((flags & Flag.ACK) !== 0) {
      if (payload.length !== 0) throw new Http2Error('FRAME_SIZE_ERROR', 'SETTINGS');
      return;
    }
    if (payload.length % 6 !== 0) throw new Http2Error('FRAME_SIZE_ERROR', 'SETTINGS');
    this.#pay();
    this.#settingsSeen = true;
    for (let at = 0; at < payload.length; at += 6) {
      const setting = (payload[at]! << 8) | payload[at + 1]!;
      const value = readU32(payload, at + 2);
      if (setting === Setting.INITIAL_WINDOW_SIZE) {
        if (value > MAX_WINDOW) throw new Http2Error('FLOW_CONTROL_ERROR', 'initial window');
        const change = value - this.#initialWindow;
        this.#initialWindow = value;
        for (const stream of this.#streams.values()) stream.sendWindow += change;
        if (change > 0) this.#pumpAll();
      } else if (setting === Setting.MAX_FRAME_SIZE) {
        if (value < DEFAULT_FRAME_SIZE || value > 0xffffff) {
          throw new Http2Error('PROTOCOL_ERROR', 'frame size');
        }
        // Larger frames would only delay other streams.
        this.#frameSize = DEFAULT_FRAME_SIZE;
      }
    }
    this.#emit(frame(FrameType.SETTINGS, Flag.ACK, 0, EMPTY));
  }

  #windowUpdate(id: number, payload: Uint8Array): void {
    if (payload.length !== 4) throw new Http2Error('FRAME_SIZE_ERROR', 'WINDOW_UPDATE');
    const increment = readU32(payload, 0) & 0x7fffffff;
    if (increment === 0) throw new Http2Error('PROTOCOL_ERROR', 'empty WINDOW_UPDATE');
    if (id === 0) {
      this.#sendWindow += increment;
      if (this.#sendWindow > MAX_WINDOW) throw new Http2Error('FLOW_CONTROL_ERROR', 'window');
      this.#pumpAll();
      return;
    }
    if (id > this.#lastStream) throw new Http2Error('PROTOCOL_ERROR', 'idle stream');
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_WINDOW) throw new Http2Error('FLOW_CONTROL_ERROR', 'window');
    this.#pump(stream);
  }

  #reset(id: number, code: Http2ErrorCode): void {
    this.#emit(frame(FrameType.RST_STREAM, 0, id, u32s(ErrorCode[code])));
  }

  /** Whether the answer can still be written; called by the exchange. */
  respond(
    stream: Stream,
    status: number,
    contentType: string | undefined,
    body: Uint8Array | undefined,
  ): boolean {
    if (stream.closed || this.#closed) return false;
    const head = encodeResponseHead(status, contentType, body?.length);
    const flags = Flag.END_HEADERS | (body?.length === 0 ? Flag.END_STREAM : 0);
    const cork = this.#cork();
    this.#emit(frame(FrameType.HEADERS, flags, stream.id, head));
    if (body?.length === 0) this.#closeStream(stream, false);
    else if (body !== undefined) {
      this.write(stream, body);
      this.finish(stream);
    }
    if (cork) this.#uncork();
    return true;
  }

  write(stream: Stream, chunk: Uint8Array): void {
    if (stream.closed || stream.ending || chunk.length === 0) return;
    stream.queue.push(chunk);
    stream.queued += chunk.length;
    this.#pump(stream);
  }

  finish(stream: Stream): void {
    if (stream.closed || stream.ending) return;
    stream.ending = true;
    this.#pump(stream);
  }

  abort(stream: Stream): void {
    if (stream.closed || this.#closed) return;
    this.#reset(stream.id, 'CANCEL');
    this.#closeStream(stream, false);
  }

  queued(stream: Stream): number {
    return stream.queued + this.#transport.buffered;
  }

  #pumpAll(): void {
    for (const stream of this.#streams.values()) this.#pump(stream);
  }

  /** Sends as much of the stream's queue as the windows allow, as DATA frames in one array. */
  #pump(stream: Stream): void {
    if (stream.closed) return;
    let allowed = Math.max(0, Math.min(stream.queued, stream.sendWindow, this.#sendWindow));
    const last = stream.ending && allowed === stream.queued;
    if (allowed === 0 && !last) return;
    const frames = Math.max(1, Math.ceil(allowed / this.#frameSize));
    const out = new Uint8Array(allowed + frames * HEADER_LENGTH);
    stream.queued -= allowed;
    stream.sendWindow -= allowed;
    this.#sendWindow -= allowed;
    let at = 0;
    for (let i = 0; i < frames; i++) {
      let length = Math.min(allowed, this.#frameSize);
      const flags = last && i === frames - 1 ? Flag.END_STREAM : 0;
      writeHeader(out, at, length, FrameType.DATA, flags, stream.id);
      at += HEADER_LENGTH;
      allowed -= length;
      while (length > 0) {
        const chunk = stream.queue[0]!;
        const take = Math.min(length, chunk.length);
        out.set(take === chunk.length ? chunk : chunk.subarray(0, take), at);
        if (take === chunk.length) stream.queue.shift();
        else stream.queue[0] = chunk.subarray(take);
        at += take;
        length -= take;
      }
    }
    this.#emit(out);
    if (last) this.#closeStream(stream, false);
  }

  #closeStream(stream: Stream, tell: boolean): void {
    if (stream.closed) return;
    stream.closed = true;
    stream.queue = [];
    stream.queued = 0;
    this.#streams.delete(stream.id);
    if (!stream.received) {
      stream.body = EMPTY;
      this.#release(stream.bodyLength);
    }
    const onClose = stream.exchange?.onClose;
    if (stream.exchange !== undefined) stream.exchange.onClose = undefined;
    if (tell) onClose?.();
  }

  #emit(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#out.push(bytes);
    if (!this.#corked) this.#flush();
  }

  #cork(): boolean {
    const first = !this.#corked;
    this.#corked = true;
    return first;
  }

  #uncork(): void {
    this.#corked = false;
    this.#flush();
  }

  #flush(): void {
    if (this.#out.length === 0 || this.#closed) return;
    const bytes = this.#out.length === 1 ? this.#out[0]! : concat(...this.#out);
    this.#out = [];
    this.#transport.send(bytes);
  }
}

class ServerExchange implements Exchange, BodyStream {
  readonly body: Uint8Array;
  onClose: (() => void) | undefined;
  readonly #connection: Http2Connection;
  readonly #stream: Stream;

  constructor(connection: Http2Connection, stream: Stream, body: Uint8Array) {
    this.#connection = connection;
    this.#stream = stream;
    this.body = body;
  }

  get method(): string {
    return this.#stream.method;
  }

  get path(): string {
    return this.#stream.path;
  }

  get queued(): number {
    return this.#connection.queued(this.#stream);
  }

  reply(status: number, contentType: string, body: Uint8Array): void {
    this.#connection.respond(this.#stream, status, contentType, body);
  }

  stream(): BodyStream {
    this.#connection.respond(this.#stream, 200, undefined, undefined);
    return this;
  }

  write(chunk: Uint8Array): void {
    this.#connection.write(this.#stream, chunk);
  }

  end(): void {
    this.#connection.finish(this.#stream);
  }

  abort(): void {
    this.#connection.abort(this.#stream);
  }
}

function append(stream: Stream, data: Uint8Array): void {
  const length = stream.bodyLength + data.length;
  if (length > stream.body.length) {
    // Most bodies are one frame: no more than that at first.
    const larger = new Uint8Array(Math.min(MAX_BODY, Math.max(length, 2 * stream.body.length)));
    larger.set(stream.body.subarray(0, stream.bodyLength));
    stream.body = larger;
  }
  stream.body.set(data, stream.bodyLength);
  stream.bodyLength = length;
}

/** Payload without padding (section 6.1). */
function unpad(flags: number, payload: Uint8Array): Uint8Array {
  if ((flags & Flag.PADDED) === 0) return payload;
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length) {
    throw new Http2Error('PROTOCOL_ERROR', 'more padding than payload');
  }
  return payload.subarray(1, payload.length - padding);
}

function pseudo(fields: readonly Field[], name: string): string | undefined {
  return fields.find((field) => field.name === name)?.value;
}
