// A PostgreSQL server of its own for one test: a fresh cluster in a temporary directory, on a loopback port.
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = '/usr/lib/postgresql';
/** Longer than `pg_ctl` waits by itself. */
const PROGRAM_TIMEOUT_MS = 90_000;

export interface Postgres extends AsyncDisposable {
  /** `postgres://` address of an empty database. */
  readonly address: string;
  /** Makes another database, with options of `createdb`; gives its address. */
  create(name: string, options: readonly string[]): string;
  /** As after a power cut: no goodbye to anybody. */
  crash(): void;
  start(): void;
}

/** Where the programs of the newest installed release are; undefined: there are none. */
export function postgresPrograms(): string | undefined {
  if (!existsSync(ROOT)) return undefined;
  const releases = readdirSync(ROOT).sort((a, b) => Number(b) - Number(a));
  return releases
    .map((release) => join(ROOT, release, 'bin'))
    .find((bin) => existsSync(join(bin, 'initdb')));
}

export async function startPostgres(): Promise<Postgres> {
  const bin = postgresPrograms();
  if (bin === undefined) throw new Error('PostgreSQL is not installed');
  const dir = mkdtempSync(join(tmpdir(), 'cove-postgres-'));
  const account = process.getuid?.() === 0 ? accountOf('postgres') : {};
  // The server refuses to be root.
  if (account.uid !== undefined) chownSync(dir, account.uid, account.gid!);
  const port = await freePort();
  const data = join(dir, 'data');
  const run = (program: string, args: readonly string[]): void => {
    execFileSync(join(bin, program), args, {
      ...account,
      cwd: dir,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: PROGRAM_TIMEOUT_MS,
    });
  };
  run('initdb', ['-D', data, '-A', 'trust', '-U', 'cove', '--no-sync', '-E', 'UTF8']);
  const settings = `-p ${port} -k ${dir} -c listen_addresses=127.0.0.1`;
  const start = (): void =>
    run('pg_ctl', ['-D', data, '-l', join(dir, 'log'), '-w', '-t', '60', '-o', settings, 'start']);
  const create = (name: string, options: readonly string[]): string => {
    const server = ['-h', '127.0.0.1', '-p', String(port), '-U', 'cove'];
    run('createdb', [...server, '-T', 'template0', ...options, name]);
    return `postgres://cove@127.0.0.1:${port}/${name}`;
  };
  start();
  return {
    address: create('links', []),
    create,
    crash: () => run('pg_ctl', ['-D', data, '-m', 'immediate', 'stop']),
    start,
    async [Symbol.asyncDispose]() {
      try {
        run('pg_ctl', ['-D', data, '-m', 'immediate', 'stop']);
      } catch {
        // Stopped already.
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function accountOf(name: string): { uid?: number; gid?: number } {
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, name], { encoding: 'utf8' }).trim());
  return { uid: id('-u'), gid: id('-g') };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
