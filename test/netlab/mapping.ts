// Two nodes behind hard NATs, which meet through the relay only, unless the router of one maps a port for it.
import { eventually } from '../harness/lab.ts';
import { WINDOW } from './measure.ts';
import { type MappingProtocol, mappedPorts, type Network } from './network.ts';
import { Station } from './station.ts';

export interface MappingResult {
  readonly protocol: MappingProtocol;
  /** Addresses at which the router lets in what it was asked to. */
  readonly mapped: readonly string[];
  /** Where the other side sends in the end; '' through the relay. */
  readonly path: string;
  readonly error?: string;
}

const MAPPING_TIMEOUT = 15_000;
const POLL = 20;
const PACE = 50;

/** A Cove node at a new site whose hard router knows one protocol only, met by the Cove node at `from`. */
export async function meetMapped(
  network: Network,
  protocol: MappingProtocol,
  from: Station,
  authKey: string,
  log: (line: string) => void,
): Promise<MappingResult> {
  const site = network.addSite('hard', protocol, [protocol]);
  const station = new Station(site);
  let mapped: string[] = [];
  try {
    await station.join(authKey, 'cove');
    await eventually(
      () => `the router was not asked for a port by ${protocol}`,
      MAPPING_TIMEOUT,
      async () => {
        const ports = await mappedPorts(site.border);
        mapped = ports.map((port) => `${site.outside[0]}:${port}`);
        return mapped.length > 0;
      },
    );
    await from.meets([station.addresses.cove], 'cove');
    const through = from.through('cove');
    const { contact, path = '' } = await from.contact({
      through,
      address: station.addresses.cove,
      window: WINDOW,
      poll: POLL,
      pace: PACE,
      return: 'direct',
    });
    await from.end(contact);
    log(`${protocol} mapped ${mapped.join(', ')}; path ${path === '' ? 'relay' : path}`);
    return { protocol, mapped, path };
  } catch (error) {
    return {
      protocol,
      mapped,
      path: '',
      error: error instanceof Error ? error.message : String(error),
    };
  } finally {
    await station.leave();
  }
}
