// API tokens: a form that makes one, the one just made, and those there are.
import { day, html } from '@cove/web';
import type { Token } from '../store/tokens.ts';
import { check } from './editform.ts';
import { frame, type Scene } from './frame.ts';

export interface IssuedToken {
  readonly name: string;
  readonly text: string;
}

export interface TokensContent {
  readonly tokens: readonly Token[];
  readonly login: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Of the forms. */
  readonly token: string;
  readonly issued?: IssuedToken;
  readonly problem?: string;
  readonly typed?: string;
}

export function tokensPage(scene: Scene, content: TokensContent): string {
  const { tokens, login, now, token, issued, problem, typed = '' } = content;
  return frame(scene, {
    title: 'API tokens',
    main: html`<section class="stack narrow"><h1>API tokens</h1>
<p class="lede">Scripts on machines of yours need no token: the network knows them. Others send one as <span class="mono">Authorization: Bearer</span> to the <a href="/.api/v1/openapi.json">API</a>, and act as you, without admin rights.</p>
${issued && html`<div class="notice stack-s" role="status"><p><b>${issued.name}</b> was made. Copy it now; it is not shown again.</p><pre tabindex="0" aria-label="The token">${issued.text}</pre></div>`}
</section>
<div class="two">
<section class="stack" aria-labelledby="have"><h2 id="have">Tokens</h2>
${
  tokens.length === 0
    ? html`<p class="empty">There are none yet. The form makes one.</p>`
    : html`<ul class="mini wide">${tokens.map((one) => row(one))}</ul>`
}</section>
<section class="stack" aria-labelledby="make"><h2 id="make">Make one</h2>
${
  scene.readOnly
    ? html`<p class="notice warn">Not at the moment: ${scene.host} is in read-only mode.</p>`
    : html`<form class="card stack" method="post" action="/.tokens">
${problem !== undefined && html`<p class="notice bad" role="alert">${problem}</p>`}
<input type="hidden" name="xsrf" value="${token}">
<div class="field"><label for="name">What for</label><input class="input" id="name" name="name" value="${typed}" required maxlength="100" autocomplete="off" placeholder="deploy script"></div>
<fieldset class="field"><legend class="label">It may</legend>
${check('read', 'read everything that can be seen', true)}
${check('write', 'change what you may change', false)}</fieldset>
<div class="field"><label for="days">It works for</label><select class="input" id="days" name="days"><option value="7">a week</option><option value="30">30 days</option><option value="90" selected>90 days</option><option value="365">a year</option><option value="0">until it is revoked</option></select></div>
<p class="row"><button class="btn" type="submit">Make a token</button></p>
</form>`
}</section>
</div>`,
  });

  function row(one: Token) {
    const expired = one.expires !== undefined && one.expires * 1000 <= now;
    return html`<li class="row between"><div class="grow"><b>${one.name}</b> <span class="badge">${one.scopes.join(' and ')}</span>${one.owner !== login && html` <span class="muted">of ${one.owner}</span>`}
<small>made ${day(new Date(one.created * 1000))} · ${expired ? 'expired' : one.expires === undefined ? 'does not expire' : html`until ${day(new Date(one.expires * 1000))}`} · ${one.lastUsed === undefined ? 'never used' : html`last used ${day(new Date(one.lastUsed * 1000))}`}</small></div>
<form method="post" action="/.tokens/${one.id}/revoke"><input type="hidden" name="xsrf" value="${token}"><button class="btn small danger" type="submit">Revoke<span class="vh"> ${one.name}</span></button></form></li>`;
  }
}
