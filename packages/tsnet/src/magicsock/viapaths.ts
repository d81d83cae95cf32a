// The paths through peer relays that are in use, one object for each, as PathTable has them for plain addresses.
import { formatAddrPort } from '@cove/protocol/netaddr';
import type { PathTable, UdpPath, ViaPath } from './paths.ts';

interface Entry {
  readonly path: ViaPath;
  users: number;
}

/** Paths of strangers are not kept: only what somebody acquired stays. */
export class ViaPaths {
  readonly #paths: PathTable;
  readonly #byHop: Map<UdpPath, Map<number, Entry>> = new Map();
  #last: ViaPath | undefined;

  constructor(paths: PathTable) {
    this.#paths = paths;
  }

  /** The path of a datagram that came from the hop with this VNI. */
  find(hop: UdpPath, vni: number): ViaPath {
    const entry = this.#byHop.get(hop)?.get(vni);
    if (entry) return entry.path;
    const last = this.#last;
    if (last && last.hop === hop && last.vni === vni) return last;
    this.#last = makePath(hop, vni);
    return this.#last;
  }

  /** Makes the path lasting until it is released as often as it was acquired; returns the lasting object. */
  acquire(path: ViaPath): ViaPath {
    const hop = this.#paths.acquire(path.hop.address, path.hop.port) ?? path.hop;
    let vnis = this.#byHop.get(hop);
    if (!vnis) {
      vnis = new Map();
      this.#byHop.set(hop, vnis);
    }
    let entry = vnis.get(path.vni);
    if (!entry) {
      entry = { path: path.hop === hop ? path : makePath(hop, path.vni), users: 0 };
      vnis.set(path.vni, entry);
    }
    entry.users++;
    return entry.path;
  }

  release(path: ViaPath): void {
    const vnis = this.#byHop.get(path.hop);
    const entry = vnis?.get(path.vni);
    if (!vnis || !entry) return;
    this.#paths.release(path.hop);
    if (--entry.users > 0) return;
    vnis.delete(path.vni);
    if (vnis.size === 0) this.#byHop.delete(path.hop);
  }
}

function makePath(hop: UdpPath, vni: number): ViaPath {
  const bytes = new Uint8Array(hop.bytes.length + 3);
  bytes.set(hop.bytes);
  bytes.set([vni >>> 16, vni >>> 8, vni], hop.bytes.length);
  const text = `${formatAddrPort(hop.address, hop.port)}:vni:${vni}`;
  return { kind: 'via', hop, vni, bytes, text };
}
