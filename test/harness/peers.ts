// Where the stock peers are. `scripts/install-peers.sh` puts them into the user's cache, a folder per release;
// COVE_PEERS names another place of the same shape.
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

const CACHE = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
const ROOT = process.env['COVE_PEERS'] ?? join(CACHE, 'cove', 'peers');

/** The release everything is measured against. */
export const CURRENT_RELEASE = '1.102.3';

/** Path of a stock program, whether it exists or not. */
export function peerPath(program: string, release: string = CURRENT_RELEASE): string {
  return join(ROOT, release, program);
}

/**
 * Why a suite that needs these cannot run here, for `test(name, { skip })`; `false` if it can.
 * Under CI nothing is skipped: the test then fails where the thing is missing.
 */
export function missing(needs: {
  readonly root?: boolean;
  /** Programs of the system. */
  readonly commands?: readonly string[];
  readonly programs?: readonly (readonly [program: string, release: string])[];
}): string | false {
  if (process.env['CI']) return false;
  if (needs.root && process.getuid?.() !== 0) return 'needs root (network namespaces)';
  for (const command of needs.commands ?? []) {
    const dirs = (process.env['PATH'] ?? '').split(delimiter);
    if (!dirs.some((dir) => existsSync(join(dir, command)))) return `${command} is not installed`;
  }
  for (const [program, release] of needs.programs ?? []) {
    const path = peerPath(program, release);
    if (!existsSync(path)) return `${path} is not installed: run scripts/install-peers.sh`;
  }
  return false;
}
