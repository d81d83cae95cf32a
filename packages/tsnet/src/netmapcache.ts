// The last network map on disk, so that a node that restarts while the coordination server is away still knows its
// peers. One file beside the state, mode 0600, written aside and renamed: a JSON map message and the node key it is for.
// It is a help, not the truth: whatever is wrong with it, the node starts as without it.
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { utf8Encode } from '@cove/protocol/bytes';
import { encodeJson } from '@cove/protocol/json';
import type { NodePublic } from '@cove/protocol/keys';
import { type MapResponse, parseMapResponse } from '@cove/protocol/mapmessage';
import type { Clock, Timer } from './clock.ts';
import { foldMapResponse } from './control/map.ts';
import type { NetworkMap } from './netmap.ts';

export const CACHE_FILE = 'netmap.cache';
/** Node capability by which a tailnet forbids the cache. */
const FORBIDDEN = 'disable-cache-network-maps';
/** A map may change many times a second; what is lost with a crash is at most this old. */
const WRITE_DELAY_MS = 2_000;
/** Some 100,000 peers. */
const MAX_BYTES = 128 << 20;
const PEERS_PER_PIECE = 64;

/**
 * The map as the first message of a stream that would fold to it, in pieces: the text of a large map is several times what the
 * map takes, and a process seldom gives back what it took once.
 */
export function* encodeNetworkMap(map: NetworkMap): Generator<Uint8Array> {
  const message: MapResponse = {
    Node: map.self,
    UserProfiles: [...map.users.values()],
    PacketFilters: Object.fromEntries(map.packetFilters),
    Domain: map.domain,
    ...(map.derpMap !== undefined && { DERPMap: map.derpMap }),
    ...(map.dns !== undefined && { DNSConfig: map.dns }),
    ...(map.sshPolicy !== undefined && { SSHPolicy: map.sshPolicy }),
  };
  // Without its last brace: the peers follow.
  yield encodeJson(message).slice(0, -1);
  const peers = [...map.peers.values()];
  for (let i = 0; i < peers.length; i += PEERS_PER_PIECE) {
    const piece = encodeJson(peers.slice(i, i + PEERS_PER_PIECE));
    yield utf8Encode(i === 0 ? ',"Peers":[' : ',');
    yield piece.subarray(1, -1);
  }
  yield utf8Encode(peers.length === 0 ? '}' : ']}');
}

/** Throws ProtocolError, ERR_CONTROL_PROTOCOL. */
export function decodeNetworkMap(bytes: Uint8Array, wallNow: number): NetworkMap {
  return foldMapResponse(undefined, parseMapResponse(bytes), wallNow);
}

export class NetworkMapCache {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  #latest: NetworkMap | undefined;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(dir: string, clock: Clock, onError: (error: unknown) => void) {
    this.#dir = dir;
    this.#clock = clock;
    this.#onError = onError;
  }

  /** The map kept for this node key; undefined when there is none or it cannot be used. */
  async read(nodeKey: NodePublic): Promise<NetworkMap | undefined> {
    const path = join(this.#dir, CACHE_FILE);
    try {
      if ((await stat(path)).size > MAX_BYTES) throw new RangeError(`${path} is too long`);
      const map = decodeNetworkMap(await readFile(path), this.#clock.wallNow());
      return map.self.Key === nodeKey ? map : undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#onError(error);
      return undefined;
    }
  }

  /** Keeps the map, soon. */
  write(map: NetworkMap): void {
    this.#latest = map;
    this.#timer ??= this.#clock.schedule(WRITE_DELAY_MS, () => void this.flush());
  }

  /** Writes what is waiting. Never rejects. */
  flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const map = this.#latest;
    this.#latest = undefined;
    if (map !== undefined) {
      const forbidden = Object.hasOwn(map.self.CapMap ?? {}, FORBIDDEN);
      this.#writing = this.#writing
        .then(() => (forbidden ? this.#remove() : this.#replace(encodeNetworkMap(map))))
        .catch(this.#onError);
    }
    return this.#writing;
  }

  /** Forgets the map, on disk too. Never rejects. */
  clear(): Promise<void> {
    this.#latest = undefined;
    this.#writing = this.#writing.then(() => this.#remove()).catch(this.#onError);
    return this.#writing;
  }

  async #remove(): Promise<void> {
    await rm(join(this.#dir, CACHE_FILE), { force: true });
  }

  async #replace(pieces: Iterable<Uint8Array>): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const draft = join(this.#dir, `${CACHE_FILE}.draft`);
    const file = await open(draft, 'w', 0o600);
    try {
      for (const piece of pieces) await file.writeFile(piece);
    } finally {
      await file.close();
    }
    await rename(draft, join(this.#dir, CACHE_FILE));
  }
}
