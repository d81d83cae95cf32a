// Admin calls that concern the links of the running service.
import { Writable } from 'node:stream';
import type { Golink } from '@cove/golink';
import type { AdminHandlers } from '../adminsocket.ts';

export function golinkHandlers(golink: Golink): AdminHandlers {
  return {
    'GET /golink/export': async (request) => {
      const target = new Writable({
        decodeStrings: false,
        highWaterMark: 1,
        write(chunk: Buffer | string, _encoding, done) {
          request.part(chunk.toString()).then(() => done(), done);
        },
      });
      await golink.exportTo(target, { stats: request.query.get('stats') === '1' });
      return undefined;
    },
    'POST /golink/import': (request) =>
      golink.importSnapshot(request.stream, {
        dryRun: request.query.get('dryRun') === '1',
        onProgress: (progress) => request.progress(progress),
      }),
  };
}
