// Public names of @cove/golink, each written out.
export { GolinkError, type GolinkErrorCode } from './errors.ts';
export { createGolink, type Golink, type GolinkOptions } from './golink.ts';
export { backUp, type Management, manage } from './management.ts';
export type { ServiceMode } from './servicemode.ts';
export type { ImportNote, ImportOptions, ImportProgress, ImportReport } from './snapshot.ts';
export { redirectToHttps, strictTransport } from './transport.ts';
export { isSqliteFile, openUpstream, type UpstreamDatabase } from './upstream.ts';
