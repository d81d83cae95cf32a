// A minimal coordination server for tests: the key, the upgrade, Noise, HTTP/2, and handlers the test gives.
import { createServer, type Server } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { nodeCrypto } from '@cove/crypto';
import { fromBase64, utf8Encode } from '@cove/protocol/bytes';
import {
  acceptInitiation,
  encodeEarlyPayload,
  encodeHandshakeError,
  type RecordChannel,
} from '@cove/protocol/controlbase';
import { encodeJson } from '@cove/protocol/json';
import { type MachinePublic, machinePublic, PrivateKey } from '@cove/protocol/keys';
import { encodeMapFrame, type MapRequest, parseMapRequest } from '@cove/protocol/mapmessage';
import {
  parseRegisterRequest,
  type RegisterRequest,
  type RegisterResponse,
} from '@cove/protocol/register';

const crypto = nodeCrypto();

export const ACCEPTED: RegisterResponse = {
  User: { ID: 1, DisplayName: 'alice' },
  Login: { ID: 1, Provider: '', LoginName: 'alice@example.com', DisplayName: 'alice' },
  NodeKeyExpired: false,
  MachineAuthorized: true,
  AuthURL: '',
  NodeKeySignature: null,
  Error: '',
};

export const REFUSED: RegisterResponse = { ...ACCEPTED, MachineAuthorized: false };

/** A running map stream as the server sees it. */
export interface FakeStream {
  readonly request: MapRequest;
  readonly machine: MachinePublic;
  send(message: object): void;
  sendRaw(bytes: Uint8Array): void;
  end(): void;
  /** Cuts the whole connection. */
  cut(): void;
}

export interface FakeHandlers {
  register?(
    request: RegisterRequest,
    attempt: number,
  ):
    | RegisterResponse
    | { status: number; headers?: Record<string, string> }
    | Promise<RegisterResponse>;
  stream?(stream: FakeStream): void;
  /** A status other than 200 for the request of a stream. */
  refuse?(request: MapRequest): number | undefined;
  update?(request: MapRequest): number | undefined;
  /** Any other path over Noise. */
  other?(method: string, path: string, body: Buffer): void;
}

export interface FakeOptions extends FakeHandlers {
  readonly earlyPayload?: boolean;
  /** Answers the upgrade with the bytes of a handshake error. */
  readonly handshakeError?: string;
  /** Serves another key at /key than the one it has. */
  readonly wrongKey?: boolean;
  readonly server?: Server;
}

export class FakeControl {
  readonly key: PrivateKey = PrivateKey.generate((n) => crypto.randomBytes(n));
  readonly registrations: RegisterRequest[] = [];
  readonly streams: FakeStream[] = [];
  readonly updates: MapRequest[] = [];
  handlers: FakeHandlers;
  readonly #options: FakeOptions;
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();

  constructor(options: FakeOptions = {}) {
    this.#options = options;
    this.handlers = options;
    this.#server = options.server ?? createServer();
    this.#server.on('request', (request, response) => {
      if (!request.url?.startsWith('/key?v=')) {
        response.writeHead(404).end();
        return;
      }
      const key = options.wrongKey ? PrivateKey.generate((n) => crypto.randomBytes(n)) : this.key;
      const publicKey = machinePublic(key.publicBytes(crypto.x25519));
      response.end(JSON.stringify({ legacyPublicKey: `mkey:${'0'.repeat(64)}`, publicKey }));
    });
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('upgrade', (request, socket: Socket) => {
      const initiation = fromBase64(String(request.headers['x-tailscale-handshake']));
      this.#upgrade(socket, initiation);
    });
  }

  async listen(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #upgrade(socket: Socket, initiation: Uint8Array): void {
    const head =
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n';
    if (this.#options.handshakeError !== undefined) {
      socket.end(
        Buffer.concat([utf8Encode(head), encodeHandshakeError(this.#options.handshakeError)]),
      );
      return;
    }
    let accepted: ReturnType<typeof acceptInitiation>;
    try {
      accepted = acceptInitiation({ crypto, controlKey: this.key, initiation });
    } catch {
      socket.end(head);
      return;
    }
    const { machine, response, channel } = accepted;
    const early = this.#options.earlyPayload
      ? channel.seal(
          encodeEarlyPayload(encodeJson({ nodeKeyChallenge: `chalpub:${'ab'.repeat(32)}` })),
        )
      : new Uint8Array(0);
    // All in one segment: the client must keep what follows the head.
    socket.write(Buffer.concat([utf8Encode(head), response, early]));
    const http2 = createHttp2Server();
    http2.on('sessionError', () => {});
    http2.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const path = String(headers[':path']);
        const body = Buffer.concat(chunks);
        void this.#serve(stream, String(headers[':method']), path, body, machine, socket);
      });
    });
    http2.emit('connection', recordDuplex(socket, channel));
  }

  async #serve(
    stream: ServerHttp2Stream,
    method: string,
    path: string,
    body: Buffer,
    machine: MachinePublic,
    socket: Socket,
  ): Promise<void> {
    if (path === '/machine/register') {
      const request = parseRegisterRequest(body);
      this.registrations.push(request);
      const answer = await (this.handlers.register?.(request, this.registrations.length) ??
        ACCEPTED);
      if (stream.destroyed) return;
      if ('status' in answer) {
        stream.respond({ ':status': answer.status, ...answer.headers });
        stream.end('try later');
      } else {
        stream.respond({ ':status': 200 });
        stream.end(encodeJson(answer));
      }
    } else if (path === '/machine/map') {
      const request = parseMapRequest(body);
      if (request.Stream !== true) {
        this.updates.push(request);
        stream.respond({ ':status': this.handlers.update?.(request) ?? 200 });
        stream.end();
        return;
      }
      const refusal = this.handlers.refuse?.(request);
      if (refusal !== undefined) {
        stream.respond({ ':status': refusal });
        stream.end('node not found');
        return;
      }
      const send = (bytes: Uint8Array): void => {
        if (!stream.headersSent) stream.respond({ ':status': 200 });
        if (!stream.destroyed) stream.write(bytes);
      };
      const fake: FakeStream = {
        request,
        machine,
        send: (message) => send(encodeMapFrame(encodeJson(message))),
        sendRaw: send,
        end: () => stream.end(),
        cut: () => socket.destroy(),
      };
      this.streams.push(fake);
      this.handlers.stream?.(fake);
    } else {
      this.handlers.other?.(method, path, body);
      stream.respond({ ':status': 200 });
      stream.end();
    }
  }
}

function recordDuplex(socket: Socket, channel: RecordChannel): Duplex {
  const duplex = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, callback) => {
      if (socket.destroyed) callback();
      else socket.write(channel.seal(chunk), () => callback());
    },
    destroy: (error, callback) => {
      socket.destroy();
      callback(error);
    },
  });
  duplex.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const piece of channel.push(chunk)) duplex.push(piece);
    } catch {
      socket.destroy();
    }
  });
  socket.on('close', () => duplex.destroy());
  return duplex;
}

/** A self node for the first map. */
export function selfNode(nodeKey: string, fields: object = {}): object {
  return {
    ID: 1,
    StableID: 'n1',
    Name: 'alpha.example.ts.net.',
    User: 1,
    Key: nodeKey,
    Addresses: ['100.64.0.1/32', 'fd7a:115c:a1e0::1/128'],
    AllowedIPs: ['100.64.0.1/32', 'fd7a:115c:a1e0::1/128'],
    Hostinfo: {},
    MachineAuthorized: true,
    ...fields,
  };
}

/** A smallest useful first message. */
export function firstMap(nodeKey: string, fields: object = {}, self: object = {}): object {
  return {
    Node: selfNode(nodeKey, self),
    Domain: 'example.com',
    PacketFilter: [],
    UserProfiles: [{ ID: 1, LoginName: 'alice@example.com', DisplayName: 'alice' }],
    ControlTime: new Date().toISOString(),
    ...fields,
  };
}
