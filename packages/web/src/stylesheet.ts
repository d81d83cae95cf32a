// The one look of all pages: light and dark by preference, phone first, no webfonts, no images.
//
// Colours are checked in stylesheet.test.ts for contrast: text 4.5:1 or more on every surface it is used on.

/** Colour tokens by theme; the test reads them too. */
export const THEMES: Readonly<Record<'light' | 'dark', Readonly<Record<string, string>>>> = {
  light: {
    paper: '#faf8f4',
    surface: '#ffffff',
    sunken: '#f2efe8',
    ink: '#1a2427',
    muted: '#586468',
    line: '#e2ded4',
    'line-strong': '#868f8e',
    accent: '#0b6470',
    'accent-strong': '#084c56',
    'on-accent': '#ffffff',
    'accent-soft': '#e0efef',
    warm: '#8a4b0f',
    'warm-soft': '#fbefdc',
    danger: '#a52a1c',
    'danger-soft': '#fbe9e5',
  },
  dark: {
    paper: '#0f1618',
    surface: '#162023',
    sunken: '#0b1113',
    ink: '#e7edec',
    muted: '#9cabad',
    line: '#263336',
    'line-strong': '#6d7d80',
    accent: '#6ccfcb',
    'accent-strong': '#93e2de',
    'on-accent': '#05262a',
    'accent-soft': '#15322f',
    warm: '#f2bd6b',
    'warm-soft': '#33270f',
    danger: '#ff9b8a',
    'danger-soft': '#3a1a15',
  },
};

const tokens = (theme: 'light' | 'dark'): string =>
  Object.entries(THEMES[theme])
    .map(([name, value]) => `--${name}:${value}`)
    .join(';');

export const STYLESHEET: string = `
:root{color-scheme:light;${tokens('light')};
--sans:-apple-system,BlinkMacSystemFont,"Segoe UI Variable Text","Segoe UI",Roboto,"Noto Sans","Helvetica Neue","Liberation Sans",Arial,system-ui,sans-serif;
--mono:ui-monospace,"SF Mono",SFMono-Regular,"Cascadia Code",Menlo,Consolas,"DejaVu Sans Mono",monospace;
--radius:12px;--radius-s:8px;--shadow:0 1px 2px rgb(26 36 39/.05),0 8px 24px -12px rgb(26 36 39/.14)}
@media (prefers-color-scheme:dark){:root{color-scheme:dark;${tokens('dark')};--shadow:0 1px 0 rgb(255 255 255/.03) inset}}
*,*::before,*::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;min-height:100vh;min-height:100dvh;display:flex;flex-direction:column;background:var(--paper);color:var(--ink);
font:400 1rem/1.55 var(--sans);-webkit-font-smoothing:antialiased;text-rendering:optimizeLegibility}
h1,h2,h3,p,ul,ol,dl,dd,figure,pre,fieldset{margin:0;padding:0}
h1{font-size:clamp(1.75rem,1.3rem + 2.2vw,2.625rem);line-height:1.12;letter-spacing:-.025em;font-weight:680;text-wrap:balance}
h2{font-size:1.125rem;line-height:1.3;letter-spacing:-.01em;font-weight:650}
h3{font-size:1rem;font-weight:650}
a{color:var(--accent);text-decoration-thickness:1px;text-underline-offset:.18em;text-decoration-color:color-mix(in srgb,currentColor 35%,transparent)}
a:hover{color:var(--accent-strong);text-decoration-color:currentColor}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:4px}
main:focus{outline:none}
code,kbd,samp,pre,.mono{font-family:var(--mono);font-size:.92em;font-variant-ligatures:none}
p code,li code,dd code{background:var(--sunken);border:1px solid var(--line);border-radius:5px;padding:.08em .34em;overflow-wrap:anywhere}
pre{background:var(--sunken);border:1px solid var(--line);border-radius:var(--radius-s);padding:.85rem 1rem;overflow-x:auto;line-height:1.5;tab-size:2}
small,.small{font-size:.875rem}
.muted{color:var(--muted)}
.num{font-variant-numeric:tabular-nums}
.vh{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.skip{position:absolute;left:1rem;top:-4rem;z-index:9;background:var(--accent);color:var(--on-accent);padding:.6rem 1rem;border-radius:var(--radius-s)}
.skip:focus{top:.75rem;color:var(--on-accent)}
.bar,main{width:100%;max-width:66rem;margin-inline:auto;padding-inline:clamp(1rem,4vw,2rem)}
main{flex:1;padding-block:clamp(1.5rem,5vw,3.25rem) 4rem;display:grid;gap:clamp(1.75rem,4vw,2.75rem);align-content:start;grid-template-columns:minmax(0,1fr)}
.narrow{max-width:44rem;width:100%}
.stack{display:grid;gap:1rem;grid-template-columns:minmax(0,1fr)}
.stack-s{display:grid;gap:.4rem;grid-template-columns:minmax(0,1fr)}
.row{display:flex;flex-wrap:wrap;gap:.6rem 1rem;align-items:center}
.between{justify-content:space-between;align-items:baseline}
.lede{color:var(--muted);font-size:1.0625rem;max-width:38rem;text-wrap:pretty}

.top{border-bottom:1px solid var(--line);background:var(--paper)}
.top .bar{display:grid;grid-template-columns:auto 1fr;grid-template-areas:"brand caller" "nav nav";align-items:center;gap:0 1rem;padding-block:.7rem 0}
.brand{grid-area:brand;display:inline-flex;align-items:center;gap:.6rem;color:var(--ink);text-decoration:none;font:650 1.125rem/1 var(--mono);letter-spacing:-.03em}
.brand:hover{color:var(--ink)}
.mark{display:block;width:1.875rem;height:1.875rem;flex:none}
.top nav{grid-area:nav;display:flex;flex-wrap:wrap;column-gap:.25rem;margin-inline:-.7rem;padding-top:.35rem}
.top nav a{color:var(--muted);text-decoration:none;padding:.5rem .7rem;border-bottom:2px solid transparent;white-space:nowrap;font-size:.9375rem}
.top nav a:hover{color:var(--ink)}
.top nav a:focus-visible{outline-offset:-3px}
.top nav a[aria-current]{color:var(--ink);border-color:var(--accent)}
.caller{grid-area:caller;justify-self:end;display:flex;align-items:center;gap:.65rem;min-width:0;max-width:100%}
.caller-text{display:grid;text-align:right;line-height:1.25;min-width:0}
.caller b{font-weight:600;font-size:.875rem}
.caller small{font-size:.8125rem;color:var(--muted)}
.caller b,.caller small{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.avatar{flex:none;width:2rem;height:2rem;border-radius:50%;display:inline-grid;place-items:center;object-fit:cover;font:650 .75rem/1 var(--sans);letter-spacing:.02em;color:#fff;background:#0b6470}
.tone-1{background:#7a4b1e}.tone-2{background:#3f5a9b}.tone-3{background:#8a3f63}.tone-4{background:#4c6b2f}.tone-5{background:#5a4a93}
@media (min-width:46rem){
.top .bar{grid-template-columns:auto 1fr auto;grid-template-areas:"brand nav caller";padding-block:0;min-height:4rem;gap:0 2rem}
.top nav{margin:0;padding:0;align-self:stretch}
.top nav a{display:flex;align-items:center;padding:.1rem .7rem 0}
}

.foot{border-top:1px solid var(--line);color:var(--muted);font-size:.875rem}
.foot .bar{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;padding-block:1.25rem}
.foot a{color:inherit}

.card{background:var(--surface);border:1px solid var(--line);border-radius:var(--radius);box-shadow:var(--shadow);padding:clamp(1rem,3vw,1.5rem)}
.notice{border:1px solid var(--line);border-left:4px solid var(--accent);background:var(--accent-soft);border-radius:var(--radius-s);padding:.8rem 1rem;overflow-wrap:anywhere}
.notice.warn{border-left-color:var(--warm);background:var(--warm-soft)}
.notice.bad{border-left-color:var(--danger);background:var(--danger-soft)}
.badge{display:inline-block;justify-self:start;border:1px solid var(--line);background:var(--sunken);color:var(--muted);border-radius:99px;padding:.05rem .6rem;font-size:.8125rem;white-space:nowrap}

label,.label{font-size:.875rem;font-weight:600}
.hint{font-size:.875rem;color:var(--muted);overflow-wrap:anywhere}
.field{display:grid;gap:.35rem;min-width:0;align-content:start}
input,select,textarea{font:inherit;color:inherit}
.input{width:100%;min-height:2.875rem;padding:.55rem .8rem;background:var(--surface);border:1px solid var(--line-strong);border-radius:var(--radius-s)}
.input::placeholder{color:var(--muted);opacity:1}
.input:focus-visible,.affix:focus-within{outline:3px solid var(--accent);outline-offset:1px;border-color:var(--accent);border-radius:var(--radius-s)}
textarea.input{min-height:5.25rem;resize:vertical;line-height:1.45}
.affix{display:flex;align-items:stretch;background:var(--surface);border:1px solid var(--line-strong);border-radius:var(--radius-s);min-height:2.875rem;overflow:hidden}
.affix>span{display:flex;align-items:center;padding:0 .1rem 0 .8rem;color:var(--accent);font:600 1rem/1 var(--mono)}
.affix>input{flex:1;min-width:0;border:0;background:none;padding:.55rem .8rem .55rem .1rem;outline:none;font-family:var(--mono);border-radius:0}
.affix>input::placeholder{color:var(--muted);opacity:1}
.btn{display:inline-flex;align-items:center;justify-content:center;gap:.5rem;min-height:2.875rem;padding:.5rem 1.25rem;border-radius:var(--radius-s);border:1px solid transparent;font:600 1rem/1.2 var(--sans);text-decoration:none;cursor:pointer;background:var(--accent);color:var(--on-accent)}
.btn:hover{background:var(--accent-strong);color:var(--on-accent)}
.btn:focus-visible{border-radius:var(--radius-s)}
.btn.quiet{background:transparent;color:var(--ink);border-color:var(--line-strong)}
.btn.quiet:hover{background:var(--sunken);color:var(--ink)}
.btn.danger{background:transparent;color:var(--danger);border-color:currentColor}
.btn.danger:hover{background:var(--danger-soft);color:var(--danger)}

.btn.small{min-height:2.25rem;padding:.25rem .75rem;font-size:.875rem}
.check{display:grid;grid-template-columns:auto minmax(0,1fr);gap:.15rem .6rem;align-items:start;padding:.2rem 0}
.check label{font-weight:400;font-size:.9375rem}
.check input{width:1.25rem;height:1.25rem;margin:.1rem 0 0;accent-color:var(--accent)}
fieldset{border:0;min-width:0}
legend{padding:0}
.search{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:.6rem;max-width:36rem}
.tags{list-style:none;display:flex;flex-wrap:wrap;gap:.4rem}
.tag{display:inline-flex;gap:.4rem;border:1px solid var(--line-strong);border-radius:99px;padding:.15rem .75rem;font-size:.875rem;text-decoration:none;overflow-wrap:anywhere}
.tag:hover{background:var(--accent-soft)}
.tag .num{color:var(--muted)}
details.card>summary,.card details>summary{min-height:1.75rem}

.composer{display:grid;gap:1rem}
@media (min-width:46rem){
.composer{grid-template-columns:minmax(11rem,16rem) auto minmax(0,1fr) auto;align-items:start}
.composer .to,.composer .go-btn{margin-top:1.72rem}
}
.composer .to{color:var(--muted);height:2.875rem;align-items:center;display:none}
@media (min-width:46rem){.composer .to{display:flex}}

.list{width:100%;border-collapse:collapse;table-layout:fixed}
.list th{text-align:left;font-size:.8125rem;font-weight:600;color:var(--muted);padding:0 .75rem .5rem;border-bottom:1px solid var(--line)}
.list td{padding:.7rem .75rem;border-bottom:1px solid var(--line);vertical-align:baseline;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.list tbody tr:hover{background:color-mix(in srgb,var(--accent-soft) 55%,transparent)}
.list th:first-child,.list td:first-child{padding-left:0}
.list th:last-child,.list td:last-child{padding-right:0}
.list .num{text-align:right}
.c-clicks{width:8.25rem}.c-owner{width:15rem}.c-date{width:8.5rem}
.list td.c-owner,.list td.c-date{font-size:.9375rem;color:var(--muted)}
.go{font-family:var(--mono);font-weight:600;letter-spacing:-.02em}
a.go{text-decoration:none;color:var(--ink)}
.go i{font-style:normal;color:var(--accent)}
a.go:hover{text-decoration:underline;text-decoration-color:var(--accent)}
.dest{display:block;color:var(--muted);font-size:.875rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.meter{display:inline-block;vertical-align:middle;margin-left:.6rem;color:var(--accent)}
.more{color:var(--muted);text-decoration:none;padding:.25rem .4rem;margin:-.25rem -.4rem;border-radius:6px;font-size:.875rem}
.more:hover{text-decoration:underline}
@media (max-width:45.99rem){
.list thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.list,.list tbody{display:block}
.list tr{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:.1rem 1rem;padding:.7rem 0;border-bottom:1px solid var(--line)}
.list td{padding:0;border:0}
.list td.c-name{width:auto;grid-column:1/2;grid-row:1}
.list td.c-clicks{width:auto;grid-column:2/3;grid-row:1}
.list td.c-owner,.list td.c-date{width:auto;font-size:.875rem}
.list td.c-date{text-align:right}
.meter{display:none}
}

.bigname{font:680 clamp(1.75rem,1.2rem + 3vw,2.75rem)/1.1 var(--mono);letter-spacing:-.045em;overflow-wrap:anywhere}
.bigname i{font-style:normal;color:var(--accent)}
.target{font-family:var(--mono);font-size:.9375rem;overflow-wrap:anywhere;white-space:pre-wrap}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(7rem,1fr));gap:1rem 1.5rem}
@media (min-width:46rem){.facts{grid-template-columns:2fr 1fr 1fr 1fr}.facts .wide{grid-column:1/-1}}
.facts>:first-child{grid-column:1/-1}
@media (min-width:46rem){.facts>:first-child{grid-column:auto}}
.facts dt{font-size:.8125rem;color:var(--muted)}
.facts dd{font-weight:550;overflow-wrap:anywhere}
.mini{list-style:none;display:grid;grid-template-columns:minmax(0,1fr)}
.mini li{padding:.7rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.mini li:first-child{border-top:1px solid var(--line)}
.plain-ends li:first-child,.plain-ends li:last-child{border-color:transparent}
.plain-ends li:first-child{padding-top:.1rem}
.plain-ends li:last-child{padding-bottom:0}
.mini small{display:block;color:var(--muted)}
.two{display:grid;gap:clamp(1.75rem,4vw,3rem);grid-template-columns:minmax(0,1fr)}
@media (min-width:56rem){.two{grid-template-columns:minmax(0,1.7fr) minmax(0,1fr);align-items:start}}
.halves{display:grid;gap:clamp(1.75rem,4vw,3rem);grid-template-columns:minmax(0,1fr)}
@media (min-width:56rem){.halves{grid-template-columns:repeat(2,minmax(0,1fr))}}
.halves>*,.two>*{align-content:start}
.wide-gap{gap:clamp(1.75rem,4vw,2.5rem)}
.grow{flex:1;min-width:0}
.nowrap{white-space:nowrap}
.keep-lines{white-space:pre-line}
.log{list-style:none;display:grid;gap:1.1rem;grid-template-columns:minmax(0,1fr);border-left:2px solid var(--line);padding-left:1rem}
.log li{display:grid;gap:.4rem;grid-template-columns:minmax(0,1fr);justify-items:start;font-size:.875rem;overflow-wrap:anywhere;position:relative}
.log li::before{content:"";position:absolute;left:calc(-1rem - 5px);top:.42em;width:8px;height:8px;border-radius:50%;background:var(--line-strong)}
.log b{font-weight:600}
.diff{display:grid;gap:.25rem;color:var(--muted);min-width:0;max-width:100%}
.diff div{display:grid;grid-template-columns:minmax(0,6.5rem) minmax(0,1fr);gap:.5rem}
.diff dt{color:var(--muted)}
del,ins{color:var(--ink);border-radius:3px;padding:0 .12em;-webkit-box-decoration-break:clone;box-decoration-break:clone}
del{background:var(--danger-soft);text-decoration-color:var(--danger)}
ins{background:var(--accent-soft);text-decoration-color:var(--accent);text-underline-offset:.2em}

.chart{display:grid;gap:.35rem}
.chart-plot{position:relative;padding-top:1.15rem}
.chart svg{display:block;width:100%;height:clamp(6rem,18vw,9rem);color:var(--accent);border-bottom:1px solid var(--line-strong)}
.chart rect{fill:currentColor}
.chart rect.none{fill:var(--line-strong)}
.chart rect:hover{fill:var(--accent-strong)}
.chart-grid{stroke:var(--line);stroke-width:1;fill:none}
.chart figcaption{flex-wrap:nowrap;text-align:center}
.chart time{white-space:nowrap}
.chart-max{position:absolute;top:0;left:0;font-size:.75rem;line-height:1;color:var(--muted)}
.plain{border-collapse:collapse;width:100%}
.plain th,.plain td{text-align:left;padding:.35rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.plain th{font-size:.8125rem;font-weight:600;color:var(--muted)}
.plain .num{text-align:right}
summary{cursor:pointer;font-weight:600;border-radius:6px;width:fit-content}
details[open]>summary{margin-bottom:.9rem}
.empty{border:1px dashed var(--line-strong);border-radius:var(--radius);padding:clamp(1.5rem,5vw,2.5rem);text-align:center;color:var(--muted)}
.prose{display:grid;gap:.85rem;max-width:54rem;grid-template-columns:minmax(0,1fr)}
.prose h2{margin-top:1.75rem;font-size:1.375rem}
.prose p,.prose ul,.prose ol{max-width:44rem}
.prose ul,.prose ol{padding-left:1.25rem;display:grid;gap:.35rem}
.table-wrap{overflow-x:auto}
.ref{border-collapse:collapse;width:100%;font-size:.9375rem}
.ref td:first-child{width:50%}
.ref th,.ref td{text-align:left;vertical-align:baseline;padding:.5rem 1.25rem .5rem 0;border-bottom:1px solid var(--line)}
.ref th{font-size:.8125rem;color:var(--muted);font-weight:600}
@media (max-width:45.99rem){
.ref,.ref tbody,.ref tr{display:block}
.ref thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.ref tr{padding:.6rem 0;border-bottom:1px solid var(--line);display:grid;gap:.2rem;overflow-wrap:anywhere}
.ref tr td,.ref tr td:first-child{padding:0;border:0;width:auto}
.ref td:nth-child(3)::before{content:"\\2192  "/"";color:var(--muted)}
}
@media (prefers-reduced-motion:no-preference){a,.btn{transition:color .12s,background-color .12s}}
@media (forced-colors:active){.btn,.input,.affix,.card{border:1px solid}}
@media print{.top nav,.foot,.btn,form{display:none}body{background:#fff;color:#000}}
`.trim();
