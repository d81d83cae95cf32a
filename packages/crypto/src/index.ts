// Fast tiers of the primitives for the edges.
export { type NodeCrypto, nodeAead, nodeBlake2s, nodeCrypto, nodeX25519 } from './nodecrypto.ts';
export { type SlabAllocator, type WasmPacketCipher, wasmPacketCipher } from './wasmcipher.ts';
