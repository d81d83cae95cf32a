// Public names of @cove/golink, each written out.
export {};
