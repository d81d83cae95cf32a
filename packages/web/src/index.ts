// Public names of @cove/web, each written out.
export {};
