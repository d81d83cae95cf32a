// Whether the native part works here.
import { binding } from './binding.ts';

/** False: not built for this machine, or switched off by COVE_NO_NATIVE=1. */
export function isNativeLoaded(): boolean {
  return binding() !== undefined;
}
