// One process per state directory. Node has no flock, so the lock is a file `lock` that names its holder:
// process, start time, boot and PID namespace, linked into place whole. A holder known to be dead (kill -9, reboot)
// is replaced at once; one that cannot be judged (another container or machine on a shared folder) by whether its
// heartbeat still moves.
import { randomUUID } from 'node:crypto';
import {
  linkSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Clock, sleep, type Timer } from './clock.ts';
import { TsnetError } from './errors.ts';

const HEARTBEAT = 5_000;
/** A holder whose heartbeat stands still this long is gone. */
const STALE_AFTER = 15_000;
/** Guards the replacement of a dead holder; its own holder needs it for a few file operations only. */
const GUARD_STALE_AFTER = 5_000;

interface Holder {
  readonly pid: number;
  /** Start of the process in clock ticks since boot; '' where unknown. */
  readonly started: string;
  readonly boot: string;
  readonly namespace: string;
  readonly id: string;
}

export interface StateLock {
  release(): void;
}

/** Throws ERR_STATE_LOCKED when another live process, or this one, holds the directory; ERR_STATE_IO. */
export async function lockStateDir(
  dir: string,
  clock: Clock,
  signal?: AbortSignal,
): Promise<StateLock> {
  const path = join(dir, 'lock');
  const own: Holder = { ...describeProcess(process.pid), id: randomUUID() };
  const draft = join(dir, `lock.${own.id}`);
  writeOrExplain(draft, own, dir);
  try {
    for (;;) {
      if (tryLink(draft, path, dir)) break;
      const verdict = judge(readHolder(path));
      if (verdict === 'alive') throw lockedError(dir, path);
      const still =
        verdict === 'unknown' ? await lastHeartbeat(dir, path, clock, signal) : undefined;
      await replaceDead(dir, path, still, clock, signal);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  let timer: Timer | undefined;
  const beat = (): void => {
    try {
      const now = new Date(clock.wallNow());
      utimesSync(path, now, now);
    } catch {
      // The directory is gone or read-only: the next write of state will say so.
    }
    timer = clock.schedule(HEARTBEAT, beat);
  };
  timer = clock.schedule(HEARTBEAT, beat);
  return {
    release() {
      timer?.cancel();
      try {
        if (readHolder(path)?.id === own.id) unlinkSync(path);
      } catch {
        // Whoever comes next sees a dead holder.
      }
    },
  };
}

function writeOrExplain(draft: string, own: Holder, dir: string): void {
  try {
    writeFileSync(draft, `${JSON.stringify(own)}\n`, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    rmSync(draft, { force: true });
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new TsnetError(
      'ERR_STATE_IO',
      `the state directory ${dir} cannot be written: ${reason}`,
      {
        cause,
        path: dir,
      },
    );
  }
}

function tryLink(draft: string, path: string, dir: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new TsnetError('ERR_STATE_IO', `the state directory ${dir} cannot be locked: ${code}`, {
      cause,
      path,
    });
  }
}

function lockedError(dir: string, path: string): TsnetError {
  const pid = readHolder(path)?.pid;
  const who = pid === process.pid ? 'this process already runs' : `process ${pid ?? '?'} runs`;
  return new TsnetError(
    'ERR_STATE_LOCKED',
    `${who} a node with the state directory ${dir}: give every node its own dir`,
    { path },
  );
}

function readHolder(path: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const holder = value as Holder;
    return typeof holder === 'object' && holder !== null && Number.isInteger(holder.pid)
      ? holder
      : undefined;
  } catch {
    return undefined;
  }
}

/** A lock nobody can read was not written by us in one piece: only its heartbeat can speak for it. */
function judge(holder: Holder | undefined): 'alive' | 'dead' | 'unknown' {
  if (holder === undefined) return 'unknown';
  const us = describeProcess(process.pid);
  if (holder.boot !== us.boot || holder.namespace !== us.namespace) return 'unknown';
  if (!processExists(holder.pid) || isZombie(holder.pid)) return 'dead';
  const now = describeProcess(holder.pid);
  if (holder.started === '' || now.started === '') return 'unknown';
  return holder.started === now.started ? 'alive' : 'dead';
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function describeProcess(pid: number): Omit<Holder, 'id'> {
  const boot = attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const namespace = attempt(() => readlinkSync('/proc/self/ns/pid'));
  const started = processFields(pid)[19] ?? '';
  return { pid, started, boot: boot || hostname(), namespace };
}

/** It has ended, and nobody has waited for it yet: its number and start are still there. */
function isZombie(pid: number): boolean {
  return /^[ZX]/.test(processFields(pid)[0] ?? '');
}

/** Fields of proc_pid_stat(5) from the third on, after the parenthesised name, which may hold anything; empty elsewhere. */
function processFields(pid: number): readonly string[] {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

/**
 * Waits until the lock has not been touched for STALE_AFTER and returns the time of its last touch, undefined when it
 * is gone; throws ERR_STATE_LOCKED as soon as it is touched. A touch in the future comes from another machine's clock.
 */
async function lastHeartbeat(
  dir: string,
  path: string,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const seen = touchedAt(path);
  const since = clock.now();
  for (;;) {
    const touched = touchedAt(path);
    if (touched === undefined) return undefined;
    if (touched !== seen) throw lockedError(dir, path);
    if (clock.wallNow() - touched >= STALE_AFTER || clock.now() - since >= STALE_AFTER) return seen;
    await sleep(clock, 500, signal, true);
  }
}

function touchedAt(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

/** Removes the lock of a dead holder, under a guard so that two who find it dead cannot remove a third's new one. */
async function replaceDead(
  dir: string,
  path: string,
  stoppedAt: number | undefined,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<void> {
  const guard = join(dir, 'lock.guard');
  try {
    writeFileSync(guard, '', { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EEXIST') {
      throw new TsnetError('ERR_STATE_IO', `the state directory ${dir} cannot be locked: ${code}`, {
        cause,
        path: guard,
      });
    }
    const since = touchedAt(guard);
    if (since !== undefined && Math.abs(clock.wallNow() - since) > GUARD_STALE_AFTER) {
      rmSync(guard, { force: true });
    }
    await sleep(clock, 50, signal, true);
    return;
  }
  try {
    const standsStill = stoppedAt !== undefined && touchedAt(path) === stoppedAt;
    if (standsStill || judge(readHolder(path)) === 'dead') rmSync(path, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}
