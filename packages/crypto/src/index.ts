// Fast tiers of the primitives for the edges.
export { nodeAead, nodeBlake2s, nodeCrypto, nodeX25519 } from './nodecrypto.ts';
