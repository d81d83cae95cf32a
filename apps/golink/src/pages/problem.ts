// An error as a page, for browsers; everything else gets the sentence as text.
import { html } from '@cove/web';
import { frame, type Scene } from './frame.ts';

const HEADINGS: Readonly<Record<number, string>> = {
  400: 'That did not work',
  401: 'Who are you?',
  403: 'Not yours to change',
  404: 'Nothing here',
  405: 'Not now',
  413: 'Too much at once',
  421: 'Wrong name',
};

export function problemPage(scene: Scene, status: number, message: string): string {
  const heading = HEADINGS[status] ?? 'Something went wrong';
  return frame(scene, {
    title: heading,
    main: html`<section class="stack narrow">
<p class="badge num">${status}</p>
<h1>${heading}</h1>
<p class="lede">${message}</p>
<p class="row"><a class="btn quiet" href="/">Back to ${scene.host}/</a></p>
</section>`,
  });
}
