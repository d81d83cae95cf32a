// What the process's environment contributes to a node's options, under the names the Go library uses:
// an option given in code wins, an empty one falls back to the variable.
import { readFile } from 'node:fs/promises';
import { homedir, platform } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { TsnetError } from './errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export const DEFAULT_CONTROL_URL = 'https://controlplane.tailscale.com';

/** The first of the values that is neither absent nor empty. */
function first(...values: (string | undefined)[]): string | undefined {
  return values.find((value) => value !== undefined && value !== '');
}

export function controlUrlFrom(option: string | undefined, env: Environment): string {
  return first(option, env['TS_CONTROL_URL']) ?? DEFAULT_CONTROL_URL;
}

export function forceLoginFrom(env: Environment): boolean {
  return env['TSNET_FORCE_LOGIN'] === '1' || env['TSNET_FORCE_LOGIN'] === 'true';
}

/** Whether to ask the gateway for a port mapping. */
export function portMappingFrom(option: boolean | undefined, env: Environment): boolean {
  const off = env['TS_DISABLE_PORTMAPPER'];
  return option ?? !(off === '1' || off === 'true');
}

/** Gives an auth key when one is needed: at a first login, or when a login must be renewed. */
export type AuthKeySource = () => Promise<string>;

/**
 * Where the auth key comes from, or undefined when none was given. `file:/path` is read when needed, its white
 * space trimmed; a function is called each time. The source throws ERR_AUTH_KEY when there is no key to be had
 * and ERR_AUTH_KEY_UNSUPPORTED for kinds of credential this node cannot use, which are refused here where known.
 */
export function authKeySource(
  option: string | (() => string | Promise<string>) | undefined,
  env: Environment,
): AuthKeySource | undefined {
  if (typeof option === 'function') return async () => supported((await option()).trim());
  const given = first(option, env['TS_AUTHKEY'], env['TS_AUTH_KEY']);
  if (given === undefined) {
    if (first(env['TS_CLIENT_SECRET'], env['TS_CLIENT_ID']) !== undefined) {
      throw unsupported('TS_CLIENT_SECRET and TS_CLIENT_ID (OAuth clients)');
    }
    return undefined;
  }
  if (given.startsWith('file:')) {
    return async () => supported(await keyFile(given.slice('file:'.length)));
  }
  const key = supported(given.trim());
  return async () => key;
}

function supported(key: string): string {
  if (key === '') throw new TsnetError('ERR_AUTH_KEY', 'the auth key is empty');
  if (key.startsWith('tskey-client-')) throw unsupported('OAuth client secrets (tskey-client-…)');
  if (key.includes('--TL')) {
    throw unsupported('auth keys wrapped with a tailnet-lock signature (…--TL…)');
  }
  return key;
}

function unsupported(what: string): TsnetError {
  return new TsnetError(
    'ERR_AUTH_KEY_UNSUPPORTED',
    `${what} are not supported: create a plain auth key and pass it as authKey or TS_AUTHKEY`,
  );
}

async function keyFile(path: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new TsnetError('ERR_AUTH_KEY', `the auth key file ${path} cannot be read`, {
      cause,
      path,
    });
  }
  if (text === '')
    throw new TsnetError('ERR_AUTH_KEY', `the auth key file ${path} is empty`, { path });
  return text;
}

/** Names that say nothing about the program; its folder's name says more. */
const COMMON_SCRIPTS = new Set(['index', 'main', 'server', 'app', 'start', 'cli']);
const COMMON_FOLDERS = new Set(['dist', 'src', 'bin', 'lib', 'build', 'out']);

/** The program's name in lower case, for a default hostname and state directory; `tsnet` where there is none. */
export function programName(script: string | undefined): string {
  if (script === undefined || script === '') return 'tsnet';
  let path = script.replace(/\.(?:[cm]?[jt]s|exe)$/i, '');
  while (
    path !== dirname(path) &&
    (COMMON_SCRIPTS.has(basename(path)) || COMMON_FOLDERS.has(basename(path)))
  ) {
    path = dirname(path);
  }
  return basename(path).toLowerCase() || 'tsnet';
}

/** `<user configuration folder>/tsnet-<program>`. */
export function defaultStateDir(program: string, env: Environment): string {
  return join(configFolder(env), `tsnet-${program}`);
}

function configFolder(env: Environment): string {
  switch (platform()) {
    case 'darwin':
      return join(homedir(), 'Library', 'Application Support');
    case 'win32':
      return first(env['APPDATA']) ?? join(homedir(), 'AppData', 'Roaming');
    default:
      return first(env['XDG_CONFIG_HOME']) ?? join(homedir(), '.config');
  }
}
