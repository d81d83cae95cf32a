// The relay map of a tailnet of one's own: one region, one node for each address the relay is reached under.
import { isIPv6 } from 'node:net';
import type { DERPMap, DERPNode } from '@cove/protocol/tailcfg';

/** 900 to 999 are set aside for regions of one's own. */
export const OWN_REGION = 900;

export interface RelayEndpoint {
  /** An IP literal, or a host name. */
  readonly host: string;
  readonly derpPort: number;
  /** -1: no STUN there. */
  readonly stunPort: number;
  /** `sha256-raw:<hex>` pin of the relay's certificate; absent: the certificate is valid for `host`. */
  readonly certName?: string;
}

export function relayMap(endpoints: readonly RelayEndpoint[]): DERPMap {
  const nodes = endpoints.map((endpoint, i): DERPNode => {
    const { host, derpPort, stunPort, certName } = endpoint;
    const v6 = isIPv6(host);
    const literal = v6 || /^[\d.]+$/.test(host);
    return {
      Name: `${OWN_REGION}${String.fromCharCode(97 + i)}`,
      RegionID: OWN_REGION,
      HostName: host,
      ...(literal && { IPv4: v6 ? 'none' : host, IPv6: v6 ? host : 'none' }),
      DERPPort: derpPort,
      STUNPort: stunPort,
      ...(certName !== undefined && { CertName: certName }),
    };
  });
  return {
    Regions: {
      [String(OWN_REGION)]: {
        RegionID: OWN_REGION,
        RegionCode: 'own',
        RegionName: 'Own relay',
        Nodes: nodes,
      },
    },
    omitDefaultRegions: true,
  };
}
