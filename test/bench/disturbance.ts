// How much of the machine others used while something was measured: what was not idle, less what this process and its
// descendants used. From /proc, Linux only.
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

interface ProcessTime {
  readonly parent: number;
  /** Ticks. */
  readonly used: number;
}

interface Snapshot {
  /** Ticks of the whole machine, idle time not among them. */
  readonly busy: number;
  readonly processes: ReadonlyMap<number, ProcessTime>;
}

const TICKS_PER_MS = 0.1;

function snapshot(): Snapshot {
  // user, nice, system, idle, iowait, irq, softirq, steal: soft interrupts are counted to a process too.
  const times = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]!.split(/\s+/).slice(1, 9);
  const busy = times.reduce((sum, ticks, i) => (i === 3 || i === 4 ? sum : sum + Number(ticks)), 0);
  const processes = new Map<number, ProcessTime>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const used = Number(fields[11]) + Number(fields[12]);
      processes.set(Number(name), { parent: Number(fields[1]), used });
    } catch {
      // It ended meanwhile.
    }
  }
  return { busy, processes };
}

export class Disturbance {
  readonly #before = snapshot();
  readonly #from = performance.now();

  /** Share of the machine that others have used since this was made; 0 to 1. Ask before own processes end. */
  share(): number {
    const now = snapshot();
    const isOwn = (pid: number): boolean => {
      for (let at = pid; at > 1; at = now.processes.get(at)?.parent ?? 0) {
        if (at === process.pid) return true;
      }
      return false;
    };
    let own = 0;
    for (const [pid, { used }] of now.processes) {
      if (isOwn(pid)) own += used - (this.#before.processes.get(pid)?.used ?? 0);
    }
    const available = (performance.now() - this.#from) * TICKS_PER_MS * cpus().length;
    return Math.max(0, (now.busy - this.#before.busy - own) / available);
  }
}
