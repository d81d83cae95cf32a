// Public names of @cove/netstack, each written out.
export type {
  BindUdpOptions,
  ConnectOptions,
  KeepAliveOptions,
  ListenOptions,
  Ping,
  PingOptions,
  PingResult,
  SlotSource,
  StackOptions,
  TcpHandler,
  TcpListener,
  TcpOptions,
  TcpRequest,
  TcpSocket,
  TcpState,
  UdpDatagram,
  UdpSocket,
  UdpTarget,
} from './api.ts';
export type { NetstackErrorCode, TcpErrorCode } from './errors.ts';
export { NetstackError } from './errors.ts';
export { Stack } from './stack.ts';
