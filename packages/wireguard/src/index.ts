// Public names of @cove/wireguard, each written out.
export {};
