// The WireGuard protocol, sans I/O: datagrams, IP packets and the time go in; datagrams, IP packets and events
// come out through a sink. See README.md for the conversation with a Device.
export { COUNT_NAMES, Count } from './counters.ts';
export { Device } from './device.ts';
export { PrefixTable } from './prefixtable.ts';
export type { DeviceOptions, DeviceSink, Peer, PeerConfig, WallTime } from './types.ts';
