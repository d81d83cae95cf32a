// rtnetlink requests (Linux uapi rtnetlink.h, if_link.h, if_addr.h; RFC 3549) that give a network interface its addresses
// and routes. All numbers are in the byte order of the machine.
//
//   header    length u32 | type u16 | flags u16 | sequence u32 | port u32
//   link      family u8 | 0 | type u16 | index i32 | flags u32 | change u32
//   address   family u8 | prefix length u8 | flags u8 | scope u8 | index u32
//   route     family u8 | destination and source length u8 x 2 | tos u8 | table u8 | protocol u8 | scope u8 | type u8 | flags u32
//   attribute length u16 | type u16 | value, padded to 4
import { endianness } from 'node:os';
import type { Prefix } from '@cove/protocol/netaddr';

const LITTLE = endianness() === 'LE';

const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;

const NLM_REQUEST_ACK = 0x0001 | 0x0004;
const NLM_REPLACE = 0x0100;
const NLM_CREATE = 0x0400;

const AF_INET = 2;
const AF_INET6 = 10;
const IFF_UP = 1;
const IFLA_MTU = 4;
const IFLA_AF_SPEC = 26;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const ADDR_GEN_NONE = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
/** Nobody else is on the link who could have the address. */
const IFA_F_NODAD = 2;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_PRIORITY = 6;

/** No link-local address: there is no neighbour to discover. Fails where the kernel has no IPv6. */
export function withoutLinkLocal(index: number): Uint8Array {
  const mode = attribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(ADDR_GEN_NONE));
  return message(
    RTM_NEWLINK,
    0,
    link(index, 0),
    attribute(IFLA_AF_SPEC, attribute(AF_INET6, mode)),
  );
}

export function linkUp(index: number, mtu: number): Uint8Array {
  return message(RTM_NEWLINK, 0, link(index, IFF_UP), attribute(IFLA_MTU, u32(mtu)));
}

export function addAddress(index: number, addr: Uint8Array): Uint8Array {
  return message(RTM_NEWADDR, NLM_CREATE | NLM_REPLACE, ...address(index, addr));
}

export function deleteAddress(index: number, addr: Uint8Array): Uint8Array {
  return message(RTM_DELADDR, 0, ...address(index, addr));
}

/** A route of the main table to the interface. Its metric is the index, so that two interfaces may have the same route. */
export function addRoute(index: number, prefix: Prefix): Uint8Array {
  return message(RTM_NEWROUTE, NLM_CREATE | NLM_REPLACE, ...route(index, prefix));
}

export function deleteRoute(index: number, prefix: Prefix): Uint8Array {
  return message(RTM_DELROUTE, 0, ...route(index, prefix));
}

function link(index: number, flags: number): Uint8Array {
  return join(new Uint8Array(4), u32(index), u32(flags), u32(flags));
}

function address(index: number, addr: Uint8Array): Uint8Array[] {
  const head = Uint8Array.of(family(addr), addr.length * 8, IFA_F_NODAD, RT_SCOPE_UNIVERSE);
  return [join(head, u32(index)), attribute(IFA_LOCAL, addr), attribute(IFA_ADDRESS, addr)];
}

function route(index: number, { addr, bits }: Prefix): Uint8Array[] {
  const scope = addr.length === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const head = Uint8Array.of(
    family(addr),
    bits,
    0,
    0,
    RT_TABLE_MAIN,
    RTPROT_STATIC,
    scope,
    RTN_UNICAST,
  );
  return [
    join(head, u32(0)),
    attribute(RTA_DST, addr),
    attribute(RTA_OIF, u32(index)),
    attribute(RTA_PRIORITY, u32(index)),
  ];
}

function family(addr: Uint8Array): number {
  return addr.length === 4 ? AF_INET : AF_INET6;
}

function message(type: number, flags: number, ...parts: Uint8Array[]): Uint8Array {
  const out = join(new Uint8Array(16), ...parts);
  const view = new DataView(out.buffer);
  view.setUint32(0, out.length, LITTLE);
  view.setUint16(4, type, LITTLE);
  view.setUint16(6, NLM_REQUEST_ACK | flags, LITTLE);
  view.setUint32(8, 1, LITTLE);
  return out;
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const out = new Uint8Array((4 + value.length + 3) & ~3);
  const view = new DataView(out.buffer);
  view.setUint16(0, 4 + value.length, LITTLE);
  view.setUint16(2, type, LITTLE);
  out.set(value, 4);
  return out;
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, LITTLE);
  return out;
}

function join(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
