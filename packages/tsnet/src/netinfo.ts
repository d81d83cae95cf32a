// What a node tells control of its network (Hostinfo.NetInfo), from what it measured.
import type { NetInfo } from '@cove/protocol/tailcfg';
import type { NetcheckReport } from './magicsock/netcheck.ts';
import type { PortServices } from './portmapper/portmapper.ts';

/** As control wants it; seconds. */
export function describeReport(
  report: NetcheckReport,
  services: PortServices | undefined,
  mapped: boolean,
): NetInfo {
  const latency: Record<string, number> = {};
  for (const [id, ms] of report.latencyV4) latency[`${id}-v4`] = ms / 1000;
  for (const [id, ms] of report.latencyV6) latency[`${id}-v6`] = ms / 1000;
  if (!report.udp) for (const [id, ms] of report.latency) latency[`${id}-v4`] = ms / 1000;
  return {
    ...(report.mappingVaries === undefined ? {} : { MappingVariesByDestIP: report.mappingVaries }),
    WorkingIPv6: report.ipv6,
    OSHasIPv6: report.hasIPv6,
    WorkingUDP: report.udp,
    ...(services ? { PMP: services.pmp, PCP: services.pcp, UPnP: services.upnp } : {}),
    ...(mapped ? { HavePortMap: true } : {}),
    DERPLatency: latency,
  };
}
