// Readers and writers over bytes; the only shared byte code.
export {};
