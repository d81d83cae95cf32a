// A UDP socket of the node in the shape of dgram.Socket.
import { EventEmitter } from 'node:events';

export class PacketConn extends EventEmitter {}
