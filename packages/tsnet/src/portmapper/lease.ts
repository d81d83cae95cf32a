// What the three protocols have in common: whom they ask, what they get, and why they get nothing.
import { type Prefix, parseAddr, parsePrefix, prefixContains } from '@cove/protocol/netaddr';
import type { Clock } from '../clock.ts';

/** The way to the internet; IPv4, dotted quads. */
export interface Gateway {
  readonly address: string;
  /** Our own address on the gateway's network. */
  readonly self: string;
}

export type ProtocolName = 'nat-pmp' | 'pcp' | 'upnp';

/** Dropped packets, by reason. */
export interface PortMapperCounters {
  /** Not of the protocol, or not the answer to what was asked. */
  malformed: number;
  /** From another host than the gateway. */
  foreign: number;
}

/** What the protocols work with. */
export interface Surroundings {
  readonly clock: Clock;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly counters: PortMapperCounters;
  /** UDP ports of the gateway. */
  readonly ports: { readonly natPmp: number; readonly ssdp: number };
  /** Told of each count of seconds the gateway names; it may have begun anew. */
  readonly epoch: (protocol: 'nat-pmp' | 'pcp', epoch: number) => void;
}

/** A mapping as a gateway granted it. The methods do not reject. */
export interface Lease {
  readonly protocol: ProtocolName;
  readonly externalAddress: string;
  readonly externalPort: number;
  /** Seconds from when it was granted. */
  readonly lifetime: number;
  /** Asks for the same again; the answer may be another address or port. */
  renew(signal: AbortSignal): Promise<Attempt>;
  release(signal: AbortSignal): Promise<void>;
}

export type Attempt =
  | { readonly lease: Lease }
  | {
      /**
       * silent: no answer, or none in time. refused: the gateway does not want to or cannot.
       * unusable: it named an address or port nobody can send to.
       */
      readonly failed: 'silent' | 'refused' | 'unusable';
      readonly detail: string;
    };

/** Asked for; seconds. */
export const LIFETIME = 7_200;

function prefixes(...texts: readonly string[]): readonly Prefix[] {
  return texts.map((text) => parsePrefix(text)!);
}

const PRIVATE = prefixes('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16');
/** This host, loopback, link-local, carrier-grade NAT (which collides with a tailnet's), multicast, reserved. */
const NOWHERE = prefixes(
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '100.64.0.0/10',
  '224.0.0.0/4',
  '240.0.0.0/4',
);

export function isPrivateIPv4(text: string): boolean {
  const bytes = parseAddr(text);
  return bytes !== undefined && PRIVATE.some((prefix) => prefixContains(prefix, bytes));
}

/**
 * Whether anybody could send to an address that a gateway calls its external one. A private one counts: it is of use
 * to neighbours where the gateway is behind a NAT itself.
 */
export function isReachable(text: string, gateway: Gateway): boolean {
  const bytes = parseAddr(text);
  if (bytes?.length !== 4 || NOWHERE.some((prefix) => prefixContains(prefix, bytes))) return false;
  // An inner address is no outer one.
  return text !== gateway.address && text !== gateway.self;
}
