// What answers at 100.100.100.100 and fd7a:115c:a1e0::53 when the machine asks: a stack of its own, with MagicDNS on
// port 53 and an echo. Nothing of it is reachable from peers.
import { Stack, type TcpSocket, type UdpSocket } from '@cove/netstack';
import { DNS_UDP_LENGTH, ednsUdpLength, encodeDns, parseDns } from '@cove/protocol/dns';
import type { Clock } from '../clock.ts';
import { Forwarder, type ForwarderOptions, framed } from '../dns/forwarder.ts';
import { respond, SERVICE_ADDRESSES } from '../dns/responder.ts';
import type { NodeTable } from '../nodetable.ts';

const DNS_PORT = 53;
const MAX_REQUEST = 4096;
const TCP_IDLE = 45_000;

export interface ServiceOptions extends ForwarderOptions {
  readonly nodes: NodeTable;
  readonly clock: Clock;
  readonly randomBytes: (length: number) => Uint8Array;
  /** Takes a packet to the machine; borrowed for the call. */
  output(buf: Uint8Array, offset: number, length: number): void;
  wake(): void;
}

export class ServiceStack {
  readonly stack: Stack;
  readonly #options: ServiceOptions;
  readonly #forwarder: Forwarder;
  readonly #udp: UdpSocket;

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#forwarder = new Forwarder(options);
    this.stack = new Stack({
      randomBytes: options.randomBytes,
      output: options.output,
      wake: options.wake,
    });
    this.stack.setAddresses(SERVICE_ADDRESSES);
    this.#udp = this.stack.bindUdp({
      port: DNS_PORT,
      receive: ({ bytes, remoteAddress: address, remotePort: port, localAddress }) => {
        // To port 0, which anybody can write into a datagram, nothing can be sent.
        if (port === 0) return;
        void this.#answer(bytes, false).then((reply) => {
          if (reply !== undefined) this.#udp.send({ address, port, localAddress }, reply);
        });
      },
    });
    this.stack.listen({ port: DNS_PORT, accept: (socket) => this.#serve(socket) });
  }

  close(): void {
    this.#forwarder.close();
  }

  async #answer(query: Uint8Array, overTcp: boolean): Promise<Uint8Array | undefined> {
    const { nodes, clock } = this.#options;
    const response = respond(query, nodes, Math.floor(clock.wallNow() / 1000));
    if (response === undefined) return undefined;
    const reply =
      response.kind === 'reply'
        ? response.bytes
        : await this.#forwarder.ask(query, response.name, nodes.map?.dns, overTcp);
    return reply === undefined || overTcp ? reply : fit(query, reply);
  }

  /** Requests one after another with their length in front, answers as they come (RFC 7766 section 6). */
  #serve(socket: TcpSocket): void {
    let got = new Uint8Array(0);
    const idle = this.#options.clock;
    let timer = idle.schedule(TCP_IDLE, () => socket.abort());
    const take = (chunk: Uint8Array): void => {
      timer.cancel();
      timer = idle.schedule(TCP_IDLE, () => socket.abort());
      const joined = new Uint8Array(got.length + chunk.length);
      joined.set(got);
      joined.set(chunk, got.length);
      got = joined;
      while (got.length >= 2) {
        const length = (got[0]! << 8) | got[1]!;
        if (length > MAX_REQUEST) {
          socket.abort();
          return;
        }
        if (got.length < 2 + length) return;
        const query = got.slice(2, 2 + length);
        got = got.subarray(2 + length);
        void this.#answer(query, true).then((reply) => {
          // What does not fit is lost with its connection: nobody asks that much without reading.
          if (reply === undefined || socket.state === 'CLOSED') return;
          const bytes = framed(reply);
          if (socket.write(bytes) < bytes.length) socket.abort();
        });
      }
    };
    socket.handler = {
      readable: () => {
        for (let chunk = socket.read(); chunk !== undefined; chunk = socket.read()) take(chunk);
      },
      ended: () => socket.close(),
      closed: () => timer.cancel(),
    };
  }
}

/** Cuts a reply to what the asker takes over UDP. */
function fit(query: Uint8Array, reply: Uint8Array): Uint8Array | undefined {
  if (reply.length <= DNS_UDP_LENGTH) return reply;
  try {
    const limit = ednsUdpLength(parseDns(query));
    return reply.length <= limit ? reply : encodeDns(parseDns(reply), limit);
  } catch {
    return undefined;
  }
}
