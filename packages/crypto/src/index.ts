// Public names of @cove/crypto, each written out.
export {};
