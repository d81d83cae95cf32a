// Loads the compiled addon, if it is there and wanted.
import { createRequire } from 'node:module';

/** The functions of the addon as C gives them; the files beside this one give them shape. */
export type Binding = object;

let loaded: Binding | undefined;
let isTried = false;

/** The addon; undefined: not built for this machine, or switched off by COVE_NO_NATIVE=1. */
export function binding(): Binding | undefined {
  if (isTried) return loaded;
  isTried = true;
  if (process.env.COVE_NO_NATIVE === '1') return undefined;
  try {
    loaded = createRequire(import.meta.url)('../build/Release/cove_native.node') as Binding;
  } catch {
    // Not built: every caller has another way.
    loaded = undefined;
  }
  return loaded;
}
