// Help: how names are read, how destinations are built, how to script it.
import { html } from '@cove/web';
import { frame, type Scene } from './frame.ts';

export function helpPage(scene: Scene): string {
  const go = scene.host;
  const example = (destination: string, typed: string, result: string): ReturnType<typeof html> =>
    html`<tr><td><code>${destination}</code></td><td><code>${typed}</code></td><td><code>${result}</code></td></tr>`;
  const row = (name: string, meaning: string): ReturnType<typeof html> =>
    html`<tr><td><code>${name}</code></td><td>${meaning}</td></tr>`;
  return frame(scene, {
    title: 'Help',
    current: 'help',
    main: html`<article class="prose">
<h1>How links work</h1>
<p class="lede">A link is a name and a destination. <span class="go">${go}/name</span> takes whoever types it to the destination.</p>
<h2 id="names">Names</h2>
<ul>
<li>Letters, digits and underscore; after the first character also dash and period.</li>
<li>Capitals and dashes make no difference: <code>${go}/Meeting-Notes</code> is <code>${go}/meetingnotes</code>.</li>
<li>Punctuation that stuck to the end, as in “see ${go}/notes).”, is ignored.</li>
<li>A plus at the end shows a link instead of following it: <code>${go}/notes+</code></li>
</ul>
<h2 id="paths">What follows the name</h2>
<p>By default it is added to the destination with a slash between. A query is merged in.</p>
<div class="table-wrap" tabindex="0"><table class="ref"><thead><tr><th scope="col">Destination</th><th scope="col">Typed</th><th scope="col">Leads to</th></tr></thead><tbody>
${example('https://wiki/', `${go}/wiki/team/plan`, 'https://wiki/team/plan')}
${example('https://find/search', `${go}/find?q=fish`, 'https://find/search?q=fish')}
</tbody></table></div>
<h2 id="templates">Templates</h2>
<p>A destination with <code>{{</code> decides by itself where things go.</p>
<div class="table-wrap" tabindex="0"><table class="ref"><thead><tr><th scope="col">Destination</th><th scope="col">Typed</th><th scope="col">Leads to</th></tr></thead><tbody>
${example('https://find/{{with .Path}}search?q={{QueryEscape .}}{{end}}', `${go}/find/blue fish`, 'https://find/search?q=blue+fish')}
${example('https://chat/{{if .Path}}channels/{{PathEscape .Path}}{{end}}', `${go}/chat/general`, 'https://chat/channels/general')}
${example('https://bugs/{{TrimPrefix .Path "BUG-"}}', `${go}/bug/BUG-123`, 'https://bugs/123')}
${example('https://wiki/{{.Now.Format "2006-01-02"}}', `${go}/today`, 'https://wiki/2026-11-21')}
${example('/who/{{.User}}', `${go}/me`, `${go}/who/you@example.com`)}
</tbody></table></div>
<div class="table-wrap" tabindex="0"><table class="ref"><thead><tr><th scope="col">Write</th><th scope="col">Meaning</th></tr></thead><tbody>
${row('.Path', 'what follows the name, without the slash')}
${row('.User', 'your login; the link then works only for people this network knows')}
${row('index .Segments 0', 'the first part of what follows the name; range .Segments goes through all of them')}
${row('.Query', 'the query as typed; it is then not merged by itself')}
${row('.Now', 'the time in UTC; .Now.Year, .Now.Month and so on, or .Now.Format "2006-01-02"')}
${row('{{if x}} .. {{else}} .. {{end}}', 'one or the other')}
${row('{{with x}} .. {{end}}', 'only if x is not empty; inside, a lone dot is x')}
${row('PathEscape, QueryEscape', 'make text safe for a path or a query')}
${row('TrimPrefix text start, TrimSuffix text end', 'text without that start or end')}
${row('ToLower, ToUpper', 'change case')}
${row('Match pattern text', 'whether the text has what the pattern says, as in {{if Match `^[0-9]+$` .Path}}')}
${row('Default other text', 'the other where the text is empty; also Split, Join, Replace, RegexReplace')}
${row('eq, ne, lt, le, gt, ge, and, or, not', 'compare and combine')}
${row('len, print, printf, urlquery, html', 'measure and write values')}
</tbody></table></div>
<h2 id="owners">Owners</h2>
<p>Who makes a link owns it, and only the owner or an admin can change it. An owner can hand it to someone else. Links of people who left, and of machines, can be changed by anyone, who then owns them.</p>
<h2 id="scripts">Scripts</h2>
<pre># One link as JSON
curl -L ${go}/name+

# All links, one JSON object per line
curl -L ${go}/.export

# Create or change a link
curl -L -H Sec-Golink:1 -d short=cs -d long=https://cs.example.com/ ${go}</pre>
</article>`,
  });
}

/** How browsers learn to search with golink. */
export function openSearch(host: string, title: string): string {
  return html`<?xml version="1.0" encoding="UTF-8"?>
<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/" xmlns:moz="http://www.mozilla.org/2006/browser/search/">
<ShortName>${host}</ShortName>
<Description>${title}</Description>
<InputEncoding>UTF-8</InputEncoding>
<Image width="16" height="16" type="image/png">http://${host}/.static/favicon.png</Image>
<Url type="text/html" method="get" template="http://${host}/{searchTerms}"/>
<Url type="application/x-suggestions+json" method="get" template="http://${host}/.suggest?q={searchTerms}"/>
<moz:SearchForm>http://${host}/</moz:SearchForm>
</OpenSearchDescription>
`.toString();
}

/** What lies under `/.static/`. */
export function fileListPage(names: readonly string[]): string {
  const lines = names.map((name) => html`<a href="${name}">${name}</a>\n`);
  return html`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Static files</title>
<pre>
${lines}</pre>
</html>
`.toString();
}
