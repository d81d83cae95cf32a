// Public names of @cove/tsnet, each written out.
export type { UndiciConnectOptions, UndiciConnector } from './agent.ts';
export type { Clock, Timer } from './clock.ts';
export { Conn, type ConnAddress } from './conn.ts';
export { TsnetError, type TsnetErrorCode } from './errors.ts';
export { Listener } from './listener.ts';
export { LOG_CHANNEL, type Log, type LogFields, type LogLevel } from './log.ts';
export type { NetcheckReport } from './magicsock/netcheck.ts';
export type { DialOptions, ListenOptions, ServerOptions, UpResult } from './options.ts';
export { PacketConn, type PacketInfo } from './packetconn.ts';
export type { PingOptions, PingResult, PingType } from './ping.ts';
export type { RemoteEnd } from './remoteend.ts';
export { Server, type ServerEvents } from './server.ts';
export type { NodeState, NodeStatus, Status } from './status.ts';
export type { TunSettings } from './tun/machine.ts';
export type { WhoIs } from './whois.ts';
