// The STUN server beside a relay: tells a node the address its datagram came from. Requests that are not exactly
// what a node sends get no answer, so it is no reflector for others (see @cove/protocol/stun).
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, isIPv6 } from 'node:net';
import { parseAddr } from '@cove/protocol/netaddr';
import { encodeStunResponse, parseStunRequest, STUN_PORT } from '@cove/protocol/stun';

/** Answers that the system has not taken wait in memory: beyond so many bytes of them there are no more. */
const MOST_QUEUED = 64 << 10;

export interface StunMetrics {
  readonly answered: number;
  /** Datagrams that were no request of a node, or came from port 0. */
  readonly ignored: number;
  readonly sendErrors: number;
}

export class StunServer implements AsyncDisposable {
  readonly #sockets: Socket[] = [];
  #answered = 0;
  #ignored = 0;
  #sendErrors = 0;

  /** Binds UDP on each address; port 3478 if absent, 0 for any that is free, the same on each address. Rejects as dgram does. */
  static async listen(hosts: readonly string[], port: number = STUN_PORT): Promise<StunServer> {
    const server = new StunServer();
    try {
      // `::` serves IPv4 too, unless that has an address of its own.
      const ipv6Only = hosts.some((host) => !isIPv6(host));
      for (const host of hosts) {
        await server.#bind(host, server.#sockets[0]?.address().port ?? port, ipv6Only);
      }
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  get addresses(): AddressInfo[] {
    return this.#sockets.map((socket) => socket.address());
  }

  get metrics(): StunMetrics {
    return { answered: this.#answered, ignored: this.#ignored, sendErrors: this.#sendErrors };
  }

  async close(): Promise<void> {
    const sockets = this.#sockets.splice(0);
    await Promise.all(
      sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #bind(host: string, port: number, ipv6Only: boolean): Promise<void> {
    const socket = isIPv6(host) ? createSocket({ type: 'udp6', ipv6Only }) : createSocket('udp4');
    socket.on('message', (datagram, from) => this.#answer(socket, datagram, from));
    socket.bind({ address: host, port });
    try {
      await once(socket, 'listening');
    } catch (error) {
      socket.close();
      throw error;
    }
    socket.on('error', () => {
      this.#sendErrors++;
    });
    this.#sockets.push(socket);
  }

  #answer(socket: Socket, datagram: Uint8Array, from: RemoteInfo): void {
    const txId = parseStunRequest(datagram);
    const addr = parseAddr(from.address.replace(/%.*$/, ''));
    // Nothing can be sent to port 0, which anybody can write into a datagram.
    if (txId === undefined || addr === undefined || from.port === 0) {
      this.#ignored++;
      return;
    }
    this.#answered++;
    const response = encodeStunResponse(txId, addr, from.port);
    try {
      if (socket.getSendQueueSize() >= MOST_QUEUED) {
        this.#sendErrors++;
        return;
      }
      socket.send(response, from.port, from.address, (error) => {
        if (error !== null) this.#sendErrors++;
      });
    } catch {
      // An address or socket that dgram refuses at once.
      this.#sendErrors++;
    }
  }
}
