// Prometheus text format.
import type { StatusRecord } from './api.ts';
import type { Core } from './core.ts';

export function metricsText(
  status: StatusRecord,
  core: Core,
  requests: ReadonlyMap<string, number>,
): string {
  const lines: string[] = [];
  const gauge = (name: string, help: string, value: number): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${value}`);
  };
  const counter = (name: string, help: string, values: Readonly<Record<string, number>>): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} counter`);
    for (const [labels, value] of Object.entries(values)) lines.push(`${name}${labels} ${value}`);
  };
  gauge('cove_control_users', 'Users.', status.users);
  gauge('cove_control_nodes', 'Nodes.', status.nodes);
  gauge('cove_control_nodes_online', 'Nodes with an open map stream.', status.online);
  gauge('cove_control_map_streams', 'Open map streams.', status.streams);
  gauge('cove_control_connections', 'Encrypted client connections.', status.connections);
  gauge('cove_control_pending_logins', 'Logins waiting for approval.', status.pending);
  const { counters } = core.hub;
  counter('cove_control_map_messages_total', 'Messages sent on map streams.', {
    '{type="full"}': counters.fullMaps,
    '{type="delta"}': counters.deltas,
    '{type="keepalive"}': counters.keepAlives,
  });
  counter('cove_control_map_delta_bodies_total', 'Different delta bodies made.', {
    '': counters.bodies,
  });
  counter('cove_control_map_streams_dropped_total', 'Streams dropped for being slow.', {
    '': counters.dropped,
  });
  counter('cove_control_commits_total', 'Database transactions.', { '': core.journal.commits });
  const byRequest: Record<string, number> = {};
  for (const [key, value] of requests) {
    const [path, code] = key.split(' ');
    byRequest[`{path="${path}",code="${code}"}`] = value;
  }
  counter('cove_control_requests_total', 'Requests inside the encrypted channel.', byRequest);
  return `${lines.join('\n')}\n`;
}
