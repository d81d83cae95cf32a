// Opens TCP connections into the tailnet, and fails those early that a peer says its rules forbid.
import type { ConnectOptions, TcpHandler, TcpSocket } from '@cove/netstack';
import { parseAddr } from '@cove/protocol/netaddr';
import type { ConnectTarget } from './conn.ts';
import { TsnetError } from './errors.ts';

export interface DialerOptions {
  /** The stack's connect. */
  readonly connect: (options: ConnectOptions) => TcpSocket;
  /** Addresses of a name, preferred first. */
  readonly resolve: (name: string) => readonly string[];
  /** Whether the address is a peer's or our own. */
  readonly routesTo: (address: string) => boolean;
}

interface Attempt {
  readonly socket: TcpSocket;
  readonly handler: TcpHandler;
}

export class Dialer {
  readonly #options: DialerOptions;
  readonly #attempts: Set<Attempt> = new Set();

  constructor(options: DialerOptions) {
    this.#options = options;
  }

  /** Throws ENOTFOUND for a name the tailnet does not know, EHOSTUNREACH for an address that no peer has. */
  connect(target: ConnectTarget, handler: TcpHandler): TcpSocket {
    const { host, port, localAddress, localPort } = target;
    const remoteAddress = parseAddr(host) ? host : this.#options.resolve(host)[0];
    if (remoteAddress === undefined) throw refusal('ENOTFOUND', 'getaddrinfo', host, port);
    if (!this.#options.routesTo(remoteAddress))
      throw refusal('EHOSTUNREACH', 'connect', remoteAddress, port);
    const socket = this.#options.connect({
      remoteAddress,
      remotePort: port,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(localPort === undefined ? {} : { localPort }),
      handler: {
        readable: (s) => handler.readable(s),
        connected: (s) => {
          this.#attempts.delete(attempt);
          s.handler = handler;
          handler.connected?.(s);
        },
        closed: (s, error) => {
          this.#attempts.delete(attempt);
          handler.closed(s, error);
        },
      },
    });
    const attempt: Attempt = { socket, handler };
    this.#attempts.add(attempt);
    return socket;
  }

  /** A peer refuses the connection from our port to its port (TSMP): fail now what would time out in minutes. */
  refused(localPort: number, remoteAddress: string, remotePort: number): void {
    for (const attempt of this.#attempts) {
      const { socket, handler } = attempt;
      if (
        socket.localPort !== localPort ||
        socket.remotePort !== remotePort ||
        socket.remoteAddress !== remoteAddress
      )
        continue;
      this.#attempts.delete(attempt);
      if (socket.state !== 'SYN-SENT') continue;
      setImmediate(() => {
        handler.closed(socket, 'ECONNREFUSED');
        socket.abort();
      });
    }
  }
}

function refusal(
  code: 'ENOTFOUND' | 'EHOSTUNREACH',
  syscall: string,
  address: string,
  port: number,
): TsnetError {
  const where = syscall === 'connect' ? `${address}:${port}` : address;
  return new TsnetError(code, `${syscall} ${code} ${where}`, { syscall, address, port });
}
