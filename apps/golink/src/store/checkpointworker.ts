// The thread that makes the checkpoints of one SQLite file, when it is told to.
import { parentPort, workerData } from 'node:worker_threads';
import { SqliteDatabase } from '@cove/sqlite';

const database = new SqliteDatabase(workerData as string, { fileMustExist: true });
// What is moved into the file is on disk before the log is written over.
database.pragma('synchronous = FULL');

parentPort!.on('message', (message: 'checkpoint' | 'end') => {
  if (message === 'end') {
    database.close();
    parentPort!.close();
    return;
  }
  try {
    // Waits for nobody; what somebody still reads stays in the log until the next.
    database.pragma('wal_checkpoint(passive)');
  } catch {
    // A full disk, say: whoever writes is told.
  }
  parentPort!.postMessage('done');
});
