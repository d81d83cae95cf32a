// A machine without UDP, for tests: everything goes through relays.
import type { UdpTransport } from '../magicsock/udpsocket.ts';

export function noUdp(): UdpTransport {
  return {
    port: () => 0,
    send: () => false,
    probe: () => false,
    flush: () => {},
    rebind: () => {},
    dropped: 0,
    refused: 0,
    close: () => {},
  };
}
