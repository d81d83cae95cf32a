// What the node tells whoever asked: nothing by default, and never a key.
import { channel } from 'node:diagnostics_channel';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type LogFields = Readonly<Record<string, unknown>>;

/** Receives one event: a short sentence in present tense and its facts. Must not throw. */
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

export const silent: Log = () => {};

/** Name of the diagnostics_channel that carries every log event as `{ node, level, message, fields }`. */
export const LOG_CHANNEL = 'cove:tsnet:log';

const logChannel = channel(LOG_CHANNEL);

/** A Log that feeds both the option given by the caller and the diagnostics channel. */
export function publishingLog(node: string, log: Log): Log {
  return (level, message, fields) => {
    log(level, message, fields);
    if (logChannel.hasSubscribers) logChannel.publish({ node, level, message, fields });
  };
}
