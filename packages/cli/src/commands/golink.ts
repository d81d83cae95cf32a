// `cove golink`: the go/ links on a tailnet that exists already, or on loopback for trying out.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Golink } from '@cove/golink';
import type { WhoIs } from '@cove/tsnet';
import { Command, Option } from 'commander';
import { golinkHandlers } from '../admin/golink.ts';
import { nodeHandlers } from '../admin/node.ts';
import { processHandlers } from '../admin/process.ts';
import { serveAdmin } from '../adminsocket.ts';
import { openDataDir } from '../datadir.ts';
import { Disposal } from '../disposal.ts';
import { CliError } from '../errors.ts';
import { parseHostPort } from '../listenaddress.ts';
import { createOutput } from '../output.ts';
import { waitAtMost } from '../patience.ts';
import type { GolinkApp, GolinkMore } from '../services/golink.ts';
import type { Certificate } from '../services/tls.ts';
import { onInterruption } from '../signals.ts';
import { manageCommands } from './golinkmanage.ts';
import { moveCommands } from './golinkmove.ts';
import { databaseOption, dirOption, jsonOption, parseTags, verboseOption } from './options.ts';

interface ServeOptions {
  readonly dir: string;
  readonly database?: string;
  readonly hostname: string;
  readonly controlUrl?: string;
  readonly authKey?: string;
  readonly advertiseTags?: string;
  readonly ephemeral?: true;
  readonly snapshot?: string;
  readonly readonly?: true;
  readonly allowUnknownUsers?: true;
  readonly requireIdentity?: true;
  readonly countVisitors?: true;
  readonly schemes?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly devListen?: string;
  readonly json?: true;
  readonly verbose?: true;
}

const HTTPS_HELP = `
HTTPS: port 80 serves plain HTTP, inside the tunnel. With --tls-cert and --tls-key, on any tailnet, port 443 serves HTTPS
under the names in the certificate and port 80 redirects there. This node asks its network for no certificate: Tailscale's
are not fetched yet, and cove control and Headscale issue none.`;

export function golinkCommand(): Command {
  const golink = new Command('golink')
    .description('serve go/ links on a tailnet you already have')
    .enablePositionalOptions()
    .addOption(dirOption())
    .addOption(databaseOption())
    .option('--snapshot <file>', 'at the start, add the links of a snapshot or of golink.db')
    .option('--hostname <name>', 'name of the node', 'go')
    .option('--control-url <url>', 'coordination server (default: TS_CONTROL_URL, else Tailscale)')
    .option(
      '--auth-key <key>',
      'key to join with (default: TS_AUTHKEY; without one a login URL is shown)',
    )
    .addOption(
      new Option('--advertise-tags <tags>', 'tags of the node, as tag:golink,tag:server').env(
        'TS_ADVERTISE_TAGS',
      ),
    )
    .option('--ephemeral', 'leave the tailnet on exit')
    .option('--readonly', 'links are followed, nothing is changed')
    .option('--allow-unknown-users', 'callers the tailnet does not know may make links')
    .option('--require-identity', 'lists and exports only for callers the tailnet knows')
    .option('--count-visitors', 'keep count of who follows what; off, nobody is recorded')
    .option(
      '--schemes <names>',
      'what destinations may begin with (default: http,https,mailto,tel)',
    )
    .option('--tls-cert <file>', 'serve HTTPS with this certificate (PEM), and redirect port 80')
    .option('--tls-key <file>', 'its key (PEM)')
    .option(
      '--dev-listen <address>',
      'no tailnet: plain HTTP on loopback, everyone is foo@example.com, links last until the end unless --database is given',
    )
    .addOption(jsonOption())
    .addOption(verboseOption())
    .addHelpText('after', HTTPS_HELP)
    .action(serve);
  for (const command of [...moveCommands(), ...manageCommands()]) golink.addCommand(command);
  return golink;
}

async function serve(options: ServeOptions): Promise<void> {
  const more = settingsOf(options);
  if (options.devListen !== undefined) return serveDev(options, more);
  const certificate = await certificateOf(options);
  const tags = parseTags(options.advertiseTags ?? '');
  const { GOLINK_SUMMARY, openGolink } = await import('../services/golink.ts');
  const { runService } = await import('../services/service.ts');
  const output = createOutput();
  using interruption = onInterruption();
  await using opened = new Disposal();
  const dir = openDataDir(options.dir);
  let handlers: ReturnType<typeof processHandlers> = {};
  opened.use(await serveAdmin(dir.root, () => handlers));
  let app: GolinkApp | undefined;
  const patience = waitAtMost();
  const service = await output.step(
    'joining the tailnet',
    runService({
      name: 'go',
      summary: GOLINK_SUMMARY,
      signal: AbortSignal.any([interruption.signal, patience.signal]),
      certificate,
      onLogin: (url) => {
        patience.extend();
        output.line(`To let this node in, open ${url}`);
      },
      node: {
        hostname: options.hostname,
        dir: dir.node('golink'),
        ...(options.controlUrl !== undefined && { controlUrl: options.controlUrl }),
        ...(options.authKey !== undefined && { authKey: options.authKey }),
        ...(options.ephemeral && { ephemeral: true }),
        ...(tags.length > 0 && { tags }),
        ...(options.verbose && {
          log: (level: string, message: string, fields?: object) =>
            output.line(`${level}: ${message}${fields ? ` ${JSON.stringify(fields)}` : ''}`),
        }),
      },
      openApp: async (node) => {
        const say = (line: string): void => output.line(line);
        app = await openGolink(dir, node, say, { ...more, names: certificate?.names ?? [] });
        await restoreSnapshot(app.golink, options, say, interruption.signal);
        return app;
      },
    }),
  );
  opened.use(service);
  patience.extend();
  handlers = {
    ...processHandlers({ services: [service] }),
    ...nodeHandlers(service.node, String),
    ...golinkHandlers(app!.golink),
  };
  output.line(
    `go/ links are at ${service.url} (${service.ips.join(', ')}) for everyone on the tailnet; data in ${dir.root}`,
  );
  if (options.json) {
    const { name, ips, url } = service;
    process.stdout.write(`${JSON.stringify({ event: 'ready', services: [{ name, ips, url }] })}\n`);
  }
  await interruption.asked;
  output.line('stopping');
}

function settingsOf(options: ServeOptions): GolinkMore {
  const { database, schemes } = options;
  return {
    ...(database !== undefined && { database }),
    ...(schemes !== undefined && {
      schemes: schemes
        .split(',')
        .map((name) => name.trim())
        .filter(Boolean),
    }),
    readOnly: options.readonly === true,
    allowUnknownUsers: options.allowUnknownUsers === true,
    requireIdentity: options.requireIdentity === true,
    countVisitors: options.countVisitors === true,
  };
}

async function certificateOf({ tlsCert, tlsKey }: ServeOptions): Promise<Certificate | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined)
    throw new CliError('ERR_USAGE', '--tls-cert and --tls-key belong together: give both');
  const { readCertificate } = await import('../services/tls.ts');
  return readCertificate(tlsCert, tlsKey);
}

async function restoreSnapshot(
  golink: Golink,
  { snapshot }: ServeOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  if (snapshot === undefined) return;
  const { added, invalid, conflicting } = await golink.importSnapshot(snapshot, { signal });
  say(
    `${snapshot}: ${added} links restored, ${conflicting.length} were here with another destination, ${invalid.length} lines are no links`,
  );
}

/** The one caller there is. */
const DEVELOPER: WhoIs = {
  node: { id: 0, stableId: '', name: '', computedName: 'localhost', addresses: [], tags: [] },
  user: { id: 0, loginName: 'foo@example.com', displayName: 'foo' },
  capabilities: {},
};

async function serveDev(options: ServeOptions, more: GolinkMore): Promise<void> {
  const output = createOutput();
  const text = options.devListen!.replace(/^localhost(?=:|$)/, '127.0.0.1');
  const { host, port } = parseHostPort(text, { host: '127.0.0.1', port: 8080 }, '--dev-listen');
  // Whoever can connect is foo@example.com.
  if (!host.startsWith('127.') && host !== '::1')
    throw new CliError('ERR_USAGE', `--dev-listen ${options.devListen}: only loopback will do`);
  using interruption = onInterruption();
  await using opened = new Disposal();
  const { createGolink } = await import('@cove/golink');
  const { names: _, ...settings } = more;
  const golink = opened.use(
    await createGolink({
      database: ':memory:',
      identify: async () => DEVELOPER,
      log: (message) => output.line(`go: ${message}`),
      ...settings,
    }),
  );
  await restoreSnapshot(golink, options, (line) => output.line(line), interruption.signal);
  const server = createServer(golink.handler);
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(port, host, done);
  }).catch(async (error: unknown) => {
    const { listenError } = await import('../coordinator.ts');
    throw listenError(error, 'the links', '--dev-listen');
  });
  opened.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port: bound } = server.address() as AddressInfo;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${bound}/`;
  output.line(`go/ links are at ${url}, for this machine only; everyone is foo@example.com`);
  if (options.json)
    process.stdout.write(
      `${JSON.stringify({ event: 'ready', services: [{ name: 'go', ips: [host], url }] })}\n`,
    );
  await interruption.asked;
  output.line('stopping');
}
