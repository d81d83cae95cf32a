// `cove control`: the coordination server alone, with a relay beside it unless the relays run elsewhere.
import { readFileSync } from 'node:fs';
import { parseDerpMap } from '@cove/protocol/tailcfg';
import { Command } from 'commander';
import { controlHandlers } from '../admin/control.ts';
import { processHandlers } from '../admin/process.ts';
import { serveAdmin } from '../adminsocket.ts';
import { openDataDir } from '../datadir.ts';
import { Disposal } from '../disposal.ts';
import { CliError } from '../errors.ts';
import { parseListenAddress } from '../listenaddress.ts';
import { createOutput } from '../output.ts';
import { chooseSettings, keepSettings } from '../settings.ts';
import { onInterruption } from '../signals.ts';
import { collect, dirOption, jsonOption, parsePort } from './options.ts';

interface ControlOptions {
  readonly dir: string;
  readonly listen: readonly string[];
  readonly controlPort: number;
  readonly derpPort: number;
  readonly stunPort: number;
  readonly hostname?: string;
  readonly certDir?: string;
  readonly derpMap?: string;
  readonly owner?: string;
  readonly domain?: string;
  readonly json?: true;
}

export function controlCommand(): Command {
  return new Command('control')
    .description('run the coordination server alone, with a relay unless --derp-map names others')
    .addOption(dirOption())
    .option(
      '--listen <address>',
      'serve other machines at this address; repeatable (default: only this machine)',
      collect,
      [],
    )
    .option('--control-port <port>', 'TCP port of the coordination server', parsePort, 8090)
    .option('--derp-port <port>', 'TCP port of the relay', parsePort, 8443)
    .option('--stun-port <port>', 'UDP port of the relay', parsePort, 3478)
    .option(
      '--hostname <name>',
      'name under which other machines find this one (default: its addresses)',
    )
    .option('--cert-dir <path>', "where the relay's certificate is kept (default: in --dir)")
    .option('--derp-map <file>', 'use the relays of this map (JSON) and run none')
    .option('--owner <login>', 'who administers the network (default: <OS user>@<domain>)')
    .option('--domain <name>', 'suffix of all names, chosen once (default: cove.internal)')
    .addOption(jsonOption())
    .action(control);
}

async function control(options: ControlOptions): Promise<void> {
  const { openCoordinator } = await import('../coordinator.ts');
  const output = createOutput();
  using interruption = onInterruption();
  await using opened = new Disposal();
  const listen = options.listen.map(parseListenAddress);
  const derpMap = options.derpMap === undefined ? undefined : readDerpMap(options.derpMap);
  const dir = openDataDir(options.dir);
  let handlers: ReturnType<typeof processHandlers> = {};
  opened.use(await serveAdmin(dir.root, () => handlers));
  const settings = chooseSettings(dir, options);
  const { controlPort, derpPort, stunPort, hostname, certDir } = options;
  const coordinator = opened.use(
    await openCoordinator({
      dir,
      settings,
      listen,
      controlPort,
      derpPort,
      stunPort,
      ...(hostname !== undefined && { hostname }),
      ...(certDir !== undefined && { certDir }),
      ...(derpMap !== undefined && { derpMap }),
    }),
  );
  keepSettings(dir, settings);
  handlers = {
    ...processHandlers({ settings, coordinator, services: [] }),
    ...controlHandlers(coordinator.control),
  };
  const url = coordinator.urls[0] ?? coordinator.localUrl;
  output.line(`control is at ${url}; make keys with: npx cove authkey create --user LOGIN`);
  if (options.json) process.stdout.write(`${JSON.stringify({ event: 'ready', control: url })}\n`);
  await interruption.asked;
  output.line('stopping');
}

function readDerpMap(file: string): ReturnType<typeof parseDerpMap> {
  try {
    return parseDerpMap(readFileSync(file));
  } catch (error) {
    throw new CliError(
      'ERR_INPUT_FILE',
      `${file} is no relay map: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
}
