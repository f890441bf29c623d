/** How the status page looks: fonts of the system, light and dark, on any width. Nothing is loaded. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #f6f7f8; --card: #fff; --ink: #1c2024; --soft: #5a646e; --line: #dde1e5;
  --good: #17683a; --good-soft: #e2f2e8; --bad: #a4161a; --bad-soft: #fcebea; --note: #7a4b00; --bar: #2a63b5; --bar-soft: #dfe9f7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1c2024; --ink: #e6e8ea; --soft: #a3acb4; --line: #343a40;
    --good: #7fd6a0; --good-soft: #16301f; --bad: #ff9d97; --bad-soft: #3b1a1b; --note: #f3c470; --bar: #84b1f2; --bar-soft: #223449;
  }
}
* { box-sizing: border-box; }
body {
  max-width: 64rem; margin: 0 auto; padding: 1.5rem 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: anywhere;
}
h1 { margin: 0; padding: .6rem 1rem; font-size: 1.35rem; border-radius: .4rem; color: var(--bad); background: var(--bad-soft); }
.calm h1 { color: var(--good); background: var(--good-soft); }
h2 { margin: 1.75rem 0 .5rem; font-size: 1.05rem; }
p { margin: .2rem 0; }
ul, ol, dl { margin: 0; padding: 0; list-style: none; }
code { font: .875em ui-monospace, "DejaVu Sans Mono", monospace; padding: .1em .3em; border-radius: .25em; background: var(--bar-soft); }
.soft { color: var(--soft); font-size: .875rem; font-weight: 400; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.note { color: var(--note); }
section > ul { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; }
section > ul > li { padding: .6rem 1rem; border-top: 1px solid var(--line); }
section > ul > li:first-child { border-top: 0; }
.plugin, .told { display: grid; grid-template-columns: minmax(0, 1fr) 6rem 8rem minmax(0, 1.5fr); gap: .1rem 1rem; }
.told { grid-template-columns: 11rem minmax(0, 1fr); }
progress { display: block; width: 100%; height: .5rem; margin: .4rem 0; appearance: none; border: 0; border-radius: .25rem; overflow: hidden; background: var(--bar-soft); }
progress::-webkit-progress-bar { background: var(--bar-soft); }
progress::-webkit-progress-value { background: var(--bar); }
progress::-moz-progress-bar { background: var(--bar); }
ol { display: flex; flex-wrap: wrap; gap: .3rem; margin: .4rem 0; font-size: .875rem; }
ol li { padding: .05rem .6rem; border: 1px solid var(--line); border-radius: 1rem; color: var(--soft); }
ol .done { color: var(--good); background: var(--good-soft); border-color: transparent; }
ol .now { color: var(--card); background: var(--bar); border-color: transparent; }
dl { display: grid; grid-template-columns: 7rem minmax(0, 1fr); gap: .2rem 1rem; }
dt { color: var(--soft); }
dd, dd p { margin: 0; }
footer { margin-top: 1.5rem; }
.stale main { opacity: .5; }
.stale footer { color: var(--bad); }
@media (max-width: 44rem) {
  body { padding: .75rem; }
  .plugin, .told { grid-template-columns: minmax(0, 1fr); }
}
`;
