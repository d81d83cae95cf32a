// One operation of the API: what it is called by, what goes in, what comes out, and what it does. The router and the
// OpenAPI document are both made of these.
import type { Caller } from '../access.ts';
import type { LinkEditor } from '../linkeditor.ts';
import type { Store } from '../store/store.ts';
import type { TokenScope } from '../store/tokens.ts';
import type { ObjectSchema, Schema } from './schema.ts';

export interface ApiService {
  readonly store: Store;
  readonly editor: LinkEditor;
}

export interface ApiRequest {
  /** Of `{name}` in the path, decoded. */
  readonly path: Readonly<Record<string, string>>;
  /** Checked against the operation's schema; numbers and booleans read. */
  readonly query: Readonly<Record<string, unknown>>;
  /** Checked against the operation's schema; an empty object when there is none. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Version the caller wants to change, from If-Match. */
  readonly ifVersion: number | undefined;
  /** Who asks. Rejects with GolinkError ERR_IDENTITY when that cannot be told. */
  caller(): Promise<Caller>;
  /** Name of the token that was used. */
  readonly token: string | undefined;
}

export interface ApiResponse {
  readonly status: number;
  readonly body?: unknown;
  /** Becomes the ETag. */
  readonly version?: number;
  readonly location?: string;
}

export interface Operation {
  readonly id: string;
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Behind the root of the API, with `{name}` for what varies. */
  readonly path: string;
  readonly summary: string;
  readonly scope: TokenScope;
  readonly query?: Readonly<Record<string, Schema>>;
  readonly body?: ObjectSchema;
  /** Of the answer that is no error. */
  readonly status: number;
  readonly answer?: ObjectSchema;
  /** Takes If-Match, or gives an ETag. */
  readonly versioned?: boolean;
  /** Codes of the errors it may answer with, besides those every operation has. */
  readonly errors: readonly number[];
  run(service: ApiService, request: ApiRequest): Promise<ApiResponse>;
}
