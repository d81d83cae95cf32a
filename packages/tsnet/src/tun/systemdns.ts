// The machine's own programs find the tailnet's names: its resolver is told to ask 100.100.100.100.
//
// systemd-resolved is told by interface and forgets with it. Elsewhere /etc/resolv.conf is replaced and put back at the
// end; what a killed process left behind is put back at the next start.
import { execFile } from 'node:child_process';
import {
  copyFileSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { DNSConfig } from '@cove/protocol/tailcfg';
import { plainSuffix, SERVICE_ADDRESSES } from '../dns/responder.ts';
import type { Log } from '../log.ts';

const SERVICE = SERVICE_ADDRESSES[0]!;
const HEADER = '# Written by Cove for the tailnet, process ';
/** glibc reads no more. */
const MAX_SEARCH = 6;
const COMMAND_TIMEOUT = 5_000;

export interface SystemDnsOptions {
  readonly interfaceName: string;
  readonly log: Log;
  /** For tests; default `/etc`. */
  readonly etc?: string;
  /** Runs resolvectl; for tests. */
  readonly resolvectl?: (args: readonly string[]) => Promise<void>;
}

export class SystemDns {
  readonly #options: SystemDnsOptions;
  readonly #file: ResolvConf;
  #applied = '';
  #pending: Promise<void> = Promise.resolve();
  readonly #onExit = (): void => this.#file.restore();

  constructor(options: SystemDnsOptions) {
    this.#options = options;
    this.#file = new ResolvConf(options.etc ?? '/etc');
  }

  /** `suffix`: of the tailnet's names. */
  apply(suffix: string, dns: DNSConfig | undefined): void {
    const wanted = dns?.Proxied === true && suffix !== '' ? settingsOf(suffix, dns) : undefined;
    const text = JSON.stringify(wanted) ?? '';
    if (text === this.#applied) return;
    this.#applied = text;
    const { log } = this.#options;
    if (this.#file.isManagedBySystemd()) {
      this.#pending = this.#pending.then(() => this.#tellSystemd(wanted));
      return;
    }
    try {
      if (wanted === undefined) this.#file.restore();
      else if (this.#file.install(wanted.search)) this.#restoreAtExit();
      else log('warn', 'the system asks another tailnet for names: it stays so');
    } catch (error) {
      log('warn', "the machine's resolver could not be told of the tailnet's names", { error });
    }
  }

  #restoreAtExit(): void {
    process.off('exit', this.#onExit);
    process.once('exit', this.#onExit);
  }

  close(): void {
    process.off('exit', this.#onExit);
    try {
      this.#file.restore();
    } catch (error) {
      this.#options.log('error', '/etc/resolv.conf could not be put back', { error });
    }
  }

  async #tellSystemd(wanted: Settings | undefined): Promise<void> {
    const { interfaceName: name, log, resolvectl = runResolvectl } = this.#options;
    try {
      if (wanted === undefined) {
        await resolvectl(['revert', name]);
        return;
      }
      const routes = wanted.isDefault ? ['~.'] : wanted.routes.map((route) => `~${route}`);
      await resolvectl(['dns', name, SERVICE]);
      await resolvectl(['domain', name, ...wanted.search, ...routes]);
      await resolvectl(['default-route', name, String(wanted.isDefault)]);
    } catch (error) {
      log('warn', "systemd-resolved could not be told of the tailnet's names", { error });
    }
  }
}

interface Settings {
  readonly search: readonly string[];
  /** Suffixes to be asked of us, where the machine can tell names apart. */
  readonly routes: readonly string[];
  /** Control names resolvers for everything. */
  readonly isDefault: boolean;
}

function settingsOf(suffix: string, dns: DNSConfig): Settings {
  const search = new Set([suffix, ...(dns.Domains ?? [])].map(plainSuffix));
  const routes = new Set([...search, ...Object.keys(dns.Routes ?? {}).map(plainSuffix)]);
  return {
    search: [...search].filter((domain) => domain !== '').slice(0, MAX_SEARCH),
    routes: [...routes].filter((domain) => domain !== ''),
    isDefault: (dns.Resolvers ?? []).length > 0,
  };
}

/** One resolv.conf and the copy of what it replaced. */
export class ResolvConf {
  readonly #path: string;
  readonly #backup: string;
  readonly #self: string = processName(process.pid) ?? String(process.pid);

  constructor(etc: string) {
    this.#path = join(etc, 'resolv.conf');
    this.#backup = join(etc, 'resolv.pre-cove-backup.conf');
  }

  isManagedBySystemd(): boolean {
    try {
      return (
        lstatSync(this.#path).isSymbolicLink() && /systemd\/resolve/.test(readlinkSync(this.#path))
      );
    } catch {
      return false;
    }
  }

  /** False: somebody else's tailnet has it. */
  install(search: readonly string[]): boolean {
    const current = this.#read();
    const owner = ownerOf(current);
    if (owner === undefined) {
      if (new RegExp(`^nameserver\\s+${SERVICE.replaceAll('.', '\\.')}\\b`, 'm').test(current))
        return false;
      this.#keep();
    } else if (owner !== this.#self) {
      return false;
    }
    const text = [
      `${HEADER}${this.#self}`,
      `# What stood here is in ${this.#backup} and returns when that process ends.`,
      `nameserver ${SERVICE}`,
      ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
      '',
    ].join('\n');
    writeFileSync(this.#path, text, { mode: 0o644 });
    return true;
  }

  /** Puts back what we replaced; leaves alone what others wrote since. */
  restore(): void {
    if (ownerOf(this.#read()) === this.#self) this.#putBack();
  }

  /** Puts back what a process replaced that is no more. */
  recover(): void {
    const owner = ownerOf(this.#read());
    if (owner !== undefined && processName(Number.parseInt(owner, 10)) !== owner) this.#putBack();
  }

  #read(): string {
    try {
      return readFileSync(this.#path, 'utf8');
    } catch {
      return '';
    }
  }

  /** A link is kept as a link; what is mounted there can only be copied. */
  #keep(): void {
    rmSync(this.#backup, { force: true });
    try {
      renameSync(this.#path, this.#backup);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      copyFileSync(this.#path, this.#backup);
    }
  }

  #putBack(): void {
    try {
      renameSync(this.#backup, this.#path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') {
        // There was none before.
        rmSync(this.#path, { force: true });
        return;
      }
      copyFileSync(this.#backup, this.#path);
      rmSync(this.#backup, { force: true });
    }
  }
}

/** The process that wrote the file, if it was one of ours. */
function ownerOf(text: string): string | undefined {
  if (!text.startsWith(HEADER)) return undefined;
  const end = text.indexOf('\n');
  return text.slice(HEADER.length, end < 0 ? undefined : end);
}

/** Number, start and boot of a process: numbers alone come again. Undefined: it is not there. */
function processName(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 22, counted from behind the program's name, which may hold anything.
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${pid} ${started} ${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`;
  } catch {
    return undefined;
  }
}

function runResolvectl(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('resolvectl', args, { timeout: COMMAND_TIMEOUT }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}
