// Packet memory of a thread, shared by all nodes in it: nothing here outlives the call it is used in. It lies where the
// cipher seals and opens without copying.
import { nodeCrypto } from '@cove/crypto';
import { UDP_MESSAGES, UDP_ROOM_LENGTH } from '@cove/native';
import type { SlotSource } from '@cove/netstack';

/** WireGuard's header before a packet, its padding and tag behind; the stack's MTU fits between. */
const HEADROOM = 16;
const SLOT_LENGTH = 2048;

let output: SlotSource | undefined;
let room: Uint8Array | undefined;

/** Where packets are written that leave. */
export function outputSlot(): SlotSource {
  output ??= { buffer: nodeCrypto().allocSlab(SLOT_LENGTH), next: () => HEADROOM };
  return output;
}

/** Where datagrams are read to: as many messages as the system may hand over at once. */
export function receiveRoom(): Uint8Array {
  room ??= nodeCrypto().allocSlab(UDP_MESSAGES * UDP_ROOM_LENGTH);
  return room;
}

/** Bytes for what is received, which applications keep; small pieces share their memory, as node:net's do. */
export function chunk(length: number): Uint8Array {
  return length <= 2048 ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length);
}
