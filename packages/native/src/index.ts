// Public names of @cove/native, each written out.
export { NativeError, type NativeErrorCode } from './errors.ts';
export { isNativeLoaded } from './loaded.ts';
export { errnoName, netlink, TUN_SLOTS_LENGTH, Tun, type TunOptions } from './tun.ts';
export {
  hasUdpTrains,
  interfaceIndex,
  interfaceName,
  UDP_MARKS,
  UDP_MESSAGES,
  UDP_ROOM_LENGTH,
  UdpMark,
  type UdpTrainEvents,
  type UdpTrainOptions,
  UdpTrainSocket,
} from './udp.ts';
