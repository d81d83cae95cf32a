// What is measured: names in the JSON, titles and units on the page.

export type CaseName =
  | 'start'
  | 'echo'
  | 'http'
  | 'stream'
  | 'connect'
  | 'udp'
  | 'idle'
  | 'nodes'
  | 'peers'
  | 'handshake'
  | 'relay'
  | 'all';

export type MetricName =
  | 'stream1.gbps'
  | 'stream8.gbps'
  | 'stream1.cpu'
  | 'stream8.cpu'
  | 'udp.pps'
  | 'echo.rate'
  | 'echo.p50'
  | 'echo.p99'
  | 'http.rate'
  | 'http.before.p50'
  | 'http.before.p99'
  | 'http.after.p50'
  | 'http.after.p99'
  | 'connect.rate'
  | 'handshake.rate'
  | 'start.process'
  | 'start.up'
  | 'start.stock.new'
  | 'start.stock.kept'
  | 'start.stock.mapped'
  | 'start.stock.noUdp'
  | 'rss.first'
  | 'rss.further'
  | 'rss.stream8.peak'
  | 'rss.stream8.after'
  | 'rss.idleConn'
  | 'rss.idlePeer'
  | 'relay.gbps'
  | 'relay.echo.p50'
  | 'derper.gbps'
  | 'derper.echo.p50'
  | 'disturbance';

export interface Metric {
  readonly case: CaseName;
  readonly title: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
}

const up = 'higher';
const down = 'lower';

function metric(of: CaseName, title: string, unit: string, better: Metric['better']): Metric {
  return { case: of, title, unit, better };
}

export const METRICS: Readonly<Record<MetricName, Metric>> = {
  'stream1.gbps': metric('stream', 'stream, one connection', 'Gbit/s', up),
  'stream8.gbps': metric('stream', 'stream, eight connections', 'Gbit/s', up),
  'stream1.cpu': metric('stream', 'CPU of both ends, one connection', 's/GiB', down),
  'stream8.cpu': metric('stream', 'CPU of both ends, eight connections', 's/GiB', down),
  'udp.pps': metric('udp', 'UDP datagrams of 64 bytes, received', '1000/s', up),
  'echo.rate': metric('echo', 'echoes of 64 bytes, one after the other', '1/s', up),
  'echo.p50': metric('echo', 'echo of 64 bytes, 500/s, median', 'µs', down),
  'echo.p99': metric('echo', 'echo of 64 bytes, 500/s, p99', 'µs', down),
  'http.rate': metric('http', 'HTTP requests, 32 clients', '1/s', up),
  'http.before.p50': metric('http', 'HTTP at 1,000/s before the streams, median', 'ms', down),
  'http.before.p99': metric('http', 'HTTP at 1,000/s before the streams, p99', 'ms', down),
  'http.after.p50': metric('http', 'HTTP at 1,000/s after the streams, median', 'ms', down),
  'http.after.p99': metric('http', 'HTTP at 1,000/s after the streams, p99', 'ms', down),
  'connect.rate': metric('connect', 'connections opened and closed, 8 clients', '1/s', up),
  'handshake.rate': metric('handshake', 'WireGuard handshakes answered, in memory', '1/s', up),
  'start.process': metric('start', 'process start to Running', 's', down),
  'start.up': metric('start', 'up() to Running', 's', down),
  'start.stock.new': metric('start', 'process start to Running, stock control', 's', down),
  'start.stock.kept': metric('start', 'the same, state kept', 's', down),
  'start.stock.mapped': metric('start', 'the same, new state, port mapping on', 's', down),
  'start.stock.noUdp': metric('start', 'the same, new state, no UDP passes', 's', down),
  'rss.first': metric('start', 'RSS with one node', 'MiB', down),
  'rss.further': metric('nodes', 'RSS per further node in the process', 'MiB', down),
  'rss.stream8.peak': metric('stream', 'RSS, peak of eight connections, larger end', 'MiB', down),
  'rss.stream8.after': metric('stream', 'RSS, 1 s after them, larger end', 'MiB', down),
  'rss.idleConn': metric('idle', 'RSS per idle connection, one end', 'KiB', down),
  'rss.idlePeer': metric('peers', 'RSS per idle peer', 'KiB', down),
  'relay.gbps': metric('relay', "stream through Cove's relay", 'Gbit/s', up),
  'relay.echo.p50': metric('relay', "echo through Cove's relay, median", 'µs', down),
  'derper.gbps': metric('relay', 'stream through a stock derper', 'Gbit/s', up),
  'derper.echo.p50': metric('relay', 'echo through a stock derper, median', 'µs', down),
  disturbance: metric('all', 'used by other programs meanwhile', '% of the machine', down),
};

/** One round's values. */
export type Values = Partial<Record<MetricName, number>>;

export const CASES: readonly CaseName[] = [
  ...new Set(Object.values(METRICS).map((metric) => metric.case)),
].filter((name) => name !== 'all');
