// A TCP connection of the node as a Node Duplex with the manners of net.Socket.
import { Duplex } from 'node:stream';

export class Conn extends Duplex {
  readonly remoteAddress: string | undefined = undefined;
  readonly remotePort: number | undefined = undefined;
}
