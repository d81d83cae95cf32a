// Public names of @cove/derp, each written out.
export {};
