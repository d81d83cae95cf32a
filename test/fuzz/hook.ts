// Module loader hook (node:module `register`): instruments what tsc wrote for the packages while it is loaded.
import type Module from 'node:module';
import { instrument } from './instrument.ts';

const INSTRUMENTED = /\/(?:packages|apps)\/[^/]+\/dist\/(?!.*\btesting\/).*(?<!\.test)\.js$/;
let first = 0;

export const load: Module.LoadHook = async (url, context, next) => {
  const loaded = await next(url, context);
  if (loaded.format !== 'module' || !INSTRUMENTED.test(url)) return loaded;
  const { code, count } = instrument(Buffer.from(loaded.source as Uint8Array).toString(), first);
  first += count;
  return { ...loaded, source: code };
};
