// The relay map as one client generation reads it.
import type { DERPMap, DERPNode } from '@cove/protocol/tailcfg';
import { ControlError } from '../errors.ts';

/** Clients below this capability version take a certificate pin for a host name and reach nobody. */
export const CAP_CERT_PIN = 115;

/**
 * JSON text of the map, always with omitDefaultRegions. unpinned: certificate pins become InsecureForTests, as relays
 * carry only what is encrypted end to end.
 */
export function derpMapText(map: DERPMap, unpinned: boolean): string {
  const regions = Object.fromEntries(
    Object.entries(map.Regions ?? {}).map(([id, region]) => [
      id,
      { ...region, Nodes: unpinned ? region.Nodes.map(withoutPin) : region.Nodes },
    ]),
  );
  return JSON.stringify({ ...map, Regions: regions, omitDefaultRegions: true });
}

function withoutPin(node: DERPNode): DERPNode {
  if (!node.CertName?.startsWith('sha256-raw:')) return node;
  const { CertName, ...rest } = node;
  return { ...rest, InsecureForTests: true };
}

/** Throws ControlError ERR_INVALID_ARGUMENT for a map clients would choke on. */
export function checkDerpMap(map: DERPMap): void {
  const bad = (message: string): never => {
    throw new ControlError('ERR_INVALID_ARGUMENT', `DERP map: ${message}`);
  };
  const names = new Set<string>();
  for (const [id, region] of Object.entries(map.Regions ?? {})) {
    const { RegionID, Nodes } = region;
    if (String(RegionID) !== id) bad(`region ${id} says RegionID ${RegionID}`);
    if (!Number.isInteger(RegionID) || RegionID < 1 || RegionID > 0xffff) {
      bad(`region ${id} is not from 1 to 65535`);
    }
    for (const node of Nodes) {
      if (node.RegionID !== RegionID)
        bad(`node ${node.Name} is of region ${node.RegionID}, not ${id}`);
      if (node.Name === '' || names.has(node.Name))
        bad(`node name "${node.Name}" is empty or stands twice`);
      if (node.HostName === '') bad(`node ${node.Name} has no HostName`);
      names.add(node.Name);
    }
  }
}
