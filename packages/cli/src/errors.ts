// The one error class of the command line: a sentence for the person, what to do next, and the exit code.

export type CliErrorCode =
  | 'ERR_USAGE'
  | 'ERR_PORT_IN_USE'
  | 'ERR_ADDRESS_UNAVAILABLE'
  | 'ERR_DIRECTORY_IN_USE'
  | 'ERR_DIRECTORY_UNUSABLE'
  | 'ERR_NOT_RUNNING'
  | 'ERR_REFUSED'
  | 'ERR_INPUT_FILE'
  | 'ERR_START_TIMEOUT';

/** Exit codes: 0 done, 1 failed, 2 wrong usage (as most Unix tools have it). */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: CliErrorCode;
  readonly exitCode: number;

  constructor(code: CliErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.exitCode = code === 'ERR_USAGE' ? 2 : 1;
  }
}

/** The `code` of a Node or package error, if it has one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * One sentence for any failure, with what to do next where the cause is known.
 * Unknown errors keep their own message: hiding it would help nobody.
 */
export function explain(error: unknown): string {
  if (error instanceof CliError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  const path =
    typeof error === 'object' && error !== null && 'path' in error ? String(error.path) : undefined;
  switch (errorCode(error)) {
    case 'EACCES':
    case 'EPERM':
      return `${path ?? 'a file'} cannot be written by this user: change its owner or choose another --dir (${message})`;
    case 'EROFS':
      return `${path ?? 'the data directory'} is on a read-only file system: choose another --dir`;
    case 'ENOSPC':
    case 'SQLITE_FULL':
      return `the disk is full: free some space and start again; nothing that was answered is lost (${message})`;
    case 'EDQUOT':
      return `the disk quota is used up: free some space and start again (${message})`;
    default:
      return message;
  }
}
