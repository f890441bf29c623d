/** `airlock push`: packs a directory, or takes a bundle, and installs it through an agent. */
import { stat } from 'node:fs/promises';

import {
  type Bundle,
  type Finding,
  type PackOptions,
  type Progress,
  type Pushed,
  isZip,
  openBundle,
  packDirectory,
  push,
} from '../../client/index.ts';
import { readSettings, settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { Fault } from '../../shared/api/fault.ts';
import { unreadable } from '../../shared/api/unreadable.ts';
import { type Command, type Context, type Given, NAME_OPTION } from '../command.ts';
import type { Output } from '../output.ts';
import { noteFindings } from '../findings.ts';
import { pushAllOf } from '../push-all.ts';
import { planOf } from '../push-plan.ts';
import { checkLock, lockInstalled } from '../lock-installed.ts';
import { openFor, urlOf } from '../reach.ts';
import { validatePlugin } from '../validate-plugin.ts';
import { bytes, duration, packNotes, plural, reloadText, replacedText, safe, sentText } from '../render.ts';

export const command: Command = {
  name: 'push',
  summary:
    'install a plugin: a directory or a zip, which is packed first, or a .tgz; or all plugins of a directory',
  positionals: '<dir|zip|tgz>',
  count: { min: 1, max: 1 },
  settings: settingsOf(settings, 'client', 'pack'),
  options: {
    all: {
      type: 'boolean',
      help: 'push each plugin of a directory: those in its .claude-plugin/marketplace.json, or all with a manifest',
    },
    name: NAME_OPTION,
    lock: { type: 'string', value: 'file', help: 'also write what is installed into this lock file' },
    source: { type: 'string', value: 'text', help: 'the origin of the plugin, which the marker records' },
    expect: { type: 'string', value: 'id|none', help: 'refuse unless this install, or nothing, is live' },
    pin: { type: 'string', value: 'sha256:…', help: 'the digest that the manifest file must have' },
    links: {
      type: 'string',
      value: 'copy|skip|refuse',
      help: 'copy what the links of a .tgz lead to (default), leave links out, or refuse it',
    },
    operation: {
      type: 'string',
      value: 'id',
      help: 'the operation id; the same command with the same id is safe to repeat',
    },
    force: { type: 'boolean', help: 'install even if this version is live already or the plugin is held' },
    full: {
      type: 'boolean',
      help: 'send the whole bundle, also if the agent has most of its files (default: send what it lacks)',
    },
    plan: {
      type: 'boolean',
      help: 'only say what would be sent, which room it needs and what the runtime would have to do',
    },
    'no-restart': { type: 'boolean', help: 'suppress the restart' },
    'allow-secret': {
      type: 'string',
      value: 'path',
      multiple: true,
      help: 'pack this file though it looks like a secret; may be given more than once',
    },
  },
  examples: [
    'airlock push ./my-plugin --to ws://127.0.0.1:7423',
    'airlock push my-plugin-1.2.0.tgz --to ws://127.0.0.1:7423 --expect none',
    'airlock push ./my-plugin --plan --to ws://127.0.0.1:7423',
    'airlock push --all ./marketplace --to ws://127.0.0.1:7423',
  ],
  async run(context) {
    const { output, given, signal } = context;
    const started = performance.now();
    // A missing address is reported before anything is packed.
    if (urlOf(context) === undefined) await openFor(context);
    const common = {
      ...wishes(given.strings),
      ...(given.booleans['force'] === true ? { force: true } : {}),
      ...(given.booleans['no-restart'] === true ? { restart: false } : {}),
      ...(given.booleans['full'] === true ? { delta: false } : {}),
      signal,
      onProgress: ({ sent, total }: Progress) => output.progress(sent, total),
      onReconnect: (why: Fault, pause: number, left: number) =>
        output.note(
          `${safe(why.message)}; trying again in ${duration(pause)}, ${plural(left, 'time')} at most`,
        ),
    };
    await checkLock(context);
    refusePlanWith(given);
    if (given.booleans['all'] === true) return pushAllOf(context, { ...packOptions(context), ...common });
    const { bundle, notes, findings, dispose } = await bundleFrom(context);
    for (const note of notes) output.note(note);
    const said = noteFindings(findings, given.positionals[0] ?? '', output);
    try {
      if (given.booleans['plan'] === true) return await planOf(context, bundle, common);
      const operationId = given.strings['operation'];
      const installed = await push((until) => openFor(context, { signal: until }), bundle, {
        ...common,
        operationId,
      });
      for (const warning of installed.warnings.items) {
        if (!said.has(warning)) output.note(`warning: ${safe(warning)}`);
      }
      output.result(installed, () => sentence(installed, performance.now() - started, output));
      return await lockInstalled(context, [{ ...installed, bundle: `sha256:${bundle.sha256}` }]);
    } finally {
      await dispose();
    }
  },
};

/** @throws Fault INVALID_PARAMS for options that a plan has no use for. */
function refusePlanWith({ booleans, strings }: Given): void {
  if (booleans['plan'] !== true) return;
  const other =
    booleans['all'] === true ? 'all' : ['lock', 'operation'].find((name) => strings[name] !== undefined);
  if (other === undefined) return;
  throw new Fault(
    'INVALID_PARAMS',
    `--plan changes nothing and is about one plugin, so --${other} has no meaning`,
    {
      hint: `Leave --plan or --${other} out`,
    },
  );
}

type Ready = {
  bundle: Bundle;
  notes: readonly string[];
  findings: readonly Finding[];
  dispose: () => Promise<void>;
};

async function bundleFrom(context: Context): Promise<Ready> {
  const { given } = context;
  const [path = ''] = given.positionals;
  const { name } = given.strings;
  const stats = await stat(path).catch((error: unknown) => {
    throw unreadable(`"${path}"`, error, 'Name the directory of a plugin, a zip of it, or a .tgz');
  });
  if (!stats.isDirectory() && !(await isZip(path))) {
    const bundle = await openBundle(path, { name });
    return { bundle, notes: [], findings: await lookInside(context, path), dispose: async () => undefined };
  }
  const packed = await packDirectory(path, { name, ...packOptions(context) });
  return {
    bundle: packed,
    notes: packNotes(packed),
    findings: packed.findings,
    dispose: () => packed.dispose(),
  };
}

function packOptions({ given, env, signal }: Context): PackOptions {
  const { ignore, manifest } = readSettings(settingsOf(settings, 'pack'), given.settings, env);
  return { ignore, manifest, allowSecrets: given.lists['allow-secret'], signal };
}

/** Rules that depend on the agent: how deep a path may be, and the compressions that it reads. */
const OF_THE_AGENT: ReadonlySet<number> = new Set([22, 92]);

/** What is wrong with a bundle. What every agent refuses is refused here, before a byte is sent. */
async function lookInside(context: Context, path: string): Promise<readonly Finding[]> {
  const report = await validatePlugin(context, path).catch((error: unknown) => {
    if (context.signal.aborted) throw error;
    // The agent looks into it too, and has another disk and other limits.
    context.output.note(`warning: The bundle was not looked into: ${safe((error as Error).message)}`);
  });
  if (report === undefined) return [];
  const { fault, findings } = report;
  const isRefused = fault?.violations.some(
    ({ rule, code }) => code.startsWith('ARCHIVE_') && !OF_THE_AGENT.has(rule),
  );
  if (fault !== undefined && isRefused === true) throw fault;
  return fault === undefined ? findings.map(asSent) : [];
}

/** A bundle is sent as it is: that a secret is in it is said, and somebody may want it so. */
const asSent = (one: Finding): Finding =>
  one.rule === 'secret'
    ? { ...one, level: 'warning', fix: 'Pack the plugin again without it; if it is a secret, replace it' }
    : one;

type Wishes = { source?: string; pin?: string; expect?: string | null; links?: 'copy' | 'skip' | 'refuse' };

function wishes({ source, pin, expect, links }: Readonly<Record<string, string | undefined>>): Wishes {
  if (links !== undefined && links !== 'copy' && links !== 'skip' && links !== 'refuse') {
    throw new Fault('INVALID_PARAMS', `--links is "${links}" but must be "copy", "skip" or "refuse"`, {
      hint: 'See "airlock push --help"',
    });
  }
  return {
    ...(source === undefined ? {} : { source }),
    ...(pin === undefined ? {} : { pin }),
    ...(expect === undefined ? {} : { expect: expect === 'none' ? null : expect }),
    ...(links === undefined ? {} : { links }),
  };
}

function sentence(installed: Pushed, millis: number, { paint }: Output): string {
  const { status, plugin, pluginVersion, installId, files, bytes: size, reload } = installed;
  const before = replacedText(installed);
  const what = `${safe(plugin)} ${safe(pluginVersion)}`;
  const about = `${plural(files, 'file')}, ${bytes(size)}, ${installId}, ${duration(millis)}`;
  if (status === 'present') {
    const due = reload.action === 'restart' ? '; the runtime still has to be restarted' : '';
    return `${paint('green', 'present')}  ${what} was there already, nothing was sent (${about}${due})`;
  }
  return `${paint('green', 'installed')}  ${what}${before} (${about}${sentText(installed.delta)}${reloadText(reload)})`;
}
