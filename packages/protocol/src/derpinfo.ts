// The two boxed greetings of DERP: what client and server say of themselves, as JSON in a NaCl box.
//
//   ClientInfo   client public key [32] | nonce [24] | box of { meshKey, version, CanAckPings, IsProber, AppName }
//   ServerInfo   nonce [24] | box of { version, TokenBucketBytesPerSecond, TokenBucketBytesBurst }
//
// Every member but version may be absent; readers do not mind the case of names.
import { ProtocolError, utf8Decode, utf8Encode } from './bytes.ts';
import { BOX_NONCE_LENGTH, openBox, sealBox, TAG_LENGTH } from './crypto.ts';
import { encodeFrame, FrameType } from './derp.ts';
import { KEY_LENGTH } from './keys.ts';

/** What a client says of itself. */
export interface DerpClientInfo {
  readonly version: number;
  /** 64 hex digits, only between relays of one region. */
  readonly meshKey?: string;
  /** Whether the client answers Ping. */
  readonly canAckPings?: boolean;
  readonly isProber?: boolean;
  readonly appName?: string;
}

/** What a server says of itself. A client that is given a rate drops its own packets above it. */
export interface DerpServerInfo {
  readonly version: number;
  readonly tokenBucketBytesPerSecond?: number;
  readonly tokenBucketBytesBurst?: number;
}

/** The ClientInfo frame; sharedKey is boxSharedKey of the client's private and the server's public key. */
export function sealClientInfo(
  sharedKey: Uint8Array,
  publicKey: Uint8Array,
  nonce: Uint8Array,
  info: DerpClientInfo,
): Uint8Array {
  const json = JSON.stringify({
    // Newer servers refuse an empty mesh key, so none means no member.
    meshKey: info.meshKey || undefined,
    version: info.version,
    CanAckPings: info.canAckPings,
    IsProber: info.isProber || undefined,
    AppName: info.appName || undefined,
  });
  const box = sealBox(sharedKey, nonce, utf8Encode(json));
  return encodeFrame(FrameType.clientInfo, publicKey, nonce, box);
}

/**
 * The client's public key, copied, and the box that proves it. Throws ERR_TRUNCATED. Both sides of the box are
 * views.
 */
export function parseClientInfo(payload: Uint8Array): {
  readonly publicKey: Uint8Array;
  readonly nonce: Uint8Array;
  readonly box: Uint8Array;
} {
  const boxAt = KEY_LENGTH + BOX_NONCE_LENGTH;
  if (payload.length < boxAt + TAG_LENGTH) throw short('ClientInfo', payload);
  return {
    publicKey: new Uint8Array(payload.subarray(0, KEY_LENGTH)),
    nonce: payload.subarray(KEY_LENGTH, boxAt),
    box: payload.subarray(boxAt),
  };
}

/** Opens the box of a ClientInfo frame. Throws ERR_DECRYPT or ERR_MALFORMED. */
export function openClientInfo(
  sharedKey: Uint8Array,
  nonce: Uint8Array,
  box: Uint8Array,
): DerpClientInfo {
  const fields = openInfo(sharedKey, nonce, box);
  const meshKey = textField(fields, 'meshkey');
  if (meshKey !== undefined && !/^[0-9a-f]{64}$/.test(meshKey)) {
    throw new ProtocolError('ERR_MALFORMED', 'mesh key is not 64 hex digits');
  }
  const appName = textField(fields, 'appname');
  return {
    version: numberField(fields, 'version') ?? 0,
    ...(meshKey === undefined ? {} : { meshKey }),
    canAckPings: fields.get('canackpings') === true,
    isProber: fields.get('isprober') === true,
    ...(appName === undefined ? {} : { appName }),
  };
}

export function sealServerInfo(
  sharedKey: Uint8Array,
  nonce: Uint8Array,
  info: DerpServerInfo,
): Uint8Array {
  const json = JSON.stringify({
    version: info.version,
    TokenBucketBytesPerSecond: info.tokenBucketBytesPerSecond || undefined,
    TokenBucketBytesBurst: info.tokenBucketBytesBurst || undefined,
  });
  return encodeFrame(FrameType.serverInfo, nonce, sealBox(sharedKey, nonce, utf8Encode(json)));
}

/** Throws ERR_TRUNCATED, ERR_DECRYPT or ERR_MALFORMED. */
export function openServerInfo(sharedKey: Uint8Array, payload: Uint8Array): DerpServerInfo {
  if (payload.length < BOX_NONCE_LENGTH + TAG_LENGTH) throw short('ServerInfo', payload);
  const nonce = payload.subarray(0, BOX_NONCE_LENGTH);
  const fields = openInfo(sharedKey, nonce, payload.subarray(BOX_NONCE_LENGTH));
  const rate = numberField(fields, 'tokenbucketbytespersecond');
  const burst = numberField(fields, 'tokenbucketbytesburst');
  return {
    version: numberField(fields, 'version') ?? 0,
    ...(rate === undefined ? {} : { tokenBucketBytesPerSecond: rate }),
    ...(burst === undefined ? {} : { tokenBucketBytesBurst: burst }),
  };
}

function short(name: string, payload: Uint8Array): ProtocolError {
  return new ProtocolError('ERR_TRUNCATED', `${name} frame of ${payload.length} bytes`);
}

/** Members by lower-case name: stock decoders do not mind the case. null counts as absent. */
function openInfo(
  sharedKey: Uint8Array,
  nonce: Uint8Array,
  box: Uint8Array,
): ReadonlyMap<string, unknown> {
  const json = openBox(sharedKey, nonce, box);
  if (json === undefined) throw new ProtocolError('ERR_DECRYPT', 'box not sealed with these keys');
  let value: unknown;
  try {
    value = JSON.parse(utf8Decode(json));
  } catch (cause) {
    throw new ProtocolError('ERR_MALFORMED', 'boxed text is not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ProtocolError('ERR_MALFORMED', 'boxed JSON is no object');
  }
  const fields = new Map<string, unknown>();
  for (const [name, member] of Object.entries(value)) {
    if (member !== null) fields.set(name.toLowerCase(), member);
  }
  return fields;
}

function textField(fields: ReadonlyMap<string, unknown>, name: string): string | undefined {
  const value = fields.get(name);
  if (value === undefined || typeof value === 'string') return value;
  throw new ProtocolError('ERR_MALFORMED', `${name} is not text`);
}

function numberField(fields: ReadonlyMap<string, unknown>, name: string): number | undefined {
  const value = fields.get(name);
  if (value === undefined || Number.isSafeInteger(value)) return value as number | undefined;
  throw new ProtocolError('ERR_MALFORMED', `${name} is no integer`);
}
