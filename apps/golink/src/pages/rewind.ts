// The whole service as it was at a moment: asked, previewed, confirmed.
import { html } from '@cove/web';
import type { Rewind } from '../store/history.ts';
import { moment } from './changes.ts';
import { count, frame, type Scene } from './frame.ts';

export interface RewindContent {
  readonly token: string;
  /** Milliseconds since the epoch, as `at`. */
  readonly now: number;
  readonly at: number | undefined;
  readonly typed: string;
  readonly result: Rewind | undefined;
  /** It was done, not only previewed. */
  readonly done: boolean;
  readonly problem: string | undefined;
}

export function rewindPage(scene: Scene, content: RewindContent): string {
  const { token, now, at, typed, result, done, problem } = content;
  const value = at === undefined ? typed : new Date(at).toISOString().slice(0, 19);
  return frame(scene, {
    title: 'Restore the whole service',
    main: html`<section class="stack narrow"><h1>Restore the whole service</h1>
<p class="lede">Every link becomes what it was at a moment you choose. What was made since is deleted, what was deleted comes back. The changes this makes are in the history too, so it can be undone the same way.</p></section>
<section class="stack narrow">
${problem !== undefined && html`<p class="notice bad" role="alert">${problem}</p>`}
${done && at !== undefined && html`<p class="notice" role="status"><b>Done.</b> All links are as they were on ${moment(at)}: ${summary(result)}. <a href="/.history">See the changes</a></p>`}
<form class="card stack" method="get" action="/.rewind">
<div class="field"><label for="at">Moment, in UTC</label>
<input class="input" type="datetime-local" id="at" name="at" step="1" required max="${new Date(now).toISOString().slice(0, 19)}" value="${value}"></div>
<p class="row"><button class="btn${result !== undefined && !done && ' quiet'}" type="submit">Show what would change</button></p>
</form>
${
  result !== undefined &&
  at !== undefined &&
  !done &&
  html`<div class="card stack" role="status"><h2>Nothing has been changed yet</h2>
<p>Going back to ${moment(at)} would change this: ${summary(result)}.</p>
${
  result.created + result.changed + result.deleted > 0 &&
  !scene.readOnly &&
  html`<form method="post" action="/.rewind"><input type="hidden" name="xsrf" value="${token}"><input type="hidden" name="at" value="${value}">
<button class="btn danger" type="submit">Go back to that moment</button></form>`
}</div>`
}
</section>`,
  });
}

function summary(result: Rewind | undefined): string {
  if (result === undefined || result.created + result.changed + result.deleted === 0)
    return 'no link differs';
  const { created, changed, deleted } = result;
  return [
    created > 0 && `${count(created, 'link')} brought back`,
    changed > 0 && `${count(changed, 'link')} changed back`,
    deleted > 0 && `${count(deleted, 'link')} deleted`,
  ]
    .filter(Boolean)
    .join(', ');
}
