// The go/ links app as a service.

import type { IncomingMessage } from 'node:http';
import { createGolink, type Golink, type GolinkOptions } from '@cove/golink';
import type { Server, WhoIs } from '@cove/tsnet';
import type { DataDir } from '../datadir.ts';
import { errorCode } from '../errors.ts';
import type { App } from './service.ts';
import { tunnelEnd } from './tls.ts';

export const GOLINK_SUMMARY = 'Short links for everyone on this network';

export interface GolinkApp extends App {
  readonly golink: Golink;
}

/** What the command line may say besides. */
export interface GolinkMore
  extends Partial<
    Pick<
      GolinkOptions,
      | 'database'
      | 'readOnly'
      | 'allowUnknownUsers'
      | 'requireIdentity'
      | 'countVisitors'
      | 'schemes'
    >
  > {
  /** Names, besides the node's, that pages are served under. */
  readonly names?: readonly string[];
}

/** Opens the links of `dir` for callers that `node` identifies. `say` gets what the person running it should know. */
export async function openGolink(
  dir: DataDir,
  node: Server,
  say: (line: string) => void,
  more: GolinkMore = {},
): Promise<GolinkApp> {
  const { names = [], ...options } = more;
  const golink = await createGolink({
    database: dir.golinkDatabase,
    hostname: node.status().dnsName.split('.')[0] || 'go',
    hosts: () => [...ownNames(node), ...names],
    log: (message) => say(`go: ${message}`),
    identify: (req) => identify(node, req),
    isKnownUser: (login) => knownUsers(node).has(login),
    isPeerName: (name) => node.status().peers.some((peer) => peer.computedName === name),
    ...options,
  });
  return { golink, handler: golink.handler, close: () => golink.close() };
}

/** The caller as the tunnel knows it; `undefined` for one behind a subnet router. */
async function identify(node: Server, req: IncomingMessage): Promise<WhoIs | undefined> {
  try {
    return await node.whoIs(tunnelEnd(req));
  } catch (error) {
    if (errorCode(error) === 'ERR_NO_SUCH_PEER') return undefined;
    throw error;
  }
}

function ownNames(node: Server): string[] {
  const { dnsName, ips } = node.status();
  return dnsName === '' ? [...ips] : [dnsName, dnsName.split('.')[0]!, ...ips];
}

function knownUsers(node: Server): Set<string> {
  const { self, peers } = node.status();
  return new Set([self?.user ?? '', ...peers.map((peer) => peer.user)]);
}
