// Fuzz targets of the node: what gateways answer to the port mapper, and the headers the packet filter judges by.
import assert from 'node:assert/strict';
import { utf8DecodeLossy, utf8Encode } from '@cove/protocol/bytes';
import { parseAddr } from '@cove/protocol/netaddr';
import type { FuzzTarget } from '@cove/protocol/testing/fuzztarget';
import { PacketHeader, UNKNOWN } from '../filter/header.ts';
import {
  parseNetstat,
  parseProcNetRoute,
  parseRouteGet,
  parseRoutePrint,
} from '../portmapper/gateway.ts';
import { parseDescription, parseSearchAnswer, parseSoapAnswer } from '../portmapper/igd.ts';
import { parseNatPmpResponse } from '../portmapper/natpmp.ts';
import { parsePcpResponse } from '../portmapper/pcp.ts';

const words = (...texts: string[]): Uint8Array[] => texts.map(utf8Encode);

const portmapTarget: FuzzTarget = {
  name: 'portmap-udp',
  maxLength: 600,
  seeds: [
    Uint8Array.of(0, 128, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4),
    Uint8Array.of(0, 129, 0, 0, 0, 0, 0, 9, 0, 5, 0, 6, 0, 0, 28, 32),
    Uint8Array.of(0, 129, 0, 3, 0, 0, 0, 9),
    Uint8Array.from([2, 129, 0, 0, 0, 0, 28, 32, 0, 0, 0, 9, ...new Uint8Array(24), 17, 0, 0, 0]),
    Uint8Array.from(
      [2, 129, 0, 0, 0, 0, 28, 32, 0, 0, 0, 9].concat(
        Array(24).fill(0),
        [17, 0, 0, 0, 0, 5, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4],
      ),
    ),
    ...words(
      'HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://192.168.0.1:5000/desc.xml\r\n\r\n',
    ),
  ],
  words: words('HTTP/1.1 200', ':InternetGatewayDevice:', 'LOCATION: ', 'http://', '\r\n'),
  run(input) {
    const natPmp = parseNatPmpResponse(input);
    if (natPmp?.type === 'external-address') assert.ok(parseAddr(natPmp.address));
    const pcp = parsePcpResponse(input);
    if (pcp?.type === 'map') {
      assert.ok(parseAddr(pcp.externalAddress));
      assert.equal(pcp.nonce.length, 12);
    }
    const answer = parseSearchAnswer(input);
    if (answer?.location !== undefined) assert.equal(new URL(answer.location).protocol, 'http:');
  },
};

const SERVICE = 'urn:schemas-upnp-org:service:WANIPConnection:1';

const xmlTarget: FuzzTarget = {
  name: 'portmap-xml',
  maxLength: 800,
  seeds: words(
    `<?xml version="1.0"?><root><URLBase>http://192.168.0.1:80/</URLBase><device><serviceList><service><serviceType>${SERVICE}</serviceType><controlURL>/ctl</controlURL></service></serviceList></device></root>`,
    `<s:Envelope><s:Body><u:AddPortMappingResponse xmlns:u="${SERVICE}"></u:AddPortMappingResponse></s:Body></s:Envelope>`,
    '<s:Envelope><s:Body><u:GetExternalIPAddressResponse><NewExternalIPAddress>1.2.3.4</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>',
    '<s:Envelope><s:Body><s:Fault><detail><UPnPError><errorCode>718</errorCode><errorDescription>Conflict</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>',
    '<a><!-- x --><![CDATA[y]]>&#65;&#x42;&lt;</a>',
  ),
  words: words('<', '>', '</', '<!--', '-->', '<![CDATA[', ']]>', '&#x', ';', 'service>', SERVICE),
  run(input) {
    const text = utf8DecodeLossy(input);
    for (const service of parseDescription(text, 'http://192.168.0.1:5000/desc.xml')) {
      assert.ok(service.port >= 0 && service.port < 65536 && service.path.startsWith('/'));
    }
    parseSoapAnswer(text, 'AddPortMapping');
    parseSoapAnswer(text, 'GetExternalIPAddress');
    parseProcNetRoute(text);
    parseRouteGet(text);
    parseNetstat(text);
    parseRoutePrint(text);
  },
};

const headerTarget: FuzzTarget = {
  name: 'filter-header',
  maxLength: 300,
  seeds: [
    Uint8Array.from([
      ...[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2],
      ...[0, 80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0],
    ]),
    Uint8Array.from([
      0x60,
      0,
      0,
      0,
      0,
      8,
      17,
      64,
      ...new Uint8Array(32).fill(1),
      0,
      1,
      0,
      2,
      0,
      8,
      0,
      0,
    ]),
    Uint8Array.from([
      0x60,
      0,
      0,
      0,
      0,
      16,
      44,
      64,
      ...new Uint8Array(32).fill(1),
      6,
      0,
      0,
      1,
      ...new Uint8Array(12),
    ]),
  ],
  run(input) {
    const header = new PacketHeader();
    header.parse(input, 0, input.length);
    assert.ok(header.length <= input.length);
    assert.ok(header.transport <= input.length);
    // The same packet elsewhere in memory is the same packet.
    const moved = new Uint8Array(input.length + 24);
    moved.set(input, 7);
    const again = new PacketHeader();
    again.parse(moved, 7, input.length);
    if (header.protocol !== UNKNOWN) assert.deepEqual(again, header);
    else assert.equal(again.protocol, UNKNOWN);
  },
};

export const targets: readonly FuzzTarget[] = [portmapTarget, xmlTarget, headerTarget];
