// A TUN device: the kernel's packets in, ours out. Linux, and only where the addon was built.
import { constants } from 'node:os';
import { binding } from './binding.ts';
import { NativeError } from './errors.ts';

interface TunFunctions {
  tunOpen(
    name: string,
    slots: Uint8Array,
    lengths: Uint32Array,
    slotSize: number,
    headroom: number,
    tailroom: number,
    onPackets: (count: number) => void,
  ): object;
  tunWrite(device: object, bytes: Uint8Array, offset: number, length: number): void;
  tunFlush(device: object): void;
  tunClose(device: object): void;
  tunIndex(device: object): number;
  tunName(device: object): string;
  tunDrops(device: object): [number, number];
  netlink(message: Uint8Array): number;
}

export interface TunOptions {
  /** At most 15 bytes; with `%d` in it the kernel puts the first free number there. */
  readonly name: string;
  /** Free bytes before and after every packet that is read. */
  readonly headroom: number;
  readonly tailroom: number;
  /** Memory for the packets that are read, TUN_SLOTS_LENGTH bytes; devices may share it. Absent: some of its own. */
  readonly slots?: Uint8Array | undefined;
  /**
   * Packets the kernel sends through the device. Packet i is at `slots[i * slotSize + headroom]`, `lengths[i]` bytes
   * long; all is the callee's until it returns.
   */
  packets(slots: Uint8Array, slotSize: number, lengths: Uint32Array, count: number): void;
  /** Somebody deleted the device. */
  lost(): void;
}

/** Fits MTU 1280 with room around it, and other small MTUs. */
const SLOT_SIZE = 2048;
const SLOTS = 256;
export const TUN_SLOTS_LENGTH: number = SLOTS * SLOT_SIZE;
/** What the kernel takes as the name of an interface. */
const NAME = /^(?!\.{1,2}$)[^\s/:%]+(%d)?$/;
const NAME_LENGTH = 15;

export class Tun implements AsyncDisposable {
  readonly #native: TunFunctions;
  readonly #device: object;
  readonly name: string;
  /** The kernel's number of the interface. */
  readonly index: number;
  #isOpen = true;

  private constructor(native: TunFunctions, device: object) {
    this.#native = native;
    this.#device = device;
    this.name = native.tunName(device);
    this.index = native.tunIndex(device);
  }

  /**
   * Makes the device, down and without addresses. It does not keep the process alive.
   * Throws ERR_NOT_BUILT, ERR_PERMISSION, ERR_NO_TUN, ERR_NAME_IN_USE, ERR_NAME, ERR_SYSTEM.
   */
  static open(options: TunOptions): Tun {
    const { name, headroom, tailroom, packets, lost } = options;
    const { slots = new Uint8Array(TUN_SLOTS_LENGTH) } = options;
    if (!NAME.test(name) || Buffer.byteLength(name) > NAME_LENGTH) {
      throw new NativeError(
        'ERR_NAME',
        `${JSON.stringify(name)} is no name for a network interface: at most ${NAME_LENGTH} bytes without space, slash and colon`,
      );
    }
    const native = functions();
    const lengths = new Uint32Array(SLOTS);
    const onPackets = (count: number): void => {
      if (count === 0) lost();
      else packets(slots, SLOT_SIZE, lengths, count);
    };
    try {
      return new Tun(
        native,
        native.tunOpen(name, slots, lengths, SLOT_SIZE, headroom, tailroom, onPackets),
      );
    } catch (error) {
      throw explain(error as NodeJS.ErrnoException, name);
    }
  }

  /** Takes one IP packet; it reaches the kernel with flush() at the latest. */
  write(bytes: Uint8Array, offset: number, length: number): void {
    this.#native.tunWrite(this.#device, bytes, offset, length);
  }

  flush(): void {
    this.#native.tunFlush(this.#device);
  }

  /** Packets lost because they did not fit a slot or were not to be understood, and because the kernel refused them. */
  drops(): { readonly read: number; readonly write: number } {
    const [read, write] = this.#native.tunDrops(this.#device);
    return { read, write };
  }

  /** Removes the device, and with it its addresses and routes. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#native.tunClose(this.#device);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/**
 * Sends one rtnetlink message (native byte order, with NLM_F_ACK) and waits for the kernel's answer: 0, or the number of
 * the error. Throws ERR_NOT_BUILT.
 */
export function netlink(message: Uint8Array): number {
  return functions().netlink(message);
}

function functions(): TunFunctions {
  const native = binding() as TunFunctions | undefined;
  // An addon compiled from older sources lacks them.
  if (native?.tunOpen !== undefined) return native;
  const why =
    process.platform !== 'linux'
      ? `network interfaces of our own exist on Linux only, this is ${process.platform}`
      : process.env['COVE_NO_NATIVE'] === '1'
        ? 'COVE_NO_NATIVE switches it off'
        : 'install a C compiler (gcc, make, python3) and run `npm rebuild @cove/native`';
  throw new NativeError('ERR_NOT_BUILT', `the native part of Cove is missing: ${why}`);
}

function explain(error: NodeJS.ErrnoException, name: string): NativeError {
  const cause = { cause: error };
  switch (error.code) {
    case 'EPERM':
    case 'EACCES':
      return new NativeError(
        'ERR_PERMISSION',
        'a network interface needs root or the capability CAP_NET_ADMIN: run it with sudo',
        cause,
      );
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO':
      return new NativeError(
        'ERR_NO_TUN',
        '/dev/net/tun is not there: load it with `modprobe tun`, or give the container --device /dev/net/tun',
        cause,
      );
    case 'EBUSY':
      return new NativeError(
        'ERR_NAME_IN_USE',
        `there is an interface ${name} already: choose another name, or end the program that has it`,
        cause,
      );
    case 'EINVAL':
      // Of another kind, as eth0 is.
      return new NativeError(
        'ERR_NAME_IN_USE',
        `the kernel does not make an interface ${name}: one of another kind may have that name`,
        cause,
      );
    default:
      return new NativeError(
        'ERR_SYSTEM',
        `the network interface could not be made: ${error.message}`,
        cause,
      );
  }
}

/** The name of an error number, such as EEXIST. */
export function errnoName(errno: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === errno);
  return found?.[0] ?? `error ${errno}`;
}
