// What is said to and by a UPnP Internet Gateway Device, as text: SSDP search and answer, device description, SOAP
// calls of its connection services (UPnP Device Architecture 1.1; WANIPConnection:2, :1; WANPPPConnection:1).
import { escapeXml, readXml } from './xml.ts';

export const SSDP_PORT = 1900;
export const SSDP_GROUP = '239.255.255.250';

/** The services that map ports, best first. */
export const CONNECTION_SERVICES = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
] as const;
export type ConnectionService = (typeof CONNECTION_SERVICES)[number];

/** Some devices answer only one of the two. */
export const SEARCH_TARGETS = [
  'ssdp:all',
  'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
] as const;

export function encodeSearch(target: string): Uint8Array {
  return new TextEncoder().encode(
    'M-SEARCH * HTTP/1.1\r\n' +
      `HOST: ${SSDP_GROUP}:${SSDP_PORT}\r\n` +
      `ST: ${target}\r\n` +
      'MAN: "ssdp:discover"\r\n' +
      'MX: 2\r\n\r\n',
  );
}

/** Longer ones are cut: no answer needs as much. */
const MAX_SSDP = 4_096;

/**
 * The answer to a search: the LOCATION of an internet gateway's description, or without one if another device
 * answered. Undefined for what is no answer.
 */
export function parseSearchAnswer(bytes: Uint8Array): { readonly location?: string } | undefined {
  const text = Buffer.from(
    bytes.buffer,
    bytes.byteOffset,
    Math.min(bytes.length, MAX_SSDP),
  ).toString('latin1');
  if (!/^HTTP\/1\.[01] 200(?: |\r?\n)/.test(text)) return undefined;
  if (!text.includes(':InternetGatewayDevice:')) return {};
  for (const line of text.split('\n').slice(1)) {
    const colon = line.indexOf(':');
    if (line.slice(0, Math.max(colon, 0)).trim().toLowerCase() !== 'location') continue;
    const location = line.slice(colon + 1).trim();
    return parseGatewayUrl(location) && { location };
  }
  return undefined;
}

export interface DescribedService {
  readonly type: ConnectionService;
  /** Where it is at the gateway. */
  readonly port: number;
  readonly path: string;
}

/** Where something is at the gateway; its host is not kept. Only http. */
export function parseGatewayUrl(
  text: string,
  base?: string,
): { readonly port: number; readonly path: string } | undefined {
  if (text.length > 1_024) return undefined;
  try {
    const url = new URL(text, base);
    if (url.protocol !== 'http:') return undefined;
    return {
      port: url.port === '' ? 80 : Number(url.port),
      path: url.pathname + url.search,
    };
  } catch {
    return undefined;
  }
}

const MAX_SERVICES = 16;

/** The connection services of a device description, best first; `location` is where it was fetched from. */
export function parseDescription(xml: string, location: string): DescribedService[] {
  const found: { type: ConnectionService; controlUrl: string }[] = [];
  let base = location;
  let type = '';
  let controlUrl = '';
  for (const event of readXml(xml)) {
    if (event.type === 'open') {
      if (event.name === 'service') type = controlUrl = '';
    } else if (event.name === 'serviceType') type = event.text;
    else if (event.name === 'controlURL') controlUrl = event.text;
    else if (event.name === 'URLBase' && event.text !== '') base = event.text;
    else if (event.name === 'service' && controlUrl !== '') {
      const known = CONNECTION_SERVICES.find((service) => service === type);
      if (known !== undefined && found.length < MAX_SERVICES) {
        found.push({ type: known, controlUrl });
      }
    }
  }
  return found
    .flatMap((service) => {
      const url = parseGatewayUrl(service.controlUrl, base);
      return url ? [{ type: service.type, port: url.port, path: url.path }] : [];
    })
    .sort((a, b) => CONNECTION_SERVICES.indexOf(a.type) - CONNECTION_SERVICES.indexOf(b.type));
}

export type IgdAction =
  | 'GetExternalIPAddress'
  | 'AddPortMapping'
  | 'AddAnyPortMapping'
  | 'DeletePortMapping';

export function encodeSoapCall(
  service: ConnectionService,
  action: IgdAction,
  args: Readonly<Record<string, string | number>>,
): string {
  const body = Object.entries(args)
    .map(([name, value]) => `<${name}>${escapeXml(String(value))}</${name}>`)
    .join('');
  return (
    '<?xml version="1.0"?>\r\n' +
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>' +
    `<u:${action} xmlns:u="${service}">${body}</u:${action}></s:Body></s:Envelope>\r\n`
  );
}

export type SoapAnswer =
  | { readonly type: 'result'; readonly values: ReadonlyMap<string, string> }
  /** As in the service's table of error codes; 0 for a fault without one. */
  | { readonly type: 'error'; readonly code: number; readonly description: string };

/** Undefined for what is neither an answer of this action nor a fault. */
export function parseSoapAnswer(xml: string, action: IgdAction): SoapAnswer | undefined {
  const values = new Map<string, string>();
  let answered = false;
  let fault = false;
  for (const event of readXml(xml)) {
    if (event.type === 'open') {
      if (event.name === `${action}Response`) answered = true;
      else if (event.name === 'Fault') fault = true;
    } else if (!values.has(event.name)) values.set(event.name, event.text);
  }
  if (fault) {
    const code = values.get('errorCode') ?? '';
    return {
      type: 'error',
      code: /^\d{1,5}$/.test(code) ? Number(code) : 0,
      description: (values.get('errorDescription') ?? '').slice(0, 200),
    };
  }
  return answered ? { type: 'result', values } : undefined;
}
