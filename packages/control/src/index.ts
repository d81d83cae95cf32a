// The coordination server's public names.
export type {
  AuthKeyOptions,
  AuthKeyRecord,
  ControlOptions,
  CreatedAuthKey,
  EventRecord,
  LogEvent,
  LogLevel,
  NodeRecord,
  NodeRef,
  PendingRecord,
  PolicyRecord,
  StatusRecord,
  UserRecord,
} from './api.ts';
export { ControlError, type ControlErrorCode } from './errors.ts';
export { ControlServer } from './server.ts';
