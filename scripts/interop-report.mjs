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

/** Suites whose tests have subtests are matrices: tests are columns, subtests rows. The others are lists. */
function suite(title, file, own) {
  const columns = [
    ...new Set(own.filter(({ path }) => path.length === 3).map(({ path }) => path[1])),
  ];
  const rows = [...new Set(own.filter(({ path }) => path.length === 3).map(({ path }) => path[2]))];
  const matrix = rows.map((row) => [
    row,
    ...columns.map((column) => {
      const cell = own.find(({ path }) => path[1] === column && path[2] === row);
      return cell === undefined ? '' : sign(cell);
    }),
  ]);
  const list = own
    .filter((test) => test.path.length !== 3 && !isParent(test))
    .map((test) => [test.path.at(-1), sign(test)]);
  return [
    `## ${title[0].toUpperCase()}${title.slice(1)}\n\n\`test/interop/${file}\`\n`,
    ...(matrix.length > 0 ? [table(['', ...columns], matrix)] : []),
    ...(list.length > 0 ? [table(['', 'passed'], list)] : []),
  ].join('\n');
}

const suites = reports.flatMap((report) => {
  const top = (test) => (test.path.length === 1 ? '' : test.path[0]);
  return [...new Set(report.tests.filter((test) => !isParent(test)).map(top))].map((title) =>
    suite(
      title || report.file.replace(/\.test\.ts$/, ''),
      report.file,
      report.tests.filter((test) => top(test) === title),
    ),
  );
});
const [{ date, node, kernel }] = reports;
process.stdout.write(`# Interoperability, tried

\`COVE_INTEROP_REPORT=DIR npm run test:interop\`, then \`node scripts/interop-report.mjs DIR\` write this page.
\`scripts/install-peers.sh\` installs the peers, all built from their published sources.

${date}; Node ${node}; ${kernel}. ${count('passed')} checks passed, ${count('failed')} failed, ${count('not offered')} do
not apply to the peer (–, with the reason below). A number in a column's head is the release of the stock peer.

${suites.join('\n')}
${notes.length > 0 ? `## Notes\n\n${notes.map((note, i) => `${i + 1}. ${note}`).join('\n')}\n` : ''}`);
