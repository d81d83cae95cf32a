// The node's durable state: a map from key to bytes, in memory or in one file.
//
// The file `tailscaled.state` is a JSON object, key -> base64, as Go's tsnet keeps it, so that a directory made by
// either can be taken over by the other. It is written aside, synced and renamed, mode 0600.
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fromBase64, toBase64, utf8Decode, utf8Encode } from '@cove/protocol/bytes';
import { type Clock, systemClock } from './clock.ts';
import { TsnetError } from './errors.ts';
import { lockStateDir, type StateLock } from './statelock.ts';

export interface StateStore {
  /** The value of a key; undefined when there is none. */
  read(key: string): Uint8Array | undefined;
  /** Writes several keys at once, durably, or none of them; an undefined value deletes. Throws ERR_STATE_IO. */
  write(changes: Readonly<Record<string, Uint8Array | undefined>>): void;
  close(): void;
}

/** State that ends with the process: for ephemeral nodes. */
export class MemoryStore implements StateStore {
  readonly #values = new Map<string, Uint8Array>();

  read(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  write(changes: Readonly<Record<string, Uint8Array | undefined>>): void {
    for (const [key, value] of Object.entries(changes)) {
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
    }
  }

  close(): void {}
}

export const STATE_FILE = 'tailscaled.state';
/** Well above any real state; keeps a wrong file from filling memory. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

export interface FileStoreOptions {
  readonly clock?: Clock;
  readonly signal?: AbortSignal | undefined;
}

export class FileStore implements StateStore {
  readonly dir: string;
  readonly #lock: StateLock;
  #values: ReadonlyMap<string, Uint8Array>;
  #closed = false;

  private constructor(dir: string, lock: StateLock, values: ReadonlyMap<string, Uint8Array>) {
    this.dir = dir;
    this.#lock = lock;
    this.#values = values;
  }

  /**
   * Opens the directory, creating it (0700) where absent, and holds it until close().
   * Throws ERR_STATE_LOCKED, ERR_STATE_CORRUPT (the file is left as it is), ERR_STATE_IO.
   */
  static async open(dir: string, options: FileStoreOptions = {}): Promise<FileStore> {
    createDir(dir);
    const lock = await lockStateDir(dir, options.clock ?? systemClock, options.signal);
    try {
      removeLeftovers(dir);
      return new FileStore(dir, lock, readState(join(dir, STATE_FILE)));
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  read(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  write(changes: Readonly<Record<string, Uint8Array | undefined>>): void {
    if (this.#closed) throw new TsnetError('ERR_CLOSED', 'the state store is closed');
    const next = new Map(this.#values);
    for (const [key, value] of Object.entries(changes)) {
      if (value === undefined) next.delete(key);
      else next.set(key, value);
    }
    const json = Object.fromEntries([...next].map(([key, value]) => [key, toBase64(value)]));
    replaceFile(this.dir, STATE_FILE, utf8Encode(`${JSON.stringify(json, null, 1)}\n`));
    this.#values = next;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#lock.release();
  }
}

function createDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    if (!statSync(dir).isDirectory()) throw new Error('not a directory');
  } catch (cause) {
    throw ioError(`the state directory ${dir} cannot be created`, dir, cause);
  }
}

/** Drafts of a process that died while writing. The lock is held, so nobody is writing now. */
function removeLeftovers(dir: string): void {
  for (const name of readdirSync(dir)) {
    if (name.startsWith(`${STATE_FILE}.draft`)) rmSync(join(dir, name), { force: true });
  }
}

function readState(path: string): ReadonlyMap<string, Uint8Array> {
  let bytes: Uint8Array;
  try {
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (size === 0) return new Map();
    if (size > MAX_FILE_BYTES) throw corruptError(path, `it is ${size} bytes long`);
    bytes = readFileSync(path);
  } catch (cause) {
    if (cause instanceof TsnetError) throw cause;
    throw ioError(`the state file ${path} cannot be read`, path, cause);
  }
  let value: unknown;
  try {
    value = JSON.parse(utf8Decode(bytes));
  } catch (cause) {
    throw corruptError(path, 'it is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw corruptError(path, 'it is not a JSON object');
  }
  const values = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(value)) {
    if (text === null) continue;
    try {
      if (typeof text !== 'string') throw new TypeError('not a string');
      values.set(key, fromBase64(text));
    } catch (cause) {
      throw corruptError(path, `the value of ${JSON.stringify(key)} is not base64`, cause);
    }
  }
  return values;
}

/** The error for state that was read but makes no sense. */
export function corruptError(path: string, why: string, cause?: unknown): TsnetError {
  return new TsnetError(
    'ERR_STATE_CORRUPT',
    `the state file ${path} is damaged: ${why}. It was left as it is: restore it from a backup, or move it away ` +
      'to start as a new node, which needs a new login',
    { cause, path },
  );
}

function ioError(what: string, path: string, cause: unknown): TsnetError {
  const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
  return new TsnetError('ERR_STATE_IO', `${what}: ${reason}`, { cause, path });
}

/** After a crash at any point the file is either the old one or the new one, whole. */
function replaceFile(dir: string, name: string, bytes: Uint8Array): void {
  const path = join(dir, name);
  const draft = `${path}.draft`;
  try {
    const file = openSync(draft, 'w', 0o600);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(draft, path);
    syncDir(dir);
  } catch (cause) {
    rmSync(draft, { force: true });
    throw ioError(`the state file ${path} cannot be written`, path, cause);
  }
}

/** Makes the rename itself durable; some platforms cannot sync a directory and do not need to. */
function syncDir(dir: string): void {
  let handle: number;
  try {
    handle = openSync(dir, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(handle);
  } catch {
    // Windows, some network file systems.
  } finally {
    closeSync(handle);
  }
}
