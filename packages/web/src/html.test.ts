import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { escapeHtml, html, isSafeUrl, raw } from './html.ts';

test('interpolated text is escaped in content and in quoted attributes', () => {
  const evil = `"><script>alert('1')</script>&`;
  assert.equal(
    html`<a title="${evil}">${evil}</a>`.toString(),
    '<a title="&#34;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;">&#34;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;</a>',
  );
});

test('markup made by html or raw, and lists of it, pass as they are; null, undefined and booleans print nothing', () => {
  const items = ['<a>', 'b'].map((text) => html`<li>${text}</li>`);
  assert.equal(
    html`${items}${raw('<hr>')}${null}${undefined}${false}${true}${7}`.toString(),
    '<li>&lt;a&gt;</li><li>b</li><hr>7',
  );
});

test('an interpolation into an unquoted attribute is a TypeError', () => {
  assert.throws(() => html`<input value=${'x'}>`, TypeError);
  assert.equal(html`<p>a = ${'x'}</p>`.toString(), '<p>a = x</p>');
});

test('a URL attribute never receives a scheme that runs script', () => {
  for (const url of [
    'javascript:alert(1)',
    ' JavaScript:alert(1)',
    'java\tscript:alert(1)',
    '\u0001javascript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
  ]) {
    assert.equal(isSafeUrl(url), false, url);
    assert.equal(html`<a href="${url}">`.toString(), '<a href="#">');
  }
  for (const url of ['https://a/?b=c', '/x', 'rel:8', 'mailto:a@b', '', 'http://a/javascript:x'])
    assert.equal(isSafeUrl(url), true, url);
});

test('whatever text is interpolated, no tag or quote of its own reaches the page', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(escapeHtml(text), /[<>"']/);
      assert.equal(html`${text}`.toString(), escapeHtml(text));
    }),
  );
});
