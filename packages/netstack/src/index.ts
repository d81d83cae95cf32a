// Public names of @cove/netstack, each written out.
export {};
