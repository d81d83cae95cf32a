// Where things lie in the module's memory; the JavaScript side (src/wasmcipher.ts) knows the same numbers.
//
//      0   32  session key of the call
//     64  256  zeros, never written: the source when the stream itself is wanted
//    320  256  stream of blocks 0 to 3: the one-time key and the first 192 bytes
//    576  256  the last, partial piece of a packet
//    832   16  the tag computed
//   1024       packets that live outside this memory, copied in and out; then the slabs

export const KEY: usize = 0;
export const ZEROS: usize = 64;
export const STREAM: usize = 320;
export const TAIL: usize = 576;
export const TAG: usize = 832;
/** First byte behind the secrets above. */
export const SCRATCH_END: usize = 848;
