// Compiles the native part where that is possible: Linux with a C compiler. Without it everything works, more slowly and
// without TUN; so a failure is a sentence, never a failed installation. COVE_NO_NATIVE=1 skips it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** Ten times what a slow machine takes; milliseconds. */
const LIMIT = 300_000;

function skip(why) {
  console.log(
    `@cove/native is not built: ${why}. Cove runs without it, more slowly and without --tun.`,
  );
  process.exit(0);
}

/** npm says where its own node-gyp is; outside npm it is looked for beside npm. */
function nodeGyp() {
  const told = process.env.npm_config_node_gyp;
  if (told && existsSync(told)) return told;
  for (const prefix of [join(dirname(process.execPath), '..'), '/usr', '/usr/local']) {
    const npm = join(prefix, 'lib/node_modules/npm/package.json');
    try {
      return createRequire(npm).resolve('node-gyp/bin/node-gyp.js');
    } catch {
      // Not under this prefix.
    }
  }
  return undefined;
}

if (process.platform !== 'linux') skip(`it is for Linux, this is ${process.platform}`);
if (process.env.COVE_NO_NATIVE === '1') skip('COVE_NO_NATIVE is set');
const gyp = nodeGyp();
if (!gyp) skip('npm with its node-gyp is not found');
// Headers that came with Node save a download.
const prefix = join(dirname(process.execPath), '..');
const nodedir = existsSync(join(prefix, 'include/node/uv.h')) ? [`--nodedir=${prefix}`] : [];
const run = spawnSync(process.execPath, [gyp, 'rebuild', '--silent', ...nodedir], {
  cwd: here,
  encoding: 'utf8',
  // It may want to download headers, and an installation shall not wait for a network that swallows everything.
  timeout: LIMIT,
  killSignal: 'SIGKILL',
});
if (run.status !== 0) {
  if (run.error?.code === 'ETIMEDOUT') skip(`the compiler did not end within ${LIMIT / 1000} s`);
  const lines = `${run.stdout ?? ''}${run.stderr ?? ''}`.trim().split('\n');
  skip(`the compiler failed (${lines.at(-1) || run.error?.message || `exit code ${run.status}`})`);
}
