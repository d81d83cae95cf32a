// Admin calls that concern the links of the running service.
import { Writable } from 'node:stream';
import type { Golink } from '@cove/golink';
import type { AdminHandlers } from '../adminsocket.ts';

export function golinkHandlers(golink: Golink): AdminHandlers {
  return {
    'GET /golink/export': async (request) => {
      let lines = '';
      const collect = new Writable({
        decodeStrings: false,
        write(chunk: Buffer | string, _encoding, done) {
          lines += chunk.toString();
          done();
        },
      });
      await golink.exportTo(collect, { stats: request.query.get('stats') === '1' });
      return lines;
    },
    'POST /golink/import': (request) =>
      golink.importSnapshot(request.stream, {
        dryRun: request.query.get('dryRun') === '1',
        onProgress: (progress) => request.progress(progress),
      }),
  };
}
