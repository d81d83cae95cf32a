// A machine behind a NAT that keeps a UDP port mapped: `portmapperhost.js PROTOCOL...` uses only the protocols named
// (nat-pmp, pcp, upnp), prints one JSON line per event, and ends, releasing the mapping, on SIGTERM.
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { PortMapper as Mapper } from '../../packages/tsnet/dist/portmapper/portmapper.js';

const dist = new URL('../../../packages/tsnet/dist/', import.meta.url);
const { PortMapper } = (await import(new URL('portmapper/portmapper.js', dist).href)) as {
  PortMapper: typeof Mapper;
};
const { systemClock } = (await import(new URL('clock.js', dist).href)) as {
  systemClock: ConstructorParameters<typeof Mapper>[0]['clock'];
};

const say = (event: Readonly<Record<string, unknown>>): void => console.log(JSON.stringify(event));
const only = new Set(process.argv.slice(2));

const socket = createSocket('udp4');
socket.bind(0);
await once(socket, 'listening');
socket.on('message', (bytes, from) => say({ arrived: String(bytes), from: from.address }));

const mapper = new PortMapper({
  clock: systemClock,
  randomBytes: (length) => randomBytes(length),
  log: (_level, message, fields) => say({ log: message, ...fields }),
  onChange: (mapping) => say({ mapping: mapping ?? null }),
  allowed: (protocol) => only.has(protocol),
});
say({ services: await mapper.probe() });
mapper.ensure(socket.address().port);

process.on('SIGHUP', () => mapper.networkChanged());
await once(process, 'SIGUSR1');
await mapper.close();
say({ closed: true });
