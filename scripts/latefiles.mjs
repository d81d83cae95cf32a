// Tells of a test file that is about to be ended because it does not end: its processes, what they wait for, and their
// stacks where gdb is installed.
import { spawnSync } from 'node:child_process';

const EVERY_MS = 15_000;

/** `runner`: process whose children are the files; `seconds`: the age from which one is told of. Gives what ends it. */
export function tellOfLateFiles(runner, seconds) {
  const told = new Set();
  const timer = setInterval(() => {
    const processes = running();
    for (const { pid, ppid, age } of processes) {
      if (ppid !== runner || age < seconds || told.has(pid)) continue;
      told.add(pid);
      tell(family(pid, processes));
    }
  }, EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** Nothing where there is no ps: Node's own limit ends the file all the same. */
function running() {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid=,etime=,stat=,wchan=,args='], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  return (stdout ?? '').split('\n').flatMap((line) => {
    const [, pid, ppid, etime, rest] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    return rest === undefined
      ? []
      : [{ pid: Number(pid), ppid: Number(ppid), age: secondsOf(etime), etime, rest }];
  });
}

/** Of `[[days-]hours:]minutes:seconds`. */
function secondsOf(etime) {
  const [clock, days = 0] = etime.split('-').reverse();
  const inDay = clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  return Number(days) * 86_400 + inDay;
}

function family(pid, processes) {
  const own = processes.filter((one) => one.pid === pid);
  const children = processes.filter((one) => one.ppid === pid);
  return [...own, ...children.flatMap((child) => family(child.pid, processes))];
}

/** The end of a command says most: which file it is. */
function shortened(command) {
  return command.length <= 240 ? command : `${command.slice(0, 80)} ... ${command.slice(-150)}`;
}

function tell(processes) {
  console.error('a test file does not end:');
  for (const { pid, ppid, etime, rest } of processes)
    console.error(`  ${pid} (of ${ppid}) ${etime} ${shortened(rest)}`);
  const [{ pid }] = processes;
  const gdb = spawnSync('gdb', ['-p', String(pid), '-batch', '-ex', 'thread apply all bt 20'], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  const threads = new Map();
  for (const thread of (gdb.stdout ?? '').split(/^Thread /m).slice(1)) {
    const frames = [
      ...thread.matchAll(/^#\d+ +(?:0x\w+ in )?((?:\(anonymous namespace\)|[\w:~<>])+)/gm),
    ].map(([, name]) => name);
    const stack = frames.filter((name) => !/futex|clone|start_thread/.test(name)).join(' < ');
    threads.set(stack, (threads.get(stack) ?? 0) + 1);
  }
  for (const [stack, count] of threads) console.error(`  ${count} x ${stack.slice(0, 600)}`);
}
