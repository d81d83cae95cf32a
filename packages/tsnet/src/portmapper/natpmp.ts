// NAT Port Mapping Protocol, client side (RFC 6886). UDP to port 5351 of the default gateway; one request, one
// answer, integers big endian.
//
//   external address request    0: version 0 | 1: opcode 0
//   its answer, 12 bytes        0: version 0 | 1: opcode 128 | 2: result u16 | 4: epoch u32 | 8: IPv4 address
//   map UDP request, 12 bytes   0: version 0 | 1: opcode 1 | 2: zero u16 | 4: internal port u16
//                               6: suggested external port u16 | 8: lifetime u32, seconds
//   its answer, 16 bytes        0: version 0 | 1: opcode 129 | 2: result u16 | 4: epoch u32
//                               8: internal port u16 | 10: external port u16 | 12: lifetime u32
//
// Suggested port 0 and lifetime 0 together end the mapping (section 3.4). An answer with another result than 0 may
// stop after the epoch.
import { Reader, Writer } from '@cove/protocol/bytes';
import { formatAddr } from '@cove/protocol/netaddr';

/** Of gateways, for NAT-PMP and PCP. */
export const NAT_PMP_PORT = 5351;

/** Result codes, section 3.5. */
export const NAT_PMP_RESULT = {
  success: 0,
  unsupportedVersion: 1,
  notAuthorized: 2,
  networkFailure: 3,
  outOfResources: 4,
  unsupportedOpcode: 5,
} as const;

const VERSION = 0;
const ANSWER = 128;
const OPCODE = { externalAddress: 0, mapUdp: 1 } as const;

export type NatPmpResponse =
  | {
      readonly type: 'external-address';
      /** Seconds since the gateway's mapping table was initialised. */
      readonly epoch: number;
      readonly address: string;
    }
  | {
      readonly type: 'map';
      readonly epoch: number;
      readonly internalPort: number;
      readonly externalPort: number;
      /** Seconds. */
      readonly lifetime: number;
    }
  /** A refusal; result is not 0. */
  | {
      readonly type: 'error';
      readonly opcode: number;
      readonly result: number;
      readonly epoch: number;
    };

export function encodeExternalAddressRequest(): Uint8Array {
  return Uint8Array.of(VERSION, OPCODE.externalAddress);
}

export function encodeMapRequest(request: {
  readonly internalPort: number;
  /** 0: the gateway chooses. */
  readonly suggestedPort: number;
  /** Seconds; 0 ends the mapping. */
  readonly lifetime: number;
}): Uint8Array {
  return new Writer(12)
    .u8(VERSION)
    .u8(OPCODE.mapUdp)
    .u16(0)
    .u16(request.internalPort)
    .u16(request.suggestedPort)
    .u32(request.lifetime)
    .finish();
}

/** Undefined for what is no answer of this protocol; bytes after an answer are ignored. */
export function parseNatPmpResponse(bytes: Uint8Array): NatPmpResponse | undefined {
  if (bytes.length < 8 || bytes[0] !== VERSION || bytes[1]! < ANSWER) return undefined;
  const reader = new Reader(bytes);
  reader.skip(1);
  const opcode = reader.u8() - ANSWER;
  const result = reader.u16();
  const epoch = reader.u32();
  if (result !== NAT_PMP_RESULT.success) return { type: 'error', opcode, result, epoch };
  if (opcode === OPCODE.externalAddress && bytes.length >= 12) {
    return { type: 'external-address', epoch, address: formatAddr(reader.bytes(4)) };
  }
  if (opcode === OPCODE.mapUdp && bytes.length >= 16) {
    const internalPort = reader.u16();
    const externalPort = reader.u16();
    return { type: 'map', epoch, internalPort, externalPort, lifetime: reader.u32() };
  }
  return undefined;
}
