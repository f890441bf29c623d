/** The status page: one document that needs nothing else, and no JavaScript. */
import { createHash } from 'node:crypto';

import { installSteps } from '../../shared/api/events.ts';
import {
  RESTART_LEFT,
  WATCHES,
  dialText,
  isRestartLeft,
  needOf,
  restartTexts,
} from '../../shared/api/status-text.ts';
import { bytes, duration, plural } from '../../shared/wording.ts';
import type { Progress, EventText } from './activity.ts';
import type { Overview, PageFacts, PluginOverview } from './facts.ts';
import { type Html, html, markup, withCommands } from './html.ts';
import { SCRIPT } from './script.ts';
import { STYLE } from './style.ts';

/** How often (seconds) a browser without JavaScript loads the page again. */
const RELOAD_SECONDS = 5;
/** The page says how old (milliseconds) a list is that is older. */
const OLD_MILLIS = 15_000;

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** A browser runs and loads nothing for the page but its own style and script, and shows it in no frame. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    `style-src ${hashOf(STYLE)}`,
    `script-src ${hashOf(SCRIPT)}`,
    "connect-src 'self'",
    'img-src data:',
    "form-action 'none'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; '),
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};
export const PAGE_TYPE = 'text/html; charset=utf-8';

/** The whole page. */
export function pageOf(facts: PageFacts): string {
  const { isCalm, text } = need(facts);
  const { about, root, now } = facts;
  const workspace = about.workspace ?? undefined;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>${isCalm ? '' : '! '}${text} – Airlock${workspace && ` ${workspace}`}</title>
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <link rel="icon" href="data:," />
        <noscript><meta http-equiv="refresh" content="${RELOAD_SECONDS}" /></noscript>
        ${markup(`<style>${STYLE}</style>`)}
      </head>
      <body>
        <main>
          <section id="need" role="status" ${isCalm ? html` class="calm"` : undefined}>
            <h1>${text}</h1>
          </section>
          <p class="soft">${workspace && html`Workspace <b>${workspace}</b>, `}root <b>${root}</b></p>
          ${section('todo', 'What to do', troubles(facts))}
          ${section(
            'running',
            'Under way',
            facts.running.slice(0, 50).map((one) => operation(one, facts.activity.progress)),
          )}
          ${section('plugins', 'Plugins', plugins(facts))}
          ${section('lately', 'Lately', facts.activity.told.map(toldLine))}
          ${section('agent', 'This agent', agent(about, now))}
        </main>
        <footer class="soft">
          This page is loaded again every ${RELOAD_SECONDS} seconds. Times are in UTC.
        </footer>
        ${markup(`<script>${SCRIPT}</script>`)}
      </body>
    </html> `.text;
}

/** Whether somebody has to act: as `airlock status` says it, or because the agent cannot install anything. */
function need({ about, overview: { value, why }, readiness }: PageFacts): { isCalm: boolean; text: string } {
  const failed = readiness.checks?.find(({ check, status }) => status === 'fail' && check !== 'draining');
  if (failed !== undefined) {
    return { isCalm: false, text: `An operator is needed: ${failed.detail ?? failed.check}` };
  }
  return value === undefined
    ? { isCalm: false, text: `The plugins are not known: ${why ?? 'the disk does not answer yet'}` }
    : needOf({ ...about, ...value });
}

/** A list under a title; hidden if it is empty. */
const section = (id: string, title: string, items: readonly Html[]): Html =>
  html`<section id="${id}" ${items.length === 0 ? html` hidden` : undefined}>
    <h2>${title}</h2>
    <ul>
      ${items}
    </ul>
  </section>`;

const item = (content: Html): Html => html`<li>${content}</li> `;
const todo = (text: string | undefined): Html | undefined =>
  text === undefined ? undefined : html`<p>What to do: ${withCommands(text)}</p>`;
const when = (iso: string): Html => html`<time>${iso.replace(/T(.{8}).*/, ' $1')}</time>`;

function troubles({ about, overview: { value }, readiness }: PageFacts): Html[] {
  const left = value !== undefined && isRestartLeft({ ...about, ...value });
  const { items, total } = value?.troubles ?? { items: [], total: 0 };
  const checks = readiness.checks ?? [];
  return [
    ...items.map(({ plugin, at, operationId, what, todo: act }) =>
      item(
        html`<b class="bad">${plugin}: ${what}</b>${todo(act)}
          <p class="soft">${when(at)}, operation ${operationId}</p>`,
      ),
    ),
    ...more(items.length, total, 'airlock status'),
    ...(left ? [item(html`<b class="bad">${RESTART_LEFT.what}</b>${todo(RESTART_LEFT.todo)}`)] : []),
    ...checks
      .filter(({ check, status }) => status !== 'pass' && !(check === 'restart' && left))
      .map(({ check, status, detail, hint }) =>
        item(html`<b class="${status === 'fail' ? 'bad' : 'note'}">${detail ?? check}</b>${todo(hint)}`),
      ),
  ];
}

function operation(
  { plugin, operationId }: PageFacts['running'][number],
  all: PageFacts['activity']['progress'],
): Html {
  const progress = all.get(operationId);
  return item(
    html`<b>${plugin}</b> <span class="soft">operation ${operationId}</span>${
        progress === undefined
          ? html`<p class="soft">It reports no steps, or waits for its turn.</p>`
          : steps(progress)
      }`,
  );
}

function steps({ received, total, entries, done }: Progress): Html {
  const far = `${bytes(received)} of ${bytes(total)}, ${plural(entries, 'entry', 'entries')}`;
  const now = installSteps.find((step) => !done.has(step));
  return html`<progress aria-label="Bytes" max="${Math.max(1, total)}" value="${received}"></progress>
    <p class="soft">${far}</p>
    <ol>
      ${installSteps.map((step) => {
        const millis = done.get(step);
        const state = millis === undefined ? html`` : html` class="done"`;
        return html`<li${step === now ? html` class="now" aria-current="step"` : state}>${step}${millis === undefined ? undefined : ` ${duration(millis)}`}</li>`;
      })}
    </ol>`;
}

const more = (shown: number, total: number, command: string): Html[] =>
  total > shown
    ? [item(html`<span class="soft">And ${total - shown} more: <code>${command}</code></span>`)]
    : [];

function plugins({ overview: { value, why, age } }: PageFacts): Html[] {
  if (value === undefined) {
    return [item(html`<span class="bad">They cannot be listed: ${why ?? 'the disk does not answer'}</span>`)];
  }
  const { items, total } = value.list;
  const old = age > OLD_MILLIS ? `, ${duration(age)} ago` : '';
  return [
    item(html`<span class="soft">${countText(value)}${old}</span>`),
    ...items.map(pluginRow),
    ...more(items.length, total, 'airlock list'),
  ];
}

const countText = ({ plugins: { admitted, refused, pending, drifted = 0 } }: Overview): string =>
  [
    `${admitted} admitted`,
    `${refused} refused`,
    ...(pending === 0 ? [] : [`${pending} waiting for a restart`]),
    ...(drifted === 0 ? [] : [`${drifted} edited in place`]),
  ].join(', ');

const pluginRow = (plugin: PluginOverview): Html => {
  const { name, status, level, reason, version, description, installedAt, by, notes } = plugin;
  const colour = { admitted: level === 'verified' ? 'good' : 'note', refused: 'bad', absent: 'soft' }[status];
  return html`<li class="plugin">
    <div>
      <b>${name}</b>
      <p class="soft">${description}</p>
    </div>
    <span>${version}</span>
    <span class="${reason === 'disabled' ? 'note' : colour}"
      >${reason === undefined ? (level ?? status) : `refused: ${reason}`}</span
    >
    <div>
      ${notes.map((note) => html`<p class="note">${withCommands(note)}</p>`)}
      <p class="soft">${installedAt && when(installedAt)}${by && ` by ${by}`}</p>
    </div>
  </li> `;
};

const toldLine = ({ at, plugin, text, todo: act, isBad }: EventText): Html =>
  html`<li class="told">
<span class="soft">${when(at.toISOString())}</span>
<div${isBad === true ? html` class="bad"` : undefined}><b>${plugin}</b>: ${text}${todo(act)}</div>
</li>
`;

function agent({ agent: version, startedAt, watch, dial, restart }: PageFacts['about'], now: Date): Html[] {
  const rows: [string, (string | Html)[]][] = [
    ['Version', [version ?? '']],
    ['As of', [when(now.toISOString())]],
    ['Started', [when(startedAt ?? '')]],
    ['Edits', watch === undefined ? [] : [WATCHES[watch.mode], ...watch.notices.slice(-3)]],
    ['Platform', dial ? [dialText(dial)] : []],
    ['Restarts', restart ? restartTexts(restart) : []],
  ];
  return [
    item(
      html`<dl>
        ${rows.flatMap(([name, lines]) =>
          lines.length === 0
            ? []
            : html`<dt>${name}</dt>
                <dd>${lines.map((line) => html`<p>${line}</p>`)}</dd>`,
        )}
      </dl>`,
    ),
  ];
}
