// Addresses a person may give to --listen, and what they mean for the machines that shall connect.
import { isIP, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { CliError } from './errors.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** An IP literal, with or without brackets. Throws `ERR_USAGE`. */
export function parseListenAddress(text: string): string {
  const address = text.replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) !== 0) return address;
  throw new CliError(
    'ERR_USAGE',
    `--listen ${text}: give an IP address of this machine, such as ${firstAddress() ?? '192.168.1.5'}`,
  );
}

/** `ADDR`, `ADDR:PORT`, `[V6]:PORT` or `:PORT`. Throws `ERR_USAGE`. */
export function parseHostPort(text: string, fallback: HostPort, option = '--listen'): HostPort {
  if (isIP(text) !== 0) return { host: text, port: fallback.port };
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = match?.[3] === undefined ? fallback.port : Number(match[3]);
  if (match === null || port > 65_535 || (host !== '' && isIP(host) === 0)) {
    throw new CliError(
      'ERR_USAGE',
      `${option} ${text}: give ADDRESS or ADDRESS:PORT, such as ${fallback.host}:${fallback.port}`,
    );
  }
  return { host: host === '' ? fallback.host : host, port };
}

/** `host:port` as it stands in a URL. */
export function urlHost(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::';

/** Addresses of this machine on its networks, IPv4 first, without loopback, link-local and tailnet ones. */
export function machineAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const usable = all.filter(
    ({ internal, address, scopeid }) =>
      !internal &&
      !scopeid &&
      !address.startsWith('169.254.') &&
      !/^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./.test(address),
  );
  return usable.sort((a, b) => a.family.localeCompare(b.family)).map(({ address }) => address);
}

function firstAddress(): string | undefined {
  return machineAddresses()[0];
}

/** The addresses under which other machines reach what listens on `addresses`; wildcards are replaced. */
export function reachableAddresses(addresses: readonly string[]): string[] {
  const expanded = addresses.flatMap((address) => {
    if (!isWildcard(address)) return [address];
    const own = machineAddresses().filter((candidate) => address === '::' || !isIPv6(candidate));
    return own.length > 0 ? own : ['127.0.0.1'];
  });
  return [...new Set(expanded)];
}

/**
 * Is this address one that stock clients dial again by plain HTTP? They do so for loopback and private literals only;
 * under a public one they insist on HTTPS soon after the first connection.
 */
export function isPrivateAddress(address: string): boolean {
  return (
    isLoopback(address) ||
    /^10\.|^192\.168\.|^172\.(1[6-9]|2\d|3[01])\./.test(address) ||
    /^f[cd]/i.test(address)
  );
}
