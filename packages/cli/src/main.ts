// The cove command.
export {};
