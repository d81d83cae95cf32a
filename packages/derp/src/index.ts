// Public names of @cove/derp, each written out. The client is @cove/derp/client.
export {
  loadRelayKey,
  loadSelfSigned,
  type RelayCertificate,
} from './certdir.ts';
export { type Clock, systemClock } from './clock.ts';
export { DerpError, type DerpErrorCode } from './errors.ts';
export { type DerpListener, type ListenDerpOptions, listenDerp } from './listen.ts';
export { metacertPem } from './metacert.ts';
export { type DerpMetrics, prometheusText } from './metrics.ts';
export { certificatePin } from './pin.ts';
export { DerpServer, type DerpServerOptions } from './server.ts';
export { type StunMetrics, StunServer } from './stunserver.ts';
export { DerpHttp } from './upgrade.ts';
