// `cove join`: this machine as a member of a tailnet, without services of its own.
import { hostname as machineName } from 'node:os';
import { Command } from 'commander';
import { nodeHandlers } from '../admin/node.ts';
import { processHandlers } from '../admin/process.ts';
import { type AdminHandlers, serveAdmin } from '../adminsocket.ts';
import { openDataDir } from '../datadir.ts';
import { Disposal } from '../disposal.ts';
import { createOutput } from '../output.ts';
import { waitAtMost } from '../patience.ts';
import { onInterruption } from '../signals.ts';
import {
  dirOption,
  dnsOption,
  jsonOption,
  tunOption,
  tunSettings,
  verboseOption,
} from './options.ts';

interface JoinOptions {
  readonly dir: string;
  readonly controlUrl?: string;
  readonly authKey?: string;
  readonly hostname?: string;
  readonly tun?: true | string;
  readonly dns: boolean;
  readonly ephemeral?: true;
  readonly json?: true;
  readonly verbose?: true;
}

export function joinCommand(): Command {
  return new Command('join')
    .description('let this machine join a tailnet, without services of its own')
    .addOption(dirOption())
    .option('--control-url <url>', 'coordination server (default: TS_CONTROL_URL, else Tailscale)')
    .option(
      '--auth-key <key>',
      'key to join with (default: TS_AUTHKEY; without one a login URL is shown)',
    )
    .option('--hostname <name>', "name of the node (default: this machine's)")
    .addOption(tunOption())
    .addOption(dnsOption())
    .option('--ephemeral', 'leave the tailnet on exit')
    .addOption(jsonOption())
    .addOption(verboseOption())
    .action(join);
}

async function join(options: JoinOptions): Promise<void> {
  const output = createOutput();
  using interruption = onInterruption();
  await using opened = new Disposal();
  const dir = openDataDir(options.dir);
  const { Server } = await import('@cove/tsnet');
  let handlers: AdminHandlers = {};
  opened.use(await serveAdmin(dir.root, () => handlers));
  const event = (value: object): void => {
    if (options.json) process.stdout.write(`${JSON.stringify(value)}\n`);
  };
  const node = opened.use(
    new Server({
      hostname: options.hostname ?? machineName(),
      dir: dir.node('machine'),
      ...(options.controlUrl !== undefined && { controlUrl: options.controlUrl }),
      ...(options.authKey !== undefined && { authKey: options.authKey }),
      ...(options.ephemeral && { ephemeral: true }),
      ...tunSettings(options),
      log: (level, message, fields) => {
        if (level === 'error') output.warn(message);
        else if (options.verbose)
          output.line(`${level}: ${message}${fields ? ` ${JSON.stringify(fields)}` : ''}`);
      },
    }),
  );
  const patience = waitAtMost();
  node.on('login', (url) => {
    patience.extend();
    output.line(`To let this machine in, open ${url}`);
    event({ event: 'login', url });
  });
  const { ips, name, dnsName, tailnet } = await output.step(
    'joining the tailnet',
    node.up({ signal: AbortSignal.any([interruption.signal, patience.signal]) }),
  );
  patience.extend();
  handlers = {
    ...processHandlers({ services: [], machine: node }),
    ...nodeHandlers(node, String),
  };
  const { interfaceName } = node;
  output.line(
    interfaceName === undefined
      ? `${name} (${ips.join(', ')}) is in ${tailnet}; only this process is, --tun takes the whole machine in`
      : `This machine is ${name} (${ips.join(', ')}) of ${tailnet}, through the interface ${interfaceName}`,
  );
  event({ event: 'ready', name, dnsName, ips, tailnet, interface: interfaceName });
  await interruption.asked;
  output.line('leaving');
}
