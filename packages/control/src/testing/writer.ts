// A process that writes until it is killed: settings through the journal, each acknowledged to the parent with the
// number of writes that are safe. Arguments: database path.
import { Database, sql } from '../database/database.ts';
import { Journal } from '../state/journal.ts';
import { insertTailnet, loadTailnet, storeSetting } from '../state/rows.ts';

const database = Database.open(process.argv[2]!, Date.now());
if (loadTailnet(database, 1) === undefined) database.commit([insertTailnet(1, 'writer', 0)]);
let written = database.all(
  sql.selectFrom('settings').select((of) => of.fn.countAll<number>().as('count')),
)[0]!.count;
const journal = new Journal({
  database,
  tailnet: loadTailnet(database, 1)!,
  now: Date.now,
  onReset: (error) => {
    throw error;
  },
});
process.send!(written);
process.on('disconnect', () => process.exit());

async function write(): Promise<void> {
  const count = ++written;
  await journal.mutate((tx) => {
    tx.write(storeSetting(1, `s${count}`, 'v'.repeat(300)));
    tx.event('system', 'test', `s${count}`);
  });
  process.send!(count);
}

for (;;) await write();
