import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8Encode } from '@cove/protocol/bytes';
import fc from 'fast-check';
import {
  encodeSearch,
  encodeSoapCall,
  parseDescription,
  parseGatewayUrl,
  parseSearchAnswer,
  parseSoapAnswer,
} from './igd.ts';
import { escapeXml, readXml } from './xml.ts';

/** From miniupnpd 2.3.1. */
const SEARCH_ANSWER =
  'HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n' +
  'ST: urn:schemas-upnp-org:device:InternetGatewayDevice:2\r\n' +
  'USN: uuid:5b0d5a5c-6b8c-4a0e-9f54-0c6b1d2e3f40::urn:schemas-upnp-org:device:InternetGatewayDevice:2\r\n' +
  'EXT:\r\nSERVER: Debian/6.18 UPnP/1.1 MiniUPnPd/2.3.1\r\n' +
  'LOCATION: http://192.168.77.1:5000/rootDesc.xml\r\n' +
  'OPT: "http://schemas.upnp.org/upnp/1/0/"; ns=01\r\n01-NLS: 1795279237\r\n\r\n';
const LOCATION = 'http://192.168.77.1:5000/rootDesc.xml';

/** From the same, shortened by what nobody reads. */
const DESCRIPTION =
  '<?xml version="1.0"?>\r\n<root xmlns="urn:schemas-upnp-org:device-1-0" configId="1337"><specVersion><major>1</major>' +
  '<minor>1</minor></specVersion><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:2</deviceType>' +
  '<serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><serviceId>urn:upnp' +
  '-org:serviceId:L3Forwarding1</serviceId><SCPDURL>/L3F.xml</SCPDURL><controlURL>/ctl/L3F</controlURL></service>' +
  '</serviceList><deviceList><device><deviceList><device><serviceList><service><serviceType>urn:schemas-upnp-org:' +
  'service:WANIPConnection:2</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId><SCPDURL>/WANIPCn' +
  '.xml</SCPDURL><controlURL>/ctl/IPConn</controlURL><eventSubURL>/evt/IPConn</eventSubURL></service></serviceList>' +
  '</device></deviceList></device></deviceList><presentationURL>http://192.168.77.1/</presentationURL></device></root>';

test('a search has the five lines and ends in an empty one', () => {
  assert.equal(
    new TextDecoder().decode(encodeSearch('ssdp:all')),
    'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: ssdp:all\r\nMAN: "ssdp:discover"\r\nMX: 2\r\n\r\n',
  );
});

test("a gateway's search answer tells where its description is", () => {
  assert.deepEqual(parseSearchAnswer(utf8Encode(SEARCH_ANSWER)), { location: LOCATION });
  const loose = SEARCH_ANSWER.replaceAll('\r\n', '\n').replace('LOCATION: ', 'location:');
  assert.deepEqual(parseSearchAnswer(utf8Encode(loose)), { location: LOCATION });
});

test('an answer of another device has no location, and what is no answer is none', () => {
  const media = SEARCH_ANSWER.replaceAll('InternetGatewayDevice', 'MediaServer');
  assert.deepEqual(parseSearchAnswer(utf8Encode(media)), {});
  for (const [from, to] of [
    ['HTTP/1.1 200 OK', 'NOTIFY * HTTP/1.1'],
    ['HTTP/1.1 200 OK', 'HTTP/1.1 404 Not Found'],
    ['LOCATION', 'X-LOCATION'],
    ['http://', 'https://'],
    ['http://', 'file://'],
    ['http://192.168.77.1:5000', 'http://192.168.77.1:99999'],
  ] as const) {
    assert.equal(parseSearchAnswer(utf8Encode(SEARCH_ANSWER.replace(from, to))), undefined, to);
  }
});

test('of a description the connection services are kept, best first, and no host', () => {
  assert.deepEqual(parseDescription(DESCRIPTION, LOCATION), [
    { type: 'urn:schemas-upnp-org:service:WANIPConnection:2', port: 5_000, path: '/ctl/IPConn' },
  ]);
  const service = (type: string, url: string): string =>
    `<service><controlURL>${url}</controlURL><serviceType>urn:schemas-upnp-org:service:${type}</serviceType></service>`;
  const old =
    '<root><URLBase>http://10.0.0.138:80</URLBase>' +
    service('WANPPPConnection:1', 'http://evil.example:8080/ppp?a=1&amp;b=2') +
    service('WANIPConnection:1', 'ip') +
    '</root>';
  assert.deepEqual(parseDescription(old, LOCATION), [
    { type: 'urn:schemas-upnp-org:service:WANIPConnection:1', port: 80, path: '/ip' },
    { type: 'urn:schemas-upnp-org:service:WANPPPConnection:1', port: 8_080, path: '/ppp?a=1&b=2' },
  ]);
});

test('only http is spoken, and not to endless addresses', () => {
  assert.deepEqual(parseGatewayUrl('http://anything/x?y'), { port: 80, path: '/x?y' });
  for (const url of ['', 'x', 'https://a/', 'ftp://a/', `http://a/${'x'.repeat(2_000)}`]) {
    assert.equal(parseGatewayUrl(url), undefined, url);
  }
});

test('a call is the SOAP that miniupnpd 2.3.1 took', () => {
  const service = 'urn:schemas-upnp-org:service:WANIPConnection:2';
  assert.equal(
    encodeSoapCall(service, 'DeletePortMapping', { NewRemoteHost: '', NewExternalPort: 1_792 }),
    '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
      's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:DeletePortMapping ' +
      `xmlns:u="${service}"><NewRemoteHost></NewRemoteHost><NewExternalPort>1792</NewExternalPort>` +
      '</u:DeletePortMapping></s:Body></s:Envelope>\r\n',
  );
});

const envelope = (body: string): string =>
  '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">' +
  `<s:Body>${body}</s:Body></s:Envelope>`;

test('answers, faults and neither are told apart', () => {
  const result = parseSoapAnswer(
    envelope(
      '<u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:2">' +
        '<NewExternalIPAddress>11.77.0.1</NewExternalIPAddress></u:GetExternalIPAddressResponse>',
    ),
    'GetExternalIPAddress',
  );
  assert.equal(result?.type, 'result');
  assert.equal(result.values.get('NewExternalIPAddress'), '11.77.0.1');
  const fault = envelope(
    '<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError ' +
      'xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>606</errorCode><errorDescription>Action not authorized' +
      '</errorDescription></UPnPError></detail></s:Fault>',
  );
  assert.deepEqual(parseSoapAnswer(fault, 'AddPortMapping'), {
    type: 'error',
    code: 606,
    description: 'Action not authorized',
  });
  assert.deepEqual(parseSoapAnswer(envelope('<s:Fault/>'), 'AddPortMapping'), {
    type: 'error',
    code: 0,
    description: '',
  });
  assert.equal(parseSoapAnswer(envelope(''), 'AddPortMapping'), undefined);
  assert.equal(
    parseSoapAnswer(envelope('<u:AddPortMappingResponse/>'), 'GetExternalIPAddress'),
    undefined,
  );
  assert.equal(parseSoapAnswer('<html>please log in</html>', 'AddPortMapping'), undefined);
});

test('XML: comments, CDATA, entities, prefixes and empty elements; nothing of ones own is expanded', () => {
  const texts = (xml: string): string[] =>
    [...readXml(xml)].flatMap((event) =>
      event.type === 'close' ? [`${event.name}=${event.text}`] : [],
    );
  assert.deepEqual(texts('<a:b x="1"> t&amp;u&#65;&#x42;&nope; <!-- <c>--></a:b>'), [
    'b=t&uAB&nope;',
  ]);
  assert.deepEqual(texts('<a><![CDATA[<b>&amp;]]></a>'), ['a=<b>&amp;']);
  assert.deepEqual(texts('<a><b/>text<c>1</c></a>'), ['b=', 'c=1', 'a=']);
  assert.deepEqual(texts('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&x;</a>'), ['a=&x;']);
  assert.deepEqual(texts(`<a>${escapeXml(`<>&"'`)}</a>`), [`a=<>&"'`]);
});

test('any text is read in time that grows with its length', () => {
  const piece = fc.constantFrom(
    '<',
    '>',
    '/',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<service>',
    '&#x',
    'a',
    ' ',
    ':',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 60 }), (parts) => {
      const text = parts.join('');
      parseDescription(text, LOCATION);
      parseSoapAnswer(text, 'AddPortMapping');
      parseSearchAnswer(utf8Encode(`HTTP/1.1 200 OK\r\n:InternetGatewayDevice:\r\n${text}`));
      assert.ok([...readXml(text)].length <= 2 * text.length);
    }),
  );
  const before = performance.now();
  for (const unit of [
    '<',
    '<!--',
    '<![CDATA[',
    '<service>',
    '<a>&',
    '&',
    '<a',
    '</a>',
    '&#1',
    '<!',
  ]) {
    parseDescription(unit.repeat(Math.floor(65_536 / unit.length)), LOCATION);
  }
  assert.ok(performance.now() - before < 3_000);
});
