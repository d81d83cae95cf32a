// Imports many links and tells how many were added after each report of progress, until killed. Arguments: the database
// and how many.
import { createGolink } from '../golink.ts';
import { importedLine } from './imported.ts';

const [database = '', count = '0'] = process.argv.slice(2);
const golink = await createGolink({ database, identify: async () => undefined });
await golink.importSnapshot(
  (async function* () {
    for (let i = 0; i < Number(count); i++) yield importedLine(i);
  })(),
  { onProgress: ({ added }) => void process.send!(added) },
);
await golink.close();
process.send!('done');
process.disconnect();
