// Hand-made network maps for tests.
import type { Node } from '@cove/protocol/tailcfg';
import type { NetworkMap } from '../netmap.ts';

const hex = (n: number): string => n.toString(16).padStart(64, '0');

/** A node with everything the data path asks for; keys are made from the ID unless given. */
export function testNode(id: number, facts: Partial<Node> = {}): Node {
  const addresses = [`100.64.0.${id}/32`, `fd7a:115c:a1e0::${id.toString(16)}/128`];
  return {
    ID: id,
    StableID: `n${id}`,
    Name: `host${id}.example.ts.net.`,
    User: 1,
    Key: `nodekey:${hex(id)}`,
    DiscoKey: `discokey:${hex(id + 0x1000)}`,
    Addresses: addresses,
    AllowedIPs: addresses,
    HomeDERP: 1,
    Hostinfo: {},
    MachineAuthorized: true,
    ...facts,
  };
}

export function testMap(
  self: Node,
  peers: readonly Node[],
  facts: Partial<NetworkMap> = {},
): NetworkMap {
  return {
    self,
    peers: new Map(peers.map((node) => [node.ID, node])),
    users: new Map([
      [1, { ID: 1, LoginName: 'alice@example.com', DisplayName: 'Alice' }],
      [2, { ID: 2, LoginName: 'bob@example.com', DisplayName: 'Bob' }],
      [9, { ID: 9, LoginName: 'tagged-devices', DisplayName: 'Tagged Devices' }],
    ]),
    derpMap: undefined,
    dns: undefined,
    packetFilters: new Map(),
    filterRules: [],
    sshPolicy: undefined,
    domain: 'example.com',
    health: [],
    displayMessages: new Map(),
    clockOffset: 0,
    ...facts,
  };
}

/** Lets everybody reach everything. */
export const ALLOW_ALL: NetworkMap['filterRules'] = [
  { SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: { First: 0, Last: 65535 } }] },
];
