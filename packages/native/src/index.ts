// Public names of @cove/native, each written out.
export { NativeError, type NativeErrorCode } from './errors.ts';
export { isNativeLoaded } from './loaded.ts';
export { errnoName, netlink, Tun, type TunOptions } from './tun.ts';
