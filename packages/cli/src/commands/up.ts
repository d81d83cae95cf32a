// `cove up`: a private network of one's own, with its services, on this machine.
import { Command } from 'commander';
import { isPrivateAddress, machineAddresses, parseListenAddress } from '../listenaddress.ts';
import { createOutput, type Output } from '../output.ts';
import { onInterruption } from '../signals.ts';
import type { Tailnet } from '../tailnet.ts';
import {
  collect,
  dirOption,
  dnsOption,
  jsonOption,
  parsePort,
  tunOption,
  tunSettings,
  verboseOption,
} from './options.ts';

interface UpOptions {
  readonly dir: string;
  readonly port: number;
  readonly controlPort: number;
  readonly derpPort: number;
  readonly stunPort: number;
  readonly listen: readonly string[];
  readonly owner?: string;
  readonly hostname?: string;
  readonly domain?: string;
  readonly tun?: true | string;
  readonly dns: boolean;
  readonly json?: true;
  readonly verbose?: true;
}

export function upCommand(): Command {
  return new Command('up')
    .description('start your own private network with its services on this machine')
    .addOption(dirOption())
    .option('--port <port>', 'port of the doorway on localhost', parsePort, 8080)
    .option('--owner <login>', 'login of the person at the doorway (default: <OS user>@<domain>)')
    .option('--hostname <name>', "name of the doorway's node (default: this machine's)")
    .option(
      '--listen <address>',
      'let other machines in at this address; repeatable (default: only this machine)',
      collect,
      [],
    )
    .option('--domain <name>', 'suffix of all names, chosen once (default: cove.internal)')
    .addOption(tunOption())
    .addOption(dnsOption())
    .option('--control-port <port>', 'TCP port of the coordination server', parsePort, 8090)
    .option('--derp-port <port>', 'TCP port of the relay', parsePort, 8443)
    .option('--stun-port <port>', 'UDP port of the relay', parsePort, 3478)
    .addOption(jsonOption())
    .addOption(verboseOption())
    .action(up);
}

async function up(options: UpOptions): Promise<void> {
  const { listen, json, verbose, tun, dns, ...rest } = options;
  const { startTailnet } = await import('../tailnet.ts');
  const output = createOutput();
  using interruption = onInterruption();
  const addresses = listen.map(parseListenAddress);
  const tailnet = await output.step(
    'starting your network',
    startTailnet({
      ...rest,
      ...tunSettings({ dns, ...(tun !== undefined && { tun }) }),
      listen: addresses,
      signal: interruption.signal,
      say: (line) => output.line(line),
      ...(verbose && { log: (line) => output.line(line) }),
    }),
  );
  try {
    welcome(output, tailnet, addresses);
    if (json) process.stdout.write(`${JSON.stringify(readyEvent(tailnet))}\n`);
    await interruption.asked;
    output.line('stopping');
  } finally {
    await tailnet[Symbol.asyncDispose]();
  }
}

/** The one line of `--json`. */
function readyEvent({ coordinator, doorway, settings, services }: Tailnet): unknown {
  return {
    event: 'ready',
    control: coordinator.urls[0] ?? coordinator.localUrl,
    doorway: doorway.url,
    owner: settings.owner,
    services: services.map(({ name, ips, url }) => ({ name, ips, url })),
  };
}

function welcome(output: Output, tailnet: Tailnet, listen: readonly string[]): void {
  const { coordinator, doorway, settings, services, dir, ownerUrl } = tailnet;
  output.line();
  output.line(`Your private network is up. You are ${settings.owner}.`);
  output.line();
  for (const { name, summary } of services) {
    output.line(`  http://${name}.localhost:${doorway.port}/   ${summary}`);
  }
  output.line();
  const [url] = coordinator.urls;
  if (url === undefined) {
    const address = machineAddresses().find(isPrivateAddress) ?? '192.168.1.5';
    output.line(`Let others in:   npm start -- --listen ${address}`);
  } else {
    output.line(
      `Let others in:   npx cove authkey create --user LOGIN, then on their machine, with the Tailscale app:`,
    );
    output.line(`                 tailscale up --login-server ${url} --auth-key KEY`);
  }
  output.line(`Let machines in: ${ownerUrl}`);
  output.line(`Have a tailnet?  TS_AUTHKEY=... npx cove golink   serves the same links there`);
  output.line(`Your data:       ${dir.root}`);
  output.line();
  for (const address of listen) {
    if (isPrivateAddress(address) || address === '0.0.0.0' || address === '::') continue;
    output.warn(
      `${address} is a public address: stock clients insist on HTTPS there, which this server does not offer by itself; put a TLS proxy in front of it`,
    );
  }
}
