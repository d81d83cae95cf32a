// What the node says of itself to the coordination server.
import { arch, machine, platform, release } from 'node:os';
import type { Hostinfo, NetInfo, Service } from '@cove/protocol/tailcfg';

/**
 * The capability version claimed: peer relays (120 and 121), as their client, yes.
 * Peers and servers derive from it what they may expect of this node.
 */
export const CAPABILITY_VERSION = 121;

/** Reported as the client's version; the part before the dash is the release the capability version belongs to. */
export const CLIENT_VERSION = '1.84.0-cove0.1.0';

const OS_NAMES: Readonly<Record<string, string>> = {
  darwin: 'macOS',
  win32: 'windows',
  android: 'android',
};

const ARCH_NAMES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

export interface HostinfoFacts {
  readonly hostname: string;
  readonly tags: readonly string[];
  /** 0: no peer API yet. */
  readonly peerApiPort: number;
  /** This node's address families, for the peer API's announcement. */
  readonly families: { readonly v4: boolean; readonly v6: boolean };
  readonly netInfo: NetInfo | undefined;
  /** The machine's own IP stack is in the tailnet. */
  readonly tun: boolean;
}

export function buildHostinfo(facts: HostinfoFacts): Hostinfo {
  const services: Service[] = [];
  if (facts.peerApiPort > 0) {
    if (facts.families.v4) services.push({ Proto: 'peerapi4', Port: facts.peerApiPort });
    if (facts.families.v6) services.push({ Proto: 'peerapi6', Port: facts.peerApiPort });
  }
  return {
    IPNVersion: CLIENT_VERSION,
    Hostname: facts.hostname,
    OS: OS_NAMES[platform()] ?? platform(),
    OSVersion: release(),
    Machine: machine(),
    GoArch: ARCH_NAMES[arch()] ?? arch(),
    Package: 'tsnet',
    App: 'cove',
    Userspace: !facts.tun,
    UserspaceRouter: true,
    NoLogsNoSupport: true,
    ...(facts.tags.length > 0 ? { RequestTags: facts.tags } : {}),
    ...(services.length > 0 ? { Services: services } : {}),
    ...(facts.netInfo === undefined ? {} : { NetInfo: facts.netInfo }),
  };
}

/** A name control can use: the first label, letters, digits and dashes; `fallback` when nothing is left. */
export function cleanHostname(name: string, fallback: string): string {
  const label = name
    .split('.')[0]!
    .replace(/[^A-Za-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return label.slice(0, 63) || fallback;
}
