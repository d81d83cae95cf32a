// Control and relay of a tailnet of one's own, on every address they shall be reached under.
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ControlServer } from '@cove/control';
import { type DerpListener, listenDerp } from '@cove/derp';
import type { DERPMap } from '@cove/protocol/tailcfg';
import type { DataDir, TailnetSettings } from './datadir.ts';
import { Disposal } from './disposal.ts';
import { CliError, errorCode } from './errors.ts';
import { reachableAddresses, urlHost } from './listenaddress.ts';
import { type RelayEndpoint, relayMap } from './relaymap.ts';

export interface CoordinatorOptions {
  readonly dir: DataDir;
  readonly settings: TailnetSettings;
  /** Addresses for other machines, besides loopback. */
  readonly listen: readonly string[];
  /** TCP; 0 takes any free port. */
  readonly controlPort: number;
  /** TCP; 0 takes any free port. */
  readonly derpPort: number;
  /** UDP; 0 takes any free port. */
  readonly stunPort: number;
  /** Where the relay keeps its key and certificate; absent: in `dir`. */
  readonly certDir?: string;
  /** Name under which other machines find this one; absent: its addresses. */
  readonly hostname?: string;
  /** Relays run elsewhere: none is started here. */
  readonly derpMap?: DERPMap;
}

/** Running control and relay. */
export interface Coordinator extends AsyncDisposable {
  readonly control: ControlServer;
  /** Absent where the relays run elsewhere. */
  readonly relay?: DerpListener;
  /** Control's URL on loopback, for the nodes of this process. */
  readonly localUrl: string;
  /** Control's URLs for other machines; empty while only loopback is served. */
  readonly urls: readonly string[];
}

const LOOPBACK = '127.0.0.1';

/** Opens both, control's relay map naming the relay under every address. */
export async function openCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const opened = new Disposal();
  try {
    return await open(options, opened);
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

async function open(options: CoordinatorOptions, opened: Disposal): Promise<Coordinator> {
  const { dir, settings } = options;
  const addresses = options.listen.length > 0 ? options.listen : [LOOPBACK];
  const reachable = reachableAddresses(addresses);
  const servers: HttpServer[] = [];
  opened.defer(() => closeAll(servers));
  let port = options.controlPort;
  for (const address of withLoopback(addresses)) {
    const server = await listenHttp(address, port);
    port = (server.address() as AddressInfo).port;
    servers.push(server);
  }
  const hosts = options.hostname === undefined ? reachable : [options.hostname];
  const urls = hosts
    .filter((address) => address !== LOOPBACK)
    .map((address) => `http://${urlHost(address, port)}`);
  const localUrl = `http://${urlHost(LOOPBACK, port)}`;
  const control = opened.use(
    await ControlServer.open({
      database: dir.controlDatabase,
      serverUrl: urls[0] ?? localUrl,
      domain: settings.domain,
      tailnet: settings.domain,
      owner: settings.owner,
    }),
  );
  const relay =
    options.derpMap === undefined
      ? opened.use(await openRelay(options, control, hosts))
      : undefined;
  await control.setDerpMap(options.derpMap ?? mapOf(relay!, hosts));
  for (const server of servers) control.attach(server);
  return {
    control,
    ...(relay && { relay }),
    localUrl,
    urls,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

async function openRelay(
  { dir, certDir, derpPort, stunPort, listen }: CoordinatorOptions,
  control: ControlServer,
  hosts: readonly string[],
): Promise<DerpListener> {
  return listenDerp({
    host: listen.length > 0 ? listen : [LOOPBACK],
    port: derpPort,
    stunPort,
    certDir: certDir ?? dir.relay,
    hostnames: hosts,
    verify: (key) => control.isKnownNode(key),
  }).catch((error: unknown) => {
    throw listenError(error, 'the relay', '--derp-port or --stun-port');
  });
}

function mapOf(relay: DerpListener, hosts: readonly string[]): DERPMap {
  return relayMap(hosts.map((host) => ({ host, ...relayPorts(relay) })));
}

/** What a relay map says of a running relay besides its name. */
export function relayPorts({
  addresses,
  stunAddresses,
  certPin,
}: DerpListener): Omit<RelayEndpoint, 'host'> {
  return {
    derpPort: addresses[0]!.port,
    stunPort: stunAddresses[0]?.port ?? -1,
    ...(certPin !== undefined && { certName: certPin }),
  };
}

/** Loopback is always served, for the nodes of this process; wildcards include it. */
function withLoopback(addresses: readonly string[]): readonly string[] {
  const served = addresses.some(
    (address) => address === LOOPBACK || address === '0.0.0.0' || address === '::',
  );
  return served ? addresses : [LOOPBACK, ...addresses];
}

/** Throws `ERR_PORT_IN_USE` and `ERR_ADDRESS_UNAVAILABLE` with what to do. */
async function listenHttp(host: string, port: number): Promise<HttpServer> {
  const server = createServer();
  await new Promise<void>((done, fail) => {
    server.once('error', (error) => fail(listenError(error, 'control', '--control-port')));
    server.listen(port, host, done);
  });
  return server;
}

/** A failed bind as a sentence; any other error as it is. */
export function listenError(error: unknown, what: string, flag: string): unknown {
  const { address, port } = error as { address?: string; port?: number };
  const cause = { cause: error };
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return new CliError(
        'ERR_PORT_IN_USE',
        `port ${port} on ${address}, for ${what}, is in use by another program: choose another with ${flag}`,
        cause,
      );
    case 'EADDRNOTAVAIL':
      return new CliError(
        'ERR_ADDRESS_UNAVAILABLE',
        `${address} is not an address of this machine: give --listen one that it has`,
        cause,
      );
    case 'EACCES':
      return new CliError(
        'ERR_PORT_IN_USE',
        `this user may not listen on port ${port}, for ${what}: choose one above 1023 with ${flag}`,
        cause,
      );
    default:
      return error;
  }
}

async function closeAll(servers: readonly HttpServer[]): Promise<void> {
  await Promise.all(
    servers.map((server) => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    }),
  );
}
