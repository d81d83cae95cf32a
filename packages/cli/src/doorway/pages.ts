// The doorway's own pages: the list of services, and sentences when something does not answer.
import type { ServerResponse } from 'node:http';
import type { WhoIs } from '@cove/tsnet';
import { Assets, type Html, html, page, securityHeaders } from '@cove/web';
import type { Coordinator } from '../coordinator.ts';
import type { TailnetSettings } from '../datadir.ts';
import { machineAddresses } from '../listenaddress.ts';
import type { RunningService } from '../services/service.ts';
import type { DoorwayPages } from './doorway.ts';

export interface PageFacts {
  readonly settings: TailnetSettings;
  readonly coordinator: Coordinator;
  /** The person at the doorway, as services see them. */
  caller(): WhoIs | undefined;
  readonly services: readonly Pick<RunningService, 'name' | 'summary'>[];
}

const BRAND = 'Cove';

export function doorwayPages(facts: PageFacts): DoorwayPages {
  const assets = new Assets('/.doorway/');
  const send = (res: ServerResponse, status: number, title: string, main: Html): void => {
    const body = page(assets, {
      title,
      brand: BRAND,
      caller: facts.caller(),
      main,
    });
    for (const [name, value] of Object.entries(securityHeaders())) res.setHeader(name, value);
    res.writeHead(status, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
    });
    res.end(body);
  };
  return {
    asset: (req, res) => assets.serve(req, res),
    failure: (res, status, title, text) =>
      send(
        res,
        status,
        title,
        html`<h1>${title}</h1><p>${text}</p><p><a href="/">All services</a></p>`,
      ),
    home: (res, req) => {
      const host = req.headers.host ?? 'localhost';
      send(res, 200, 'Your services', home(facts, host.replace(/^.*?(:\d+)?$/, '$1')));
    },
  };
}

function home({ settings, coordinator, services }: PageFacts, port: string): Html {
  const [url] = coordinator.urls;
  const nodes = coordinator.control.listNodes();
  return html`<h1>Your services</h1>
<p class="lead">Everything here is reached through your own private network, as <strong>${settings.owner}</strong>.</p>
<ul class="cards">${services.map(
    ({
      name,
      summary,
    }) => html`<li><a href="http://${name}.localhost${port}/"><strong>${name}</strong></a>
<span>${summary}</span> <small><a href="/${name}/">by path</a></small></li>`,
  )}</ul>
<h2>Machines</h2>
<table><thead><tr><th>Name</th><th>Address</th><th>Belongs to</th><th>State</th></tr></thead><tbody>${nodes.map(
    (node) =>
      html`<tr><td>${node.name}</td><td><code>${node.addresses[0]}</code></td><td>${node.tags.length > 0 ? node.tags.join(', ') : node.user}</td><td>${node.online ? 'online' : 'offline'}</td></tr>`,
  )}</tbody></table>
<h2>Let others in</h2>
${
  url === undefined
    ? html`<p>This network is served on this machine only. To let other machines join, start it with an address they reach:</p>
<pre><code>npm start -- --listen ${machineAddresses()[0] ?? 'ADDRESS'}</code></pre>`
    : html`<p>Make a key with <code>npx cove authkey create --user LOGIN</code>, then on the other machine, with the Tailscale app:</p>
<pre><code>tailscale up --login-server ${url} --auth-key KEY</code></pre>`
}`;
}
