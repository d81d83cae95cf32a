// Opens the machine's interface with what it needs of the operating system.
import { Resolver } from 'node:dns';
import { nodeCrypto } from '@cove/crypto';
import { errnoName, netlink, TUN_SLOTS_LENGTH, Tun } from '@cove/native';
import { SERVICE_ADDRESSES } from '../dns/responder.ts';
import type { Log } from '../log.ts';
import { Machine, type MachineOptions, type TunSettings, type TunSystem } from './machine.ts';
import { ResolvConf, SystemDns } from './systemdns.ts';

/** Memory in which the cipher seals packets without copying. All devices share it: nothing in it outlives a call. */
let slots: Uint8Array | undefined;

/** The kernel's own TUN devices. */
const kernel: TunSystem = {
  open: (options) => {
    slots ??= nodeCrypto().allocSlab(TUN_SLOTS_LENGTH);
    return Tun.open({ ...options, slots });
  },
  netlink: (message) => {
    const errno = netlink(message);
    return errno === 0 ? '' : errnoName(errno);
  },
  dns: (interfaceName, log) => new SystemDns({ interfaceName, log }),
};

function recoverResolvConf(log: Log): void {
  try {
    new ResolvConf('/etc').recover();
  } catch (error) {
    log('warn', '/etc/resolv.conf could not be put back', { error });
  }
}

/** Makes the machine a part of the node it is given. Throws as Machine does. */
export type MachineOpener = (
  node: Omit<MachineOptions, 'settings' | 'system' | 'systemResolvers'>,
) => Machine;

/** `system`: TUN devices, for tests; absent: the kernel's. */
export function machineOpener(settings: TunSettings, system?: TunSystem): MachineOpener {
  return (node) => {
    // Of a process that was killed, and before anything is read from it.
    if (settings.dns !== false && system === undefined) recoverResolvConf(node.log);
    const resolvers = new Resolver()
      .getServers()
      .filter((address) => !SERVICE_ADDRESSES.some((own) => address.includes(own)));
    return new Machine({
      ...node,
      settings,
      system: system ?? kernel,
      systemResolvers: () => resolvers,
    });
  };
}
