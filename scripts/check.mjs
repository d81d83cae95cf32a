// What must hold before a commit: format and lint, types, import rules. `npm run check`.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const steps = [
  ['format and lint', 'npx', ['biome', 'check', '.']],
  ['types', 'npx', ['tsc', '-b']],
  ['import rules', process.execPath, ['scripts/test.mjs', 'unit', 'test/dist/rules']],
];
for (const [name, command, args] of steps) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error(`check failed: ${name}`);
    process.exit(status ?? 1);
  }
}
console.log('check passed');
