// `node --import` this to load the packages instrumented.
import { register } from 'node:module';
import { Coverage } from './coverage.ts';

globalThis.coveCoverage = new Coverage();
register('./hook.js', import.meta.url);
