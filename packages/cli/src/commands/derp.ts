// `cove derp`: a relay alone, for a network whose coordination server runs elsewhere.
import type { NodePublic } from '@cove/protocol/keys';
import { Command } from 'commander';
import { Disposal } from '../disposal.ts';
import { CliError } from '../errors.ts';
import { parseListenAddress, reachableAddresses } from '../listenaddress.ts';
import { createOutput } from '../output.ts';
import { relayMap } from '../relaymap.ts';
import { onInterruption } from '../signals.ts';
import { collect, jsonOption, parsePort } from './options.ts';

interface DerpOptions {
  readonly listen: readonly string[];
  readonly port: number;
  readonly stunPort: number;
  readonly hostname?: string;
  readonly certDir: string;
  readonly verifyUrl?: string;
  readonly json?: true;
}

export function derpCommand(): Command {
  return new Command('derp')
    .description('run a relay alone and print the relay map that names it')
    .option(
      '--listen <address>',
      'serve at this address; repeatable (default: only this machine)',
      collect,
      [],
    )
    .option('--port <port>', 'TCP port', parsePort, 8443)
    .option('--stun-port <port>', 'UDP port', parsePort, 3478)
    .option('--hostname <name>', 'name under which machines find it (default: its addresses)')
    .option('--cert-dir <path>', 'where its key and certificate are kept', '.cove/relay')
    .option(
      '--verify-url <url>',
      "ask this URL, a coordination server's /verify, which nodes may use it (default: any)",
    )
    .addOption(jsonOption())
    .action(derp);
}

async function derp(options: DerpOptions): Promise<void> {
  const { listenDerp } = await import('@cove/derp');
  const { listenError, relayPorts } = await import('../coordinator.ts');
  const output = createOutput();
  using interruption = onInterruption();
  await using opened = new Disposal();
  const addresses =
    options.listen.length > 0 ? options.listen.map(parseListenAddress) : ['127.0.0.1'];
  const hosts = options.hostname === undefined ? reachableAddresses(addresses) : [options.hostname];
  const { port, stunPort, certDir, verifyUrl } = options;
  const relay = opened.use(
    await listenDerp({
      host: addresses,
      port,
      stunPort,
      certDir,
      hostnames: hosts,
      ...(verifyUrl !== undefined && { verify: verifier(verifyUrl) }),
    }).catch((error: unknown) => {
      throw listenError(error, 'the relay', '--port or --stun-port');
    }),
  );
  const ports = relayPorts(relay);
  const map = relayMap(hosts.map((host) => ({ host, ...ports })));
  output.line(
    `relay is at ${hosts[0]}:${ports.derpPort}, STUN at ${ports.stunPort}; give this map to the coordination server:`,
  );
  process.stdout.write(
    `${options.json ? JSON.stringify({ event: 'ready', derpMap: map }) : JSON.stringify(map, undefined, 2)}\n`,
  );
  await interruption.asked;
  output.line('stopping');
}

const VERIFY_TIMEOUT_MS = 5_000;
const MAX_REMEMBERED = 100_000;

/**
 * Asks the coordination server. While it does not answer, whom it let in before may come back: open networks outlive
 * its absence, and strangers stay outside.
 */
function verifier(url: string): (key: NodePublic) => Promise<boolean> {
  if (!/^https?:\/\//.test(url)) {
    throw new CliError('ERR_USAGE', `--verify-url ${url}: give an http or https URL`);
  }
  const admitted = new Set<NodePublic>();
  return async (key) => {
    let allowed: boolean;
    try {
      allowed = await ask(url, key);
    } catch {
      return admitted.has(key);
    }
    admitted.delete(key);
    if (allowed) {
      if (admitted.size >= MAX_REMEMBERED) admitted.delete(admitted.values().next().value!);
      admitted.add(key);
    }
    return allowed;
  };
}

async function ask(url: string, key: NodePublic): Promise<boolean> {
  const response = await fetch(url, {
    method: 'POST',
    body: JSON.stringify({ NodePublic: key }),
    signal: AbortSignal.timeout(VERIFY_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  const answer = (await response.json()) as { Allow?: unknown };
  return answer.Allow === true;
}
