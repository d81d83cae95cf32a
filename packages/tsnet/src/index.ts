// Public names of @cove/tsnet, each written out.
export {};
