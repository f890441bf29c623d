// A small runtime: it loads the rules and skills of admitted plugins, loads skills again when they change, and says
// when a change needs a restart. It prints one JSON line for each event.
//
//     node examples/runtime/runtime.mjs /configs/plugins
//
// SIGTERM and SIGINT end it.
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

/** The loaded plugins: name → rules and skills. */
const running = new Map();

/** Reads all of a plugin, from one version. */
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

/** Plugin → skills to read again. An event comes only once, so a skill stays here until it was read. */
const due = new Map();

/** Reads only the skills that have changed. */
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
  // In a later version more than these skills may have changed. Another event reports that.
  if (loaded.generation === told) await report(plugin, told, at);
  say('reloaded', { plugin, ...loaded });
}

/** Reports to the agent what is loaded. If the report cannot be written, the plugin runs all the same. */
async function report(name, generation, at) {
  try {
    await loader.loaded(name, generation, at);
  } catch ({ message, hint }) {
    say('notice', { text: message, hint });
  }
}

/** A plugin that cannot be read has changed again or was removed. The next event reports that. */
async function attempt(plugin, work) {
  try {
    await work();
  } catch (error) {
    say('failed', { plugin, why: error instanceof Error ? error.message : String(error) });
  }
}

const watch = loader.watch({ notice: (text) => say('notice', { text }) });
process.once('SIGTERM', () => void watch.close()).once('SIGINT', () => void watch.close());

// Watch before the scan: then no change between the two is missed.
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
