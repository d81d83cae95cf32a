// A gateway on loopback that speaks NAT-PMP, PCP and UPnP as their documents say, written without our codecs, with
// faults to order.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Faults {
  /** Result code of map requests by NAT-PMP and PCP. */
  mapResult?: number;
  /** Takes requests and says nothing. */
  silent?: boolean;
  /** Answers of NAT-PMP and PCP come from another port. */
  otherPort?: boolean;
  /** PCP answers carry another nonce. */
  otherNonce?: boolean;
  /** Milliseconds until answers of NAT-PMP and PCP. */
  delay?: number;
  /** PCP maps to 2001:db8::. */
  externalIPv6?: boolean;
  /** Error codes of AddPortMapping and AddAnyPortMapping, one per call. */
  addErrors?: number[];
  /** LOCATION of search answers. */
  location?: string;
  /** Answers the request for the description. */
  describe?: (response: ServerResponse) => void;
  /** Body of SOAP answers. */
  soapBody?: string;
}

export interface GatewayOptions {
  readonly speaks: readonly ('nat-pmp' | 'pcp' | 'upnp')[];
  readonly address?: string;
  readonly ports?: { readonly natPmp: number; readonly ssdp: number };
  /** Of the UPnP service. */
  readonly version?: 1 | 2;
}

export class FakeGateway implements AsyncDisposable {
  readonly address: string;
  readonly faults: Faults = {};
  /** What was asked, in order; map requests as `pcp map 4000 -> 0 for 7200`. */
  readonly requests: string[] = [];
  /** UPnP: internal port of each external one; the others: external port of each internal one. */
  readonly mapped: Map<number, number> = new Map();
  readonly nonces: string[] = [];
  external = '198.51.100.7';
  epoch = 1_000;
  lifetime = 7_200;
  ports: { natPmp: number; ssdp: number } = { natPmp: 0, ssdp: 0 };
  httpPort = 0;
  readonly #options: GatewayOptions;
  readonly #mapper: Socket = createSocket('udp4');
  readonly #other: Socket = createSocket('udp4');
  readonly #ssdp: Socket = createSocket('udp4');
  readonly #http: Server = createServer((request, response) => void this.#serve(request, response));
  #nextPort = 40_000;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.address = options.address ?? '127.0.0.1';
  }

  static async start(options: GatewayOptions): Promise<FakeGateway> {
    const gateway = new FakeGateway(options);
    const { natPmp = 0, ssdp = 0 } = options.ports ?? {};
    const bind = async (socket: Socket, port: number): Promise<number> => {
      socket.bind(port, gateway.address);
      await once(socket, 'listening');
      return socket.address().port;
    };
    gateway.ports = {
      natPmp: await bind(gateway.#mapper, natPmp),
      ssdp: await bind(gateway.#ssdp, ssdp),
    };
    await bind(gateway.#other, 0);
    // Whoever speaks neither has the port closed.
    if (!options.speaks.includes('nat-pmp') && !options.speaks.includes('pcp')) {
      gateway.#mapper.close();
    }
    gateway.#http.listen(0, gateway.address);
    await once(gateway.#http, 'listening');
    gateway.httpPort = (gateway.#http.address() as AddressInfo).port;
    gateway.#mapper.on('message', (bytes, from) => gateway.#map(bytes, from));
    gateway.#ssdp.on('message', (bytes, from) => gateway.#found(String(bytes), from));
    return gateway;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [this.#mapper, this.#other, this.#ssdp]) {
      try {
        socket.close();
      } catch {
        // Closed from the start.
      }
    }
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }

  /** Forgets everything, as a reboot does. */
  restart(): void {
    this.mapped.clear();
    this.epoch = 0;
  }

  #map(bytes: Buffer, from: RemoteInfo): void {
    const version = bytes[0] === 2 ? 'pcp' : 'nat-pmp';
    const answer = version === 'pcp' ? this.#pcp(bytes) : this.#natPmp(bytes);
    if (this.faults.silent) return;
    if (!this.#options.speaks.includes(version)) {
      this.requests.pop();
      // Each in the version it has (RFC 6887 appendix A).
      const refusal = Buffer.alloc(version === 'pcp' ? 8 : 24);
      refusal.writeUInt8(version === 'pcp' ? 0 : 2, 0);
      refusal.writeUInt8(128, 1);
      refusal.writeUInt8(1, 3);
      this.#mapper.send(refusal, from.port, from.address);
      return;
    }
    const socket = this.faults.otherPort ? this.#other : this.#mapper;
    setTimeout(() => {
      try {
        socket.send(answer, from.port, from.address);
      } catch {
        // The test is over.
      }
    }, this.faults.delay ?? 0);
  }

  #allot(internalPort: number, suggested: number, lifetime: number): number {
    if (lifetime === 0) {
      this.mapped.delete(internalPort);
      return 0;
    }
    const port = this.mapped.get(internalPort) ?? (suggested || this.#nextPort++);
    this.mapped.set(internalPort, port);
    return port;
  }

  #natPmp(bytes: Buffer): Buffer {
    if (bytes[1] === 0) {
      this.requests.push('nat-pmp address');
      const answer = Buffer.alloc(12);
      answer.writeUInt8(128, 1);
      answer.writeUInt32BE(this.epoch, 4);
      answer.set(this.external.split('.').map(Number), 8);
      return answer;
    }
    const [internal, suggested, lifetime] = [
      bytes.readUInt16BE(4),
      bytes.readUInt16BE(6),
      bytes.readUInt32BE(8),
    ];
    this.requests.push(`nat-pmp map ${internal} -> ${suggested} for ${lifetime}`);
    const result = this.faults.mapResult ?? 0;
    const answer = Buffer.alloc(16);
    answer.writeUInt8(129, 1);
    answer.writeUInt16BE(result, 2);
    answer.writeUInt32BE(this.epoch, 4);
    answer.writeUInt16BE(internal, 8);
    if (result !== 0) return answer;
    answer.writeUInt16BE(this.#allot(internal, suggested, lifetime), 10);
    answer.writeUInt32BE(lifetime === 0 ? 0 : this.lifetime, 12);
    return answer;
  }

  #pcp(bytes: Buffer): Buffer {
    const answer = Buffer.from(bytes);
    answer.writeUInt8(bytes[1]! | 128, 1);
    answer.writeUInt8(0, 3);
    answer.writeUInt32BE(this.epoch, 8);
    answer.fill(0, 12, 24);
    if (bytes[1] === 0) {
      this.requests.push('pcp announce');
      return answer;
    }
    const [internal, suggested, lifetime] = [
      bytes.readUInt16BE(40),
      bytes.readUInt16BE(42),
      bytes.readUInt32BE(4),
    ];
    this.requests.push(`pcp map ${internal} -> ${suggested} for ${lifetime}`);
    this.nonces.push(bytes.subarray(24, 36).toString('hex'));
    const result = this.faults.mapResult ?? 0;
    answer.writeUInt8(result, 3);
    if (this.faults.otherNonce) answer.writeUInt8(bytes[24]! ^ 1, 24);
    if (result !== 0) return answer;
    answer.writeUInt16BE(this.#allot(internal, suggested, lifetime), 42);
    answer.writeUInt32BE(lifetime === 0 ? 0 : this.lifetime, 4);
    answer.set([...new Array<number>(10).fill(0), 255, 255], 44);
    answer.set(this.external.split('.').map(Number), 56);
    if (this.faults.externalIPv6) Buffer.from('20010db8'.padEnd(32, '0'), 'hex').copy(answer, 44);
    return answer;
  }

  #found(search: string, from: RemoteInfo): void {
    if (!this.#options.speaks.includes('upnp') || this.faults.silent) return;
    if (!search.startsWith('M-SEARCH * HTTP/1.1\r\n') || !search.endsWith('\r\n\r\n')) return;
    this.requests.push('upnp search');
    const location = this.faults.location ?? `http://${this.address}:${this.httpPort}/rootDesc.xml`;
    this.#ssdp.send(
      `HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\nLocation: ${location}\r\n\r\n`,
      from.port,
      from.address,
    );
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const type = `urn:schemas-upnp-org:service:WANIPConnection:${this.#options.version ?? 2}`;
    if (request.method === 'GET') {
      this.requests.push(`upnp get ${request.url}`);
      if (this.faults.describe) this.faults.describe(response);
      else {
        response.end(
          `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><serviceList><service><serviceType>${type}</serviceType><controlURL>/ctl</controlURL></service></serviceList></device></root>`,
        );
      }
      return;
    }
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const action = /#(\w+)"$/.exec(request.headers['soapaction'] as string)![1]!;
    const argument = (name: string): string =>
      new RegExp(`<${name}>(.*)</${name}>`).exec(body)![1]!;
    const reply = (values: string, status = 200): void => {
      response.statusCode = status;
      response.end(
        this.faults.soapBody ??
          `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>${values}</s:Body></s:Envelope>`,
      );
    };
    const error = (code: number): void =>
      reply(
        `<s:Fault><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>${code}</errorCode><errorDescription>no</errorDescription></UPnPError></detail></s:Fault>`,
        500,
      );
    let values = '';
    if (action === 'GetExternalIPAddress') {
      this.requests.push('upnp address');
      values = `<NewExternalIPAddress>${this.external}</NewExternalIPAddress>`;
    } else if (action === 'DeletePortMapping') {
      const port = Number(argument('NewExternalPort'));
      this.requests.push(`upnp delete ${port}`);
      this.mapped.delete(port);
    } else {
      const port = Number(argument('NewExternalPort'));
      const internal = Number(argument('NewInternalPort'));
      const lifetime = Number(argument('NewLeaseDuration'));
      this.requests.push(`upnp ${action} ${internal} for ${lifetime}`);
      const code = this.faults.addErrors?.shift();
      if (code !== undefined) return error(code);
      this.mapped.set(port, internal);
      if (action === 'AddAnyPortMapping') values = `<NewReservedPort>${port}</NewReservedPort>`;
    }
    reply(`<u:${action}Response xmlns:u="${type}">${values}</u:${action}Response>`);
  }
}
