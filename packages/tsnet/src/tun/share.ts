// Two IP stacks with one set of addresses: this process's and the machine's. Which of them a packet from a peer is for.
import type { Stack } from '@cove/netstack';
import { ICMP, ICMPV6, LATER_FRAGMENT, type PacketHeader, TCP, UDP } from '../filter/header.ts';

/** The machine's own IP stack behind a TUN device. */
export interface KernelSink {
  /** A packet for the machine; borrowed for the call. */
  write(buf: Uint8Array, offset: number, length: number): void;
  /** Whether the address at `buf[at]` is that of the services every node has for itself. */
  isService(buf: Uint8Array, at: number, addressLength: number): boolean;
  /** A packet of the machine for those services. */
  service(buf: Uint8Array, offset: number, length: number, now: number): void;
  poll(now: number): void;
  readonly nextTick: number | undefined;
}

export const TO_STACK = 1;
export const TO_MACHINE = 2;

const ECHO_REQUEST = 8;
const ECHO_REQUEST_V6 = 128;

/**
 * TO_STACK for what a connection, listener or socket of ours waits for, TO_MACHINE for all else; both bits for what may
 * concern either: ICMP other than an echo request, and fragments that name no port.
 */
export function takers(
  stack: Stack,
  header: PacketHeader,
  buf: Uint8Array,
  offset: number,
): number {
  const { protocol, family, icmpType } = header;
  switch (protocol) {
    case TCP:
    case UDP: {
      const length = family === 4 ? 4 : 16;
      const source = offset + (family === 4 ? 12 : 8);
      const { srcPort, dstPort, isTcpOpen } = header;
      const destination = source + length;
      return stack.hasEndpoint(
        protocol,
        buf,
        source,
        destination,
        length,
        srcPort,
        dstPort,
        isTcpOpen,
      )
        ? TO_STACK
        : TO_MACHINE;
    }
    case ICMP:
      return icmpType === ECHO_REQUEST ? TO_MACHINE : TO_MACHINE | TO_STACK;
    case ICMPV6:
      return icmpType === ECHO_REQUEST_V6 ? TO_MACHINE : TO_MACHINE | TO_STACK;
    case LATER_FRAGMENT:
      return TO_MACHINE | TO_STACK;
    default:
      return TO_MACHINE;
  }
}
