// A whole private network in one process: control, relay, the services and the doorway, in the order in which each
// needs the one before.
import { hostname as machineName } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { ControlServer } from '@cove/control';
import { Server, type ServerOptions } from '@cove/tsnet';
import { controlHandlers } from './admin/control.ts';
import { golinkHandlers } from './admin/golink.ts';
import { nodeHandlers } from './admin/node.ts';
import { processHandlers } from './admin/process.ts';
import { type AdminHandlers, serveAdmin } from './adminsocket.ts';
import { type Coordinator, openCoordinator } from './coordinator.ts';
import { type DataDir, openDataDir, type TailnetSettings } from './datadir.ts';
import { Disposal } from './disposal.ts';
import { type Doorway, openDoorway } from './doorway/doorway.ts';
import { ownerSecret, ownerUrl } from './doorway/owner.ts';
import { doorwayPages } from './doorway/pages.ts';
import { waitForDoorway } from './doorway/ready.ts';
import { CliError, errorCode } from './errors.ts';
import { GOLINK_SUMMARY, type GolinkApp, openGolink } from './services/golink.ts';
import { type RunningService, runService } from './services/service.ts';
import { chooseSettings, keepSettings } from './settings.ts';

export interface TailnetOptions {
  readonly dir: string;
  readonly port: number;
  readonly controlPort: number;
  readonly derpPort: number;
  readonly stunPort: number;
  readonly listen: readonly string[];
  /** Login of the person at the doorway; absent: as at the last start, at first `<OS user>@<domain>`. */
  readonly owner?: string;
  /** Name of the doorway's node; absent: this machine's. */
  readonly hostname?: string;
  /** MagicDNS suffix; absent: as at the last start, at first `cove.internal`. */
  readonly domain?: string;
  /** Take the machine in as the doorway's node. */
  readonly tun?: ServerOptions['tun'];
  readonly signal: AbortSignal;
  /** What the person who started it should know. */
  say(line: string): void;
  /** Every step, for --verbose. */
  log?(line: string): void;
}

/** A running tailnet. */
export interface Tailnet extends AsyncDisposable {
  readonly dir: DataDir;
  readonly settings: TailnetSettings;
  readonly coordinator: Coordinator;
  readonly services: readonly RunningService[];
  readonly doorway: Doorway;
  /** The doorway for who may let machines in; a secret. */
  readonly ownerUrl: string;
}

/** Machines that run the services are nobody's: they carry this tag. */
const SERVICE_TAG = 'tag:service';
/** What the keys say by which the embedded nodes joined. */
const KEY_OF_GO = 'service go';
const KEY_OF_DOORWAY = 'doorway';
const POLICY_RETRY_MS = 250;
/** A node that has not come up by then will not: everything it needs is in this process. */
const START_TIMEOUT_MS = 45_000;

/** Starts everything; resolves when the doorway has been answered by `go`. */
export async function startTailnet(options: TailnetOptions): Promise<Tailnet> {
  const opened = new Disposal();
  try {
    return await open(options, opened);
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw inTime(error);
  }
}

/** A wait that ran out without a known cause. */
function inTime(error: unknown): unknown {
  if (!(error instanceof DOMException) || error.name !== 'TimeoutError') return error;
  const sentence = `the nodes of this tailnet did not come up within ${START_TIMEOUT_MS / 1000} seconds: start again with --verbose to see why`;
  return new CliError('ERR_START_TIMEOUT', sentence, { cause: error });
}

async function open(options: TailnetOptions, opened: Disposal): Promise<Tailnet> {
  const dir = openDataDir(options.dir);
  let handlers: AdminHandlers = {};
  opened.use(await serveAdmin(dir.root, () => handlers));
  const settings = chooseSettings(dir, options);
  const { listen, controlPort, derpPort, stunPort } = options;
  const coordinator = opened.use(
    await openCoordinator({ dir, settings, listen, controlPort, derpPort, stunPort }),
  );
  const { control } = coordinator;
  keepSettings(dir, settings);
  // From here on the network can be administered: a policy that keeps the nodes from coming up can be changed.
  handlers = {
    ...processHandlers({ settings, coordinator, services: [] }),
    ...controlHandlers(control),
  };

  const timeout = new AbortController();
  const timer = setTimeout(() => {
    timeout.abort(new DOMException('not in time', 'TimeoutError'));
  }, START_TIMEOUT_MS);
  opened.defer(() => clearTimeout(timer));
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, timeout.signal, failed.signal]);
  const nodeOptions = (name: string, directory: string, authKey: () => Promise<string>) => ({
    hostname: name,
    dir: dir.node(directory),
    controlUrl: coordinator.localUrl,
    authKey,
    ...(options.log !== undefined && {
      log: (level: string, message: string, fields?: object) =>
        options.log?.(
          `${name}: ${level}: ${message}${fields === undefined ? '' : ` ${JSON.stringify(fields)}`}`,
        ),
    }),
  });

  const name = options.hostname ?? machineName();
  const doorwayDir = doorwayDirectory(settings.owner);
  if (!dir.hasNode('go')) await forgetNode(control, KEY_OF_GO);
  if (!dir.hasNode(doorwayDir)) await forgetNode(control, KEY_OF_DOORWAY, settings.owner);
  const doorwayNode = new Server({
    ...nodeOptions(
      name,
      doorwayDir,
      async () =>
        (await control.createAuthKey({ user: settings.owner, description: KEY_OF_DOORWAY })).key,
    ),
    ...(options.tun !== undefined && { tun: options.tun }),
  });
  opened.defer(() => doorwayNode.close());
  let links: GolinkApp | undefined;
  const starting = runService({
    name: 'go',
    summary: GOLINK_SUMMARY,
    signal,
    node: nodeOptions('go', 'go', () =>
      serviceKey(control, signal, () => {
        clearTimeout(timer);
        options.say(
          `go cannot join, because the policy does not know ${SERVICE_TAG}: in another terminal, add it to the policy's tagOwners (npx cove policy set FILE) or remove the policy (npx cove policy unset)`,
        );
      }),
    ),
    openApp: async (node) => {
      links = await openGolink(dir, node, options.say);
      return links;
    },
  });
  // Where the doorway's node fails first, the service is still on its way up.
  opened.defer(async () => {
    failed.abort();
    const started = await starting.catch(() => undefined);
    await started?.[Symbol.asyncDispose]();
  });
  const [go] = await Promise.all([starting, doorwayNode.up({ signal })]);

  const doorwayCaller = await doorwayNode.whoIs((await doorwayNode.up({ signal })).ips[0]!);
  const services = [go];
  const secret = ownerSecret(dir);
  const doorway = opened.use(
    await openDoorway({
      port: options.port,
      services,
      agent: doorwayNode.agent(),
      pages: doorwayPages({ services, settings, coordinator, secret, caller: () => doorwayCaller }),
    }),
  );
  await waitForDoorway(doorway, services, signal);
  clearTimeout(timer);
  handlers = {
    ...processHandlers({ settings, coordinator, services, doorway, doorwayNode }),
    ...nodeHandlers(
      doorwayNode,
      (id) => control.getDerpMap().Regions?.[String(id)]?.RegionCode ?? String(id),
    ),
    ...controlHandlers(control),
    ...golinkHandlers(links!.golink),
  };
  return {
    dir,
    settings,
    coordinator,
    services,
    doorway,
    ownerUrl: ownerUrl(doorway.url, secret),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/**
 * An embedded node whose state was deleted comes back as a new machine. The old one will not: it leaves control, so that
 * its name is free. `key`: what the key says by which it joined; `user`: whose it is, absent: it is tagged.
 */
async function forgetNode(control: ControlServer, key: string, user?: string): Promise<void> {
  const keys = new Set(
    control.listAuthKeys().flatMap((each) => (each.description === key ? [each.id] : [])),
  );
  for (const node of control.listNodes()) {
    const isOwn = user === undefined ? node.tags.includes(SERVICE_TAG) : node.user === user;
    if (isOwn && !node.online && keys.has(node.authKeyId ?? '')) await control.deleteNode(node.id);
  }
}

/** A doorway belongs to one person: with another owner comes another node. */
function doorwayDirectory(owner: string): string {
  return `doorway-${owner.replace(/[^A-Za-z0-9.@-]/g, '_')}`;
}

/**
 * A key for one service's node, which is asked for only where the node has no login yet. A policy that does not know
 * the tag is waited for to change: it can only be changed while this process runs.
 */
async function serviceKey(
  control: ControlServer,
  signal: AbortSignal,
  waiting: () => void,
): Promise<string> {
  for (let first = true; ; first = false) {
    try {
      const options = { tags: [SERVICE_TAG], description: KEY_OF_GO };
      return (await control.createAuthKey(options)).key;
    } catch (error) {
      if (errorCode(error) !== 'ERR_INVALID_ARGUMENT') throw error;
    }
    if (first) waiting();
    await delay(POLICY_RETRY_MS, undefined, { signal });
  }
}
