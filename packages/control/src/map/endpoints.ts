// Which of a node's UDP endpoints are of use to others.
import { parseAddr, parseAddrPort } from '@cove/protocol/netaddr';

/** Stock reports a handful; more would only be probed in vain. */
const MAX_ENDPOINTS = 64;

/** Valid ip:port texts without IPv6 link-local addresses, which mean nothing beyond one link. */
export function usableEndpoints(endpoints: readonly string[]): string[] {
  return endpoints.slice(0, MAX_ENDPOINTS).filter((endpoint) => {
    const parsed = parseAddrPort(endpoint);
    if (parsed === undefined || parsed.port === 0) return false;
    const addr = parseAddr(parsed.addr)!;
    return !(addr.length === 16 && addr[0] === 0xfe && (addr[1]! & 0xc0) === 0x80);
  });
}
