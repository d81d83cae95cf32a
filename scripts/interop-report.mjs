// Renders docs/interop.md from what `COVE_INTEROP_REPORT=DIR npm run test:interop` wrote:
// `node scripts/interop-report.mjs DIR > docs/interop.md`.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const dir = process.argv[2];
if (dir === undefined) {
  console.error('usage: node scripts/interop-report.mjs DIR > docs/interop.md');
  process.exit(2);
}
const reports = readdirSync(dir)
  .filter((name) => name.endsWith('.json'))
  .sort()
  .map((name) => JSON.parse(readFileSync(join(dir, name), 'utf8')));
if (reports.length === 0) {
  console.error(`${dir} holds no results: run COVE_INTEROP_REPORT=${dir} npm run test:interop`);
  process.exit(1);
}

const SIGNS = { passed: 'yes', failed: '**no**', 'not offered': '–' };
const notes = [];
const tests = reports.flatMap((report) => report.tests);
// A test with subtests stands for them.
const isParent = ({ path }) =>
  tests.some(
    (other) => other.path.length > path.length && path.every((part, i) => other.path[i] === part),
  );
const leaves = tests.filter((test) => !isParent(test));
const count = (outcome) => leaves.filter((test) => test.outcome === outcome).length;

function sign({ outcome, why }) {
  if (why === undefined) return SIGNS[outcome];
  if (!notes.includes(why)) notes.push(why);
  return `${SIGNS[outcome]} [${notes.indexOf(why) + 1}]`;
}

const cellText = (text) => text.replaceAll('|', '\\|');
const line = (cells) => `| ${cells.map(cellText).join(' | ')} |\n`;
const table = (head, rows) => line(head) + line(head.map(() => '---')) + rows.map(line).join('');

/** Tests with subtests are columns of a matrix, their subtests rows. The others make a list. */
function suite(title, file, own) {
  const columns = own
    .filter((test) => test.path.length === 2 && isParent(test))
    .map(({ path }) => path[1]);
  const inMatrix = ({ path }) => path.length === 3 && columns.includes(path[1]);
  const rows = [...new Set(own.filter(inMatrix).map(({ path }) => path[2]))];
  const matrix = rows.map((row) => [
    row,
    ...columns.map((column) => {
      const cell = own.find(
        ({ path }) => path.length === 3 && path[1] === column && path[2] === row,
      );
      return cell === undefined ? '' : sign(cell);
    }),
  ]);
  const list = own
    .filter((test) => !inMatrix(test) && !isParent(test))
    .map((test) => [test.path.slice(title === '' ? 0 : 1).join(': '), sign(test)]);
  const heading = title || file.replace(/\.test\.ts$/, '').replaceAll('-', ' ');
  return [
    `## ${heading[0].toUpperCase()}${heading.slice(1)}\n\n\`test/interop/${file}\`\n`,
    ...(matrix.length > 0 ? [table(['', ...columns], matrix)] : []),
    ...(list.length > 0 ? [table(['', 'passed'], list)] : []),
  ].join('\n');
}

// What most people come for stands first.
const FIRST = [
  'stockclients.test.ts',
  'stocklogin.test.ts',
  'tsnetapp.test.ts',
  'testcontrol.test.ts',
];
const rank = ({ file }) => (FIRST.includes(file) ? FIRST.indexOf(file) : FIRST.length);
reports.sort((a, b) => rank(a) - rank(b));
const suites = reports.flatMap(({ file, tests: all }) => {
  const top = ({ path }) => (path.length === 1 ? '' : path[0]);
  const titles = new Set(all.map(top));
  return [...titles].map((title) =>
    suite(
      title,
      file,
      all.filter((test) => top(test) === title),
    ),
  );
});
const [{ date, node, kernel }] = reports;
process.stdout.write(`# Interoperability, tried

\`COVE_INTEROP_REPORT=DIR npm run test:interop\`, then \`node scripts/interop-report.mjs DIR\` write this page.
\`scripts/install-peers.sh\` installs the peers, built from their
published sources.

${date}; Node ${node}; ${kernel}. ${count('passed')} checks passed, ${count('failed')} failed, ${count('not offered')} do not
apply (–, with the reason below). Numbers such as 1.102.3 are releases of the stock peer.

${suites.join('\n')}
${notes.length > 0 ? `## Notes\n\n${notes.map((note, i) => `${i + 1}. ${note}`).join('\n')}\n` : ''}`);
