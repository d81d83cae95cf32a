// The data directory: what lives where, and the few settings that must stay the same from one start to the next.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { CliError, errorCode } from './errors.ts';

/** Paths inside one data directory. */
export interface DataDir {
  readonly root: string;
  /** SQLite file of the coordination server. */
  readonly controlDatabase: string;
  /** Key and certificate of the relay. */
  readonly relay: string;
  /** SQLite file of the links. */
  readonly golinkDatabase: string;
  /** State of one embedded node. */
  node(name: string): string;
  /** Whether that node has a state from an earlier start. */
  hasNode(name: string): boolean;
}

/** Creates the directory (0700) where it is missing. Throws `ERR_DIRECTORY_UNUSABLE`. */
export function openDataDir(dir: string): DataDir {
  const root = resolve(dir);
  try {
    for (const part of ['', 'control', 'relay', 'golink', 'nodes']) {
      mkdirSync(join(root, part), { recursive: true, mode: 0o700 });
    }
    if (!statSync(root).isDirectory())
      throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
  } catch (error) {
    throw unusable(root, error);
  }
  return {
    root,
    controlDatabase: join(root, 'control', 'control.db'),
    relay: join(root, 'relay'),
    golinkDatabase: golinkDatabase(root),
    node: (name) => join(root, 'nodes', name),
    hasNode: (name) => existsSync(join(root, 'nodes', name, 'tailscaled.state')),
  };
}

/** Where the links of a data directory are, whether or not it exists. */
export function golinkDatabase(dir: string): string {
  return join(resolve(dir), 'golink', 'links.db');
}

function unusable(root: string, error: unknown): CliError {
  const cause = { cause: error };
  switch (errorCode(error)) {
    case 'EACCES':
    case 'EPERM':
      return new CliError(
        'ERR_DIRECTORY_UNUSABLE',
        `${root} cannot be written by this user: change its owner or choose another --dir`,
        cause,
      );
    // Node reports ENOENT for a directory that cannot be made on a read-only file system.
    case 'ENOENT':
    case 'EROFS':
      return new CliError(
        'ERR_DIRECTORY_UNUSABLE',
        `${root} cannot be created, or is on a read-only file system: choose another --dir`,
        cause,
      );
    case 'ENOSPC':
      return new CliError(
        'ERR_DIRECTORY_UNUSABLE',
        `the disk of ${root} is full: free some space, or choose another --dir`,
        cause,
      );
    case 'EEXIST':
    case 'ENOTDIR':
      return new CliError(
        'ERR_DIRECTORY_UNUSABLE',
        `${root} is a file, not a directory: choose another --dir`,
        cause,
      );
    default:
      return new CliError(
        'ERR_DIRECTORY_UNUSABLE',
        `${root} cannot be used: ${error instanceof Error ? error.message : error}`,
        cause,
      );
  }
}

/** What a tailnet was started with; later starts keep it unless told otherwise. */
export interface TailnetSettings {
  readonly owner: string;
  readonly domain: string;
}

/** `undefined` on the first start. Throws `ERR_INPUT_FILE` for a damaged file, which stays as it is. */
export function readSettings(dir: DataDir): TailnetSettings | undefined {
  const path = join(dir.root, 'tailnet.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { owner, domain } = JSON.parse(text) as Partial<TailnetSettings>;
    if (typeof owner === 'string' && typeof domain === 'string') return { owner, domain };
  } catch {
    // Falls through to the sentence below, which says the same for any damage.
  }
  throw new CliError(
    'ERR_INPUT_FILE',
    `${path} is damaged: restore it from a backup, or write {"owner":"…","domain":"…"} into it`,
  );
}

/** Written aside, synced and renamed, so that a crash leaves the old or the new text. */
export function writeSettings(dir: DataDir, settings: TailnetSettings): void {
  const path = join(dir.root, 'tailnet.json');
  const aside = `${path}.new`;
  const file = openSync(aside, 'w', 0o600);
  try {
    writeSync(file, `${JSON.stringify(settings, undefined, 2)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(aside, path);
}
