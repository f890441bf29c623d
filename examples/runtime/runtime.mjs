// A runtime in small: it loads the rules and skills of admitted plugins, loads skills again when they change, and says
// when only a restart brings a change in. What it runs, it prints: one JSON line for each event.
//
//     node examples/runtime/runtime.mjs /configs/plugins
//
// It ends when it is told to (SIGTERM, SIGINT).
import { createLoader } from 'airlock/loader';

import { readRules, readSkill, readSkills } from './contents.mjs';

const root = process.argv[2];
if (root === undefined) {
  process.stderr.write('Usage: node runtime.mjs <directory of plugins>\n');
  process.exit(2);
}

/** @param {string} event @param {object} more */
const say = (event, more) => process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);

const loader = createLoader({ roots: [root] });

/** What runs: plugin → what was read of it. */
const running = new Map();

/** Reads a plugin whole, all of it of one version. */
async function load({ name }) {
  const loaded = await loader.read(name, async (folder, { generation }) => ({
    generation,
    rules: await readRules(folder),
    skills: await readSkills(folder),
  }));
  running.set(name, loaded);
  await report(name, loaded.generation);
  say('loaded', { plugin: name, ...loaded });
}

/** Plugin → skills that are to be read again: each change is told once, and reading it may fail. */
const due = new Map();

/** Reads only the skills that changed. */
async function reload({ plugin, skills: changed, generation: told, at }) {
  const known = running.get(plugin);
  const skills = [...new Set([...(due.get(plugin) ?? []), ...changed])];
  due.set(plugin, skills);
  const loaded = await loader.read(plugin, async (folder, { generation }) => ({
    generation,
    skills: await Promise.all(skills.map((skill) => readSkill(folder, skill))),
  }));
  const untouched = known.skills.filter(({ path }) => !skills.includes(path));
  running.set(plugin, { ...known, generation: loaded.generation, skills: [...untouched, ...loaded.skills] });
  due.delete(plugin);
  // Of a later version, and after the event, more may have changed than its skills: another event says so.
  if (loaded.generation === told) await report(plugin, told, at);
  say('reloaded', { plugin, ...loaded });
}

/** Tells the agent what really runs. Where that may not be written it runs all the same, and the agent has to guess. */
async function report(name, generation, at) {
  try {
    await loader.loaded(name, generation, at);
  } catch ({ message, hint }) {
    say('notice', { text: message, hint });
  }
}

/** A plugin that cannot be read has changed again, or was removed: the next event says so, but not what was to be read. */
async function attempt(plugin, work) {
  try {
    await work();
  } catch (error) {
    say('failed', { plugin, why: error instanceof Error ? error.message : String(error) });
  }
}

const watch = loader.watch({ notice: (text) => say('notice', { text }) });
process.once('SIGTERM', () => void watch.close()).once('SIGINT', () => void watch.close());

// First watch, then scan: what changes between the two is told.
await watch.ready;
const { admitted, refused, warnings } = await loader.scan();
for (const text of warnings) say('notice', { text });
for (const { name, reason, hint } of refused) say('refused', { plugin: name, reason, hint });
for (const plugin of admitted) await attempt(plugin.name, () => load(plugin));
say('ready', { plugins: running.size });

for await (const change of watch) {
  const { plugin, kind, status, reasons, cause, generation } = change;
  const isHot = kind === 'skill-content-only' || (kind === 'identical' && due.has(plugin));
  if (isHot && running.has(plugin)) await attempt(plugin, () => reload(change));
  else if (kind === 'identical') say('unchanged', { plugin, cause, generation });
  else say('needs-restart', { plugin, status, cause, reasons });
}
process.exit(0);
