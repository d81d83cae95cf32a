// A stock node as its applications meet it: SOCKS5 on loopback, and the local API on a Unix socket.
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { SOCKS_PORT } from '../harness/stocknode.ts';

const keepAlive = new Agent({ keepAlive: true });

interface LocalStatus {
  readonly Peer?: Readonly<
    Record<
      string,
      {
        readonly TailscaleIPs?: readonly string[];
        readonly CurAddr?: string;
        readonly Relay?: string;
      }
    >
  > | null;
}

/** The direct address in use to a peer; '' through a relay. */
export async function stockPath(socketPath: string, address: string): Promise<string> {
  const { Peer } = await localStatus(socketPath);
  return (
    Object.values(Peer ?? {}).find((peer) => peer.TailscaleIPs?.includes(address))?.CurAddr ?? ''
  );
}

/** Addresses of the peers whose home relay it knows. */
export async function stockPeers(socketPath: string): Promise<string[]> {
  const { Peer } = await localStatus(socketPath);
  return Object.values(Peer ?? {}).flatMap((peer) => (peer.Relay ? (peer.TailscaleIPs ?? []) : []));
}

function localStatus(socketPath: string): Promise<LocalStatus> {
  return new Promise((done, fail) => {
    request(
      {
        socketPath,
        agent: keepAlive,
        path: '/localapi/v0/status',
        headers: { host: 'local-tailscaled.sock' },
      },
      async (res) => {
        try {
          let body = '';
          for await (const chunk of res.setEncoding('utf8')) body += chunk;
          done(JSON.parse(body) as LocalStatus);
        } catch (error) {
          fail(error);
        }
      },
    )
      .once('error', fail)
      .end();
  });
}

/** A connection through the SOCKS5 proxy (RFC 1928, no authentication, an IPv4 address). */
export async function dialSocks(
  address: string,
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: SOCKS_PORT, signal });
  socket.setNoDelay(true);
  const octets = address.split('.').map(Number);
  try {
    socket.write(Uint8Array.of(5, 1, 0));
    const method = await readBytes(socket, 2, signal);
    if (method[1] !== 0) throw new Error(`SOCKS method ${method[1]}`);
    socket.write(Uint8Array.of(5, 1, 0, 1, ...octets, port >> 8, port & 0xff));
    const reply = await readBytes(socket, 10, signal);
    if (reply[1] !== 0) throw new Error(`SOCKS reply ${reply[1]}`);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function readBytes(socket: Socket, length: number, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((done, fail) => {
    const stop = (): void => {
      socket.off('readable', look);
      socket.off('error', onError);
      signal.removeEventListener('abort', onAbort);
    };
    const onError = (error: Error): void => {
      stop();
      fail(error);
    };
    const onAbort = (): void => onError(signal.reason as Error);
    const look = (): void => {
      const bytes = socket.read(length) as Uint8Array | null;
      if (bytes === null) {
        if (socket.readableEnded) onError(new Error('SOCKS connection ended'));
        return;
      }
      stop();
      done(bytes);
    };
    socket.on('readable', look).on('error', onError);
    signal.addEventListener('abort', onAbort);
    look();
  });
}
