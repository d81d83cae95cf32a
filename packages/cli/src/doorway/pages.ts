// The doorway's own pages: the services, the machines, those that wait to be let in, and sentences when something
// does not answer.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { PendingRecord } from '@cove/control';
import type { WhoIs } from '@cove/tsnet';
import { Assets, type Html, html, page, readForm, securityHeaders } from '@cove/web';
import type { Coordinator } from '../coordinator.ts';
import type { TailnetSettings } from '../datadir.ts';
import { explain } from '../errors.ts';
import { isPrivateAddress, machineAddresses } from '../listenaddress.ts';
import type { RunningService } from '../services/service.ts';
import type { DoorwayPages } from './doorway.ts';
import { isOwner, ownerCookie } from './owner.ts';

export interface PageFacts {
  readonly settings: TailnetSettings;
  readonly coordinator: Coordinator;
  /** What the browser of who may let machines in has in a cookie. */
  readonly secret: string;
  /** The person at the doorway, as services see them. */
  caller(): WhoIs | undefined;
  readonly services: readonly Pick<RunningService, 'name' | 'summary'>[];
}

const BRAND = 'Cove';
const NOT_THE_OWNER =
  'Only who started this network lets machines in: open the link that cove up printed, or run npx cove node approve ID.';

export function doorwayPages(facts: PageFacts): DoorwayPages {
  const assets = new Assets('/.doorway/');
  const send = (res: ServerResponse, status: number, title: string, main: Html): void => {
    const body = page(assets, { title, brand: BRAND, caller: facts.caller(), main });
    for (const [name, value] of Object.entries(securityHeaders())) res.setHeader(name, value);
    res.writeHead(status, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
    });
    res.end(body);
  };
  const failure: DoorwayPages['failure'] = (res, status, title, text) =>
    send(
      res,
      status,
      title,
      html`<section class="stack narrow"><h1>${title}</h1><p class="lede">${text}</p><p><a href="/">All services</a></p></section>`,
    );
  return {
    failure,
    asset: (req, res) => assets.serve(req, res),
    home: (res, req) => {
      const cookie = ownerCookie(req, facts.secret);
      if (cookie !== undefined) {
        // Not left in the address line, the history and the screenshot.
        res
          .writeHead(303, { location: '/', 'set-cookie': cookie, 'cache-control': 'no-store' })
          .end();
        return;
      }
      const port = /:\d+$/.exec(req.headers.host ?? '')?.[0] ?? '';
      send(res, 200, 'Your services', home(facts, port, isOwner(req, facts.secret)));
    },
    submit(req, res, path) {
      if (path !== '/approve' && path !== '/deny') return false;
      if (!isOwner(req, facts.secret)) {
        req.resume();
        failure(res, 403, 'Not from here', NOT_THE_OWNER);
        return true;
      }
      decide(facts, req, path).then(
        () => res.writeHead(303, { location: '/' }).end(),
        (error: unknown) => failure(res, 409, 'That did not work', `${explain(error)}.`),
      );
      return true;
    },
  };
}

async function decide(facts: PageFacts, req: IncomingMessage, path: string): Promise<void> {
  const fields = await readForm(req, { limit: 4096 });
  const id = fields.get('id') ?? '';
  const { control } = facts.coordinator;
  if (path === '/deny') return control.deny(id);
  await control.approve(id, { user: fields.get('user')?.trim() || facts.settings.owner });
}

function home(facts: PageFacts, port: string, owner: boolean): Html {
  const { settings, coordinator, services } = facts;
  const pending = coordinator.control.listPending();
  return html`<section class="stack">
<h1>Your services</h1>
<p class="lede">Everything here is reached through your own private network, as <strong>${settings.owner}</strong>.</p>
${services.map(
  ({ name, summary }) => html`<div class="card between">
<p><a class="bigname" href="http://${name}.localhost${port}/">${name}</a><br><span class="muted">${summary}</span></p>
<p class="small"><a href="/${name}/">open by path</a></p>
</div>`,
)}
</section>
${pending.length > 0 && html`<section class="stack" aria-labelledby="waiting"><h2 id="waiting">Waiting to be let in</h2>${pending.map((login) => (owner ? waiting(login, settings.owner) : seen(login)))}</section>`}
<section class="stack" aria-labelledby="machines">
<h2 id="machines">Machines</h2>
<table class="list"><thead><tr><th scope="col">Name</th><th scope="col">Belongs to</th><th scope="col">Address</th><th scope="col">State</th></tr></thead>
<tbody>${coordinator.control
    .listNodes()
    .map(
      (node) =>
        html`<tr><td class="c-name"><b>${node.name}</b></td><td class="c-owner">${node.tags.join(', ') || node.user}</td><td class="c-owner mono">${node.addresses[0]}</td><td class="c-clicks"><span class="badge">${node.expired ? 'expired' : node.online ? 'online' : 'offline'}</span></td></tr>`,
    )}</tbody></table>
</section>
<section class="stack" aria-labelledby="others">
<h2 id="others">Let others in</h2>
${invitation(coordinator.urls[0])}
</section>`;
}

/** For everyone who is not the owner: names, and what the owner can do. */
function seen(login: PendingRecord): Html {
  return html`<div class="card stack">
${machine(login)}
<p>To let it in, open the link that <code>cove up</code> printed, or run:</p>
<pre><code>npx cove node approve ${login.id}</code></pre>
</div>`;
}

function machine(login: PendingRecord): Html {
  return html`<p><b>${login.hostname || 'a machine'}</b> <span class="muted">${login.os} · asks until ${login.expires.slice(11, 16)} UTC</span></p>`;
}

function waiting(login: PendingRecord, owner: string): Html {
  return html`<form class="card stack" method="post" action="/approve">
${machine(login)}
<input type="hidden" name="id" value="${login.id}">
<div class="field"><label for="user-${login.id}">Whose is it?</label>
<input class="input" id="user-${login.id}" name="user" value="${owner}" required autocomplete="off" autocapitalize="none" spellcheck="false"></div>
<p class="row"><button class="btn" type="submit">Let it in</button> <button class="btn quiet" type="submit" formaction="/deny">Turn it away</button></p>
</form>`;
}

function invitation(url: string | undefined): Html {
  if (url === undefined) {
    const address = machineAddresses().find(isPrivateAddress) ?? '192.168.1.5';
    return html`<p>This network is served on this machine only. To let other machines join, start it with an address they reach:</p>
<pre><code>npm start -- --listen ${address}</code></pre>`;
  }
  return html`<p>On the other machine, with the Tailscale app; the request then appears on this page:</p>
<pre><code>tailscale up --login-server ${url}</code></pre>
<p>Or make a key first, and nobody has to approve:</p>
<pre><code>npx cove authkey create --user LOGIN
tailscale up --login-server ${url} --auth-key KEY</code></pre>`;
}
