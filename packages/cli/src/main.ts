// The cove command: reads the words, runs one command, turns any failure into a sentence and an exit code.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { authkeyCommand } from './commands/authkey.ts';
import { controlCommand } from './commands/control.ts';
import { derpCommand } from './commands/derp.ts';
import { golinkCommand } from './commands/golink.ts';
import { joinCommand } from './commands/join.ts';
import { nodeCommand } from './commands/node.ts';
import { netcheckCommand, pingCommand } from './commands/ping.ts';
import { policyCommand } from './commands/policy.ts';
import { statusCommand } from './commands/status.ts';
import { upCommand } from './commands/up.ts';
import { CliError, errorCode, explain } from './errors.ts';
import { Interrupted } from './signals.ts';

/** Longer than anything that was closed takes to be gone. */
const END_LIMIT_MS = 5_000;

function version(): string {
  const path = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}

function program(): Command {
  const cove = new Command('cove')
    .description('Private services for the people you trust.')
    .version(version(), '--version', 'print the version')
    .showHelpAfterError('(run it with --help to see what it takes)')
    .enablePositionalOptions();
  for (const command of [
    upCommand(),
    joinCommand(),
    golinkCommand(),
    statusCommand(),
    pingCommand(),
    netcheckCommand(),
    authkeyCommand(),
    nodeCommand(),
    policyCommand(),
    controlCommand(),
    derpCommand(),
  ]) {
    cove.addCommand(command);
  }
  exitByThrowing(cove);
  return cove;
}

/** Commander ends the process with 1 for wrong usage; ours is 2. */
function exitByThrowing(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    exitByThrowing(child);
  }
}

/** What a shell reports for a program whose reader has gone, as `head` does. */
const READER_GONE = 141;

/** Errors of standard output come as events, a moment later. */
let lost: Error | undefined;
process.stdout.on('error', (error) => {
  lost ??= error;
});
// Whoever reads messages may go; what is served goes on.
process.stderr.on('error', () => {});

/**
 * Everything is closed, and the process ends by itself. What keeps it all the same is a fault, which shall not make whoever waits
 * for its end wait for ever.
 */
function endSoon(): void {
  const timer = setInterval(() => {
    // Whoever reads slowly gets all of it.
    if ([process.stdout, process.stderr].some((to) => !to.destroyed && to.writableLength > 0))
      return;
    clearInterval(timer);
    const left = [...new Set(process.getActiveResourcesInfo())].join(', ');
    process.stderr.write(`cove: ended although something was left open (${left})\n`);
    process.exit();
  }, END_LIMIT_MS);
  timer.unref();
}

async function main(): Promise<number> {
  try {
    await program().parseAsync();
    await new Promise(setImmediate);
    if (lost !== undefined) throw lost;
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof Interrupted) return 130;
    if (lost !== undefined && errorCode(lost) === 'EPIPE') return READER_GONE;
    process.stderr.write(`cove: ${explain(error)}\n`);
    if (process.env['COVE_DEBUG'] && error instanceof Error)
      process.stderr.write(`${error.stack}\n`);
    return error instanceof CliError ? error.exitCode : 1;
  }
}

process.exitCode = await main();
endSoon();
