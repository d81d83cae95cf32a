// Public names of @cove/native, each written out.
export { isNativeLoaded } from './loaded.ts';
