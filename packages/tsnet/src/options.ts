// What the callers of a node hand in and get back.

import type { Crypto } from '@cove/protocol/crypto';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import type { TunSettings } from './tun/machine.ts';
import type { MachineOpener } from './tun/open.ts';

export interface ServerOptions {
  /** The name asked for; the tailnet may append a number. Default: the program's name. */
  readonly hostname?: string;
  /** Where keys are kept, one directory per node. Default: `tsnet-<program>` in the user's configuration folder. */
  readonly dir?: string;
  /**
   * Lets the node in without a person: a key, `file:/path` of one, or a function called when one is needed.
   * Default: TS_AUTHKEY, TS_AUTH_KEY.
   */
  readonly authKey?: string | (() => string | Promise<string>);
  /** Default: TS_CONTROL_URL, then the Tailscale service. */
  readonly controlUrl?: string;
  /** PEM certificates of authorities to trust for the control server and its relays, besides the system's. */
  readonly ca?: string | readonly string[];
  /** The node leaves the tailnet when it closes. Without `dir` nothing is written to disk. */
  readonly ephemeral?: boolean;
  /** Tags to ask for, as `tag:web`. */
  readonly tags?: readonly string[];
  /** What the node has to say; nothing by default. */
  readonly log?: Log;
  /** UDP port for direct paths to peers; 0 or absent: that of the last run if it is free, else any. */
  readonly port?: number;
  /** Ask the gateway to map the UDP port (NAT-PMP, PCP, UPnP). Default: unless TS_DISABLE_PORTMAPPER is set. */
  readonly portMapping?: boolean;
  /**
   * Give the whole machine the node's addresses, through a network interface (Linux; root or CAP_NET_ADMIN). What no
   * listener or connection of this node waits for goes to the machine's own programs; its dials stay the node's.
   */
  readonly tun?: boolean | TunSettings;
  /** Variables in place of process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Time, for tests. */
  readonly clock?: Clock;
  /** Primitives, for environments without node:crypto. */
  readonly crypto?: Crypto;
}

/** The option as the engine takes it. What it needs is loaded for it: few nodes have it. */
export async function machineFrom(tun: ServerOptions['tun']): Promise<MachineOpener | undefined> {
  if (tun === undefined || tun === false) return undefined;
  const { machineOpener } = await import('./tun/open.ts');
  return machineOpener(tun === true ? {} : tun);
}

export interface UpResult {
  /** The node's addresses, IPv4 first. */
  readonly ips: readonly string[];
  /** Fully qualified name without the trailing dot; '' in a tailnet without names. */
  readonly dnsName: string;
  /** The name without the tailnet's suffix. */
  readonly name: string;
  /** Suffix of all names of this tailnet. */
  readonly magicDnsSuffix: string;
  readonly tailnet: string;
}

export interface ListenOptions {
  /** Host order; 0 takes a free one. */
  readonly port: number;
  /** One of the node's own addresses; absent, `0.0.0.0` or `::`: all of them. */
  readonly host?: string;
  /** Connections that may wait to be taken; default 511. */
  readonly backlog?: number;
}

export interface DialOptions {
  /** A node's name, short or full, or an address of the tailnet. */
  readonly host: string;
  readonly port: number;
  readonly signal?: AbortSignal;
  /** Keep the writing side open when the peer ends its own. Default false. */
  readonly allowHalfOpen?: boolean;
}
