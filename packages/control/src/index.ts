// Public names of @cove/control, each written out.
export {};
