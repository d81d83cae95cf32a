// Mappings by UPnP: the gateway is searched for by SSDP, its description fetched, its connection service called.
// Whatever addresses it names, only the default gateway is ever spoken to.
import { createSocket } from 'node:dgram';
import type { Timer } from '../clock.ts';
import { askGateway } from './gatewayhttp.ts';
import {
  type DescribedService,
  encodeSearch,
  encodeSoapCall,
  type IgdAction,
  parseDescription,
  parseGatewayUrl,
  parseSearchAnswer,
  parseSoapAnswer,
  SEARCH_TARGETS,
  type SoapAnswer,
  SSDP_GROUP,
} from './igd.ts';
import {
  type Attempt,
  type Gateway,
  isReachable,
  type Lease,
  LIFETIME,
  type Surroundings,
} from './lease.ts';

/** Milliseconds; a device may use the 2 s of our MX. */
const FIRST_ANSWER = 2_500;
const MORE_ANSWERS = 50;
const DESCRIPTION = 1_000;
const CALL = 2_000;

const MAX_LOCATIONS = 4;
const DESCRIPTION_NAME = 'tailscale-portmap';
/** Tries of another random port when one is taken. */
const PORT_TRIES = 3;

/** Error codes of AddPortMapping. */
const SAME_PORT_TAKEN = 718;
const ONLY_PERMANENT = 725;
const INVALID_ARGS = 402;

/** URLs of descriptions, empty if no gateway answers. Never rejects. */
export function searchUpnp(
  { clock, counters, ports }: Surroundings,
  gateway: Gateway,
  signal: AbortSignal,
): Promise<readonly string[]> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const locations = new Set<string>();
    let done = false;
    const finish = (): void => {
      if (done) return;
      done = true;
      timer.cancel();
      signal.removeEventListener('abort', finish);
      socket.close();
      resolve([...locations]);
    };
    let timer: Timer = clock.schedule(FIRST_ANSWER, finish);
    signal.addEventListener('abort', finish, { once: true });
    if (signal.aborted) {
      finish();
      return;
    }
    socket.on('error', finish);
    socket.on('message', (bytes, from) => {
      if (from.address !== gateway.address) {
        counters.foreign++;
        return;
      }
      const answer = parseSearchAnswer(bytes);
      if (answer === undefined) counters.malformed++;
      if (answer?.location === undefined) return;
      if (locations.size === 0) {
        timer.cancel();
        timer = clock.schedule(MORE_ANSWERS, finish);
      }
      if (locations.size < MAX_LOCATIONS) locations.add(answer.location);
    });
    socket.bind({ address: gateway.self, port: 0 }, () => {
      if (done) return;
      socket.setMulticastInterface(gateway.self);
      for (const target of SEARCH_TARGETS) {
        for (const address of [gateway.address, SSDP_GROUP]) {
          // A network without multicast still has the gateway.
          socket.send(encodeSearch(target), ports.ssdp, address, () => {});
        }
      }
    });
  });
}

async function describe(
  env: Surroundings,
  gateway: Gateway,
  locations: readonly string[],
  signal: AbortSignal,
): Promise<readonly DescribedService[]> {
  for (const location of locations) {
    const url = parseGatewayUrl(location);
    if (url === undefined) continue;
    const answer = await askGateway(
      env,
      gateway,
      { method: 'GET', ...url, timeout: DESCRIPTION },
      signal,
    );
    if (answer?.status !== 200) continue;
    const services = parseDescription(answer.body, location);
    if (services.length > 0) return services;
  }
  return [];
}

async function call(
  env: Surroundings,
  gateway: Gateway,
  { type, port, path }: DescribedService,
  action: IgdAction,
  args: Readonly<Record<string, string | number>>,
  signal: AbortSignal,
): Promise<SoapAnswer | undefined> {
  const answer = await askGateway(
    env,
    gateway,
    {
      method: 'POST',
      port,
      path,
      headers: { 'Content-Type': 'text/xml; charset="utf-8"', SOAPAction: `"${type}#${action}"` },
      body: encodeSoapCall(type, action, args),
      timeout: CALL,
    },
    signal,
  );
  return answer && parseSoapAnswer(answer.body, action);
}

/** suggestedPort: 0, or the external port held before. Does not reject. */
export async function mapUpnp(
  env: Surroundings,
  gateway: Gateway,
  locations: readonly string[],
  internalPort: number,
  suggestedPort: number,
  signal: AbortSignal,
): Promise<Attempt> {
  const services = await describe(env, gateway, locations, signal);
  let attempt: Attempt = { failed: 'silent', detail: 'no description of a connection service' };
  for (const service of services) {
    attempt = await mapByService(env, gateway, service, internalPort, suggestedPort, signal);
    if ('lease' in attempt) break;
  }
  return attempt;
}

async function mapByService(
  env: Surroundings,
  gateway: Gateway,
  service: DescribedService,
  internalPort: number,
  suggestedPort: number,
  signal: AbortSignal,
): Promise<Attempt> {
  // A device lists services that are not connected too; the address tells.
  const external = await call(env, gateway, service, 'GetExternalIPAddress', {}, signal);
  if (external?.type !== 'result') return failure(external);
  const externalAddress = external.values.get('NewExternalIPAddress') ?? '';
  if (!isReachable(externalAddress, gateway)) {
    return { failed: 'unusable', detail: `external address ${externalAddress.slice(0, 50)}` };
  }
  const added = await addMapping(env, gateway, service, internalPort, suggestedPort, signal);
  if (!('port' in added)) return added;
  const externalPort = added.port;
  const lease: Lease = {
    protocol: 'upnp',
    externalAddress,
    externalPort,
    lifetime: LIFETIME,
    renew: (renewal) => mapByService(env, gateway, service, internalPort, externalPort, renewal),
    release: async (leaving) => {
      const args = { NewRemoteHost: '', NewExternalPort: externalPort, NewProtocol: 'UDP' };
      await call(env, gateway, service, 'DeletePortMapping', args, leaving);
    },
  };
  return { lease };
}

type Added = { readonly port: number } | Exclude<Attempt, { lease: Lease }>;

async function addMapping(
  env: Surroundings,
  gateway: Gateway,
  service: DescribedService,
  internalPort: number,
  suggestedPort: number,
  signal: AbortSignal,
): Promise<Added> {
  let port = suggestedPort === 0 ? randomPort(env) : suggestedPort;
  let lifetime = LIFETIME;
  let action: IgdAction = service.type.endsWith(':WANIPConnection:2')
    ? 'AddAnyPortMapping'
    : 'AddPortMapping';
  let answer: SoapAnswer | undefined;
  for (let tries = 0; tries < PORT_TRIES; ) {
    answer = await call(
      env,
      gateway,
      service,
      action,
      {
        NewRemoteHost: '',
        NewExternalPort: port,
        NewProtocol: 'UDP',
        NewInternalPort: internalPort,
        NewInternalClient: gateway.self,
        NewEnabled: 1,
        NewPortMappingDescription: DESCRIPTION_NAME,
        NewLeaseDuration: lifetime,
      },
      signal,
    );
    if (answer === undefined) break;
    if (answer.type === 'result') {
      if (action === 'AddPortMapping') return { port };
      const reserved = answer.values.get('NewReservedPort') ?? '';
      const granted = /^\d{1,5}$/.test(reserved) ? Number(reserved) : 0;
      if (granted > 0 && granted < 65536) return { port: granted };
      return { failed: 'unusable', detail: `external port ${reserved.slice(0, 50)}` };
    }
    if ((answer.code === INVALID_ARGS || answer.code === ONLY_PERMANENT) && lifetime !== 0) {
      lifetime = 0;
    } else if (action === 'AddAnyPortMapping') {
      action = 'AddPortMapping';
      lifetime = LIFETIME;
    } else if (answer.code === SAME_PORT_TAKEN) {
      port = randomPort(env);
      tries++;
    } else {
      break;
    }
  }
  return failure(answer);
}

function failure(answer: SoapAnswer | undefined): Exclude<Attempt, { lease: Lease }> {
  if (answer?.type !== 'error') return { failed: 'silent', detail: 'no answer to a call' };
  return { failed: 'refused', detail: `error ${answer.code} ${answer.description}`.trim() };
}

/** Not one of the system ports. */
function randomPort({ randomBytes }: Surroundings): number {
  const bytes = randomBytes(2);
  return 1024 + ((((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)) % (65536 - 1024));
}
