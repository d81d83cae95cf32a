// PeerAPI: a small HTTP server on the node's own addresses, for other nodes of the tailnet.
//
// The port follows from the address, so that peers of a restarted node find it again. It is reachable whatever the
// packet filter says, hence each request is judged here: the caller must be a node, the Host one of ours, and no
// browser may have been talked into sending it.
import { crc32 } from 'node:zlib';
import { parseAddr } from '@cove/protocol/netaddr';

/** The port for the first of a node's addresses: 32768 or'ed with 16 bits of the CRC-32 of its last three bytes. */
export function peerApiPort(address: string): number {
  const addr = parseAddr(address);
  if (!addr) return 0;
  return 0x8000 | (crc32(addr.subarray(-3)) & 0xffff);
}
