// Connections to relays by the DERP client: the one place where magicsock meets a socket of the relay kind.
import { DerpClient } from '@cove/derp/client';
import type { Crypto } from '@cove/protocol/crypto';
import type { PrivateKey } from '@cove/protocol/keys';
import type { Clock } from '../clock.ts';
import { closedError } from '../errors.ts';
import type { RelayClient, RelayDial } from './derp.ts';

export interface RelayDialOptions {
  /** As of now. */
  readonly nodeKey: () => PrivateKey;
  readonly crypto: Crypto;
  readonly clock: Clock;
  /** PEM certificates of authorities trusted besides the system's. */
  readonly ca?: string | readonly string[] | undefined;
}

export function relayDialer(options: RelayDialOptions): RelayDial {
  const { nodeKey, crypto, clock, ca } = options;
  return (region, events) => {
    const abort = new AbortController();
    let client: DerpClient | undefined;
    let isClosed = false;
    const closed = (error: Error | undefined): void => {
      if (isClosed) return;
      isClosed = true;
      events.closed(error);
    };
    DerpClient.connect({
      region,
      privateKey: nodeKey(),
      crypto,
      clock,
      signal: abort.signal,
      ...(ca === undefined ? {} : { ca }),
      handler: {
        packet: (source, packet) => events.packet(source, packet),
        peerGone: (key) => events.peerGone(key),
        health: (problem) => events.health(problem),
        closed,
        drained: () => events.drained(),
      },
    }).then(
      (opened) => {
        if (isClosed) void opened.close();
        else {
          client = opened;
          events.connected();
        }
      },
      (error: unknown) => closed(error as Error),
    );
    const relay: RelayClient = {
      send(key, buf, offset, length) {
        client?.send(key, buf.subarray(offset, offset + length));
      },
      get queuedBytes() {
        return client?.bufferedBytes ?? 0;
      },
      get lastReceivedAt() {
        return client?.lastReceivedAt ?? 0;
      },
      notePreferred: (home) => client?.notePreferred(home),
      ping: (signal) => client?.ping({ signal }) ?? Promise.reject(closedError('the connection')),
      close() {
        isClosed = true;
        abort.abort();
        void client?.close();
      },
    };
    return relay;
  };
}
