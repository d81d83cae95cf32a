// A protocol client for tests and load: key fetch, upgrade, Noise, requests, and map streams as decoded messages.
import { connect, type Socket } from 'node:net';
import { decompress } from '@bokuweb/zstd-wasm';
import { nodeCrypto } from '@cove/crypto';
import { type RecordChannel, startInitiation } from '@cove/protocol/controlbase';
import type { Crypto } from '@cove/protocol/crypto';
import {
  type DiscoPublic,
  discoPublic,
  type MachinePublic,
  type NodePublic,
  nodePublic,
  PrivateKey,
} from '@cove/protocol/keys';
import { MapFrameReader, type MapRequest } from '@cove/protocol/mapmessage';
import type { RegisterRequest, RegisterResponse } from '@cove/protocol/register';
import { loadCompressor } from '../map/frame.ts';
import { recordAead } from '../noise/recordaead.ts';
import { Http2Client } from './http2client.ts';

export const CLIENT_VERSION = 130;

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** An open map stream: messages as JSON texts, in order. */
export interface TestMapStream {
  /** Resolves with the next message; rejects when the stream ends first. */
  next(): Promise<string>;
  /** Messages that arrived and were not yet taken by next. */
  readonly pending: readonly string[];
  close(): void;
}

const primitives: Crypto = nodeCrypto();
const CRYPTO: Crypto = { ...primitives, aead: recordAead(primitives) };

/** Keys of one machine; connections come and go. */
export class TestNode {
  readonly crypto: Crypto = CRYPTO;
  readonly machineKey: PrivateKey = this.#generate();
  nodeKey: NodePublic = this.newNodeKey();
  discoKey: DiscoPublic = this.newDiscoKey();
  readonly hostname: string;

  constructor(hostname: string) {
    this.hostname = hostname;
  }

  #generate(): PrivateKey {
    return PrivateKey.generate((n) => this.crypto.randomBytes(n));
  }

  newNodeKey(): NodePublic {
    return nodePublic(this.#generate().publicBytes(this.crypto.x25519));
  }

  newDiscoKey(): DiscoPublic {
    return discoPublic(this.crypto.randomBytes(32));
  }

  connect(
    port: number,
    controlKey: MachinePublic,
    version: number = CLIENT_VERSION,
  ): Promise<TestClient> {
    return TestClient.connect(this, port, controlKey, version);
  }
}

/** The server's key over plain HTTP on loopback. */
export async function fetchControlKey(port: number): Promise<MachinePublic> {
  const response = await fetch(`http://127.0.0.1:${port}/key?v=${CLIENT_VERSION}`);
  const { publicKey } = (await response.json()) as { publicKey: MachinePublic };
  return publicKey;
}

export class TestClient {
  readonly node: TestNode;
  readonly version: number;
  readonly socket: Socket;
  readonly #http2: Http2Client;

  private constructor(
    node: TestNode,
    version: number,
    socket: Socket,
    channel: RecordChannel,
    head: Uint8Array,
  ) {
    this.node = node;
    this.version = version;
    this.socket = socket;
    this.#http2 = new Http2Client((bytes) => {
      if (!socket.destroyed) socket.write(channel.seal(bytes));
    });
    const receive = (bytes: Uint8Array): void => {
      for (const plaintext of channel.push(bytes)) this.#http2.receive(plaintext);
    };
    socket.on('data', receive);
    socket.on('close', () => this.#http2.end(new Error('connection closed')));
    if (head.length > 0) receive(head);
  }

  static async connect(
    node: TestNode,
    port: number,
    controlKey: MachinePublic,
    version: number,
  ): Promise<TestClient> {
    await loadCompressor();
    const start = startInitiation({
      crypto: node.crypto,
      machineKey: node.machineKey,
      controlKey,
      version,
    });
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    socket.on('error', () => {});
    const handshake = Buffer.from(start.initiation).toString('base64');
    socket.write(
      `POST /ts2021 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 0\r\nConnection: upgrade\r\n` +
        `Upgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: ${handshake}\r\n\r\n`,
    );
    const bytes = await readUntil(socket, (have) => {
      const end = have.indexOf('\r\n\r\n');
      if (end >= 0 && !have.toString('latin1').startsWith('HTTP/1.1 101')) return have.length;
      return end >= 0 && have.length >= end + 4 + 51 ? end + 4 + 51 : undefined;
    });
    if (!bytes.toString('latin1').startsWith('HTTP/1.1 101')) {
      socket.destroy();
      throw new Error(`upgrade refused: ${bytes.toString('latin1').split('\r\n', 1)[0]}`);
    }
    const reply = bytes.indexOf('\r\n\r\n') + 4;
    const channel = start.finish(bytes.subarray(reply, reply + 51));
    return new TestClient(node, version, socket, channel, bytes.subarray(reply + 51));
  }

  request(method: string, path: string, body: Uint8Array | string = ''): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = [];
      let status = 0;
      this.#http2.request(method, path, Buffer.from(body as string), {
        onHead: (code) => {
          status = code;
        },
        onData: (chunk) => chunks.push(chunk.slice()),
        onEnd: (error) => {
          if (error === undefined) resolve({ status, body: Buffer.concat(chunks) });
          else reject(error);
        },
      });
    });
  }

  /** Posts a register request; members given replace the defaults. Rejects unless the status is 200. */
  async register(members: Partial<RegisterRequest> = {}): Promise<RegisterResponse> {
    const answer = await this.request(
      'POST',
      '/machine/register',
      JSON.stringify({
        Version: this.version,
        NodeKey: this.node.nodeKey,
        Hostinfo: { Hostname: this.node.hostname, OS: 'linux' },
        ...members,
      }),
    );
    if (answer.status !== 200) throw new Error(`register: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body.toString()) as RegisterResponse;
  }

  #mapBody(members: Partial<MapRequest>): string {
    return JSON.stringify({
      Version: this.version,
      KeepAlive: true,
      NodeKey: this.node.nodeKey,
      DiscoKey: this.node.discoKey,
      Hostinfo: { Hostname: this.node.hostname, OS: 'linux' },
      ...members,
    });
  }

  /** A lite update. */
  update(members: Partial<MapRequest> = {}): Promise<Answer> {
    return this.request('POST', '/machine/map', this.#mapBody({ OmitPeers: true, ...members }));
  }

  /** onMessage, if given, takes the messages instead of next. Rejects unless the status is 200. */
  stream(
    members: Partial<MapRequest> = {},
    onMessage?: (text: string) => void,
  ): Promise<TestMapStream> {
    const request = { Stream: true, ...members };
    const zstd = request.Compress === 'zstd';
    const frames = new MapFrameReader(1 << 26);
    const pending: string[] = [];
    let wake: (() => void) | undefined;
    let ended: Error | undefined;
    let refused = false;
    return new Promise((resolve, reject) => {
      const reset = this.#http2.request(
        'POST',
        '/machine/map',
        Buffer.from(this.#mapBody(request)),
        {
          onHead: (status) => {
            if (status === 200) resolve(stream);
            else {
              refused = true;
              reject(new Error(`map: ${status}`));
            }
          },
          onData: (chunk) => {
            if (refused) return;
            for (const payload of frames.push(chunk.slice())) {
              const text = Buffer.from(zstd ? decompress(payload) : payload).toString();
              if (onMessage === undefined) pending.push(text);
              else onMessage(text);
            }
            wake?.();
          },
          onEnd: (error) => {
            ended = error ?? new Error('stream ended');
            reject(ended);
            wake?.();
          },
        },
      );
      const stream: TestMapStream = {
        pending,
        async next() {
          while (pending.length === 0) {
            if (ended !== undefined) throw ended;
            await new Promise<void>((done) => {
              wake = done;
            });
          }
          return pending.shift()!;
        },
        close: reset,
      };
    });
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Reads until enough bytes are there; what was read beyond comes along. */
function readUntil(socket: Socket, enough: (have: Buffer) => number | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let have = Buffer.alloc(0);
    const done = (): void => {
      socket.off('data', onData);
      socket.off('close', onClose);
    };
    const onData = (chunk: Buffer): void => {
      have = Buffer.concat([have, chunk]);
      if (enough(have) === undefined) return;
      done();
      resolve(have);
    };
    const onClose = (): void => {
      done();
      reject(new Error('connection closed during the handshake'));
    };
    socket.on('data', onData);
    socket.on('close', onClose);
  });
}
