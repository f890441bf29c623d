// The reader of the demo: a runtime that never stops asking for one plugin. It asks the gate, reads two files, asks the
// gate again, as fast as it can. When its standard input ends, it prints what it saw, as JSON.
//
// Two answers of one generation vouch for the files that were read between them: those must be of that version. If an
// update came between, they may be of either: that is counted as an update, and the next round judges again.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createLoader } from '../dist/loader.mjs';

const [root, name, versions, ...files] = process.argv.slice(2);
/** What the files hold in each version: version → sha256 over all of them. */
const expected = JSON.parse(versions);
const loader = createLoader({ roots: [root] });

const seen = {
  gates: 0,
  admitted: /** @type {Record<string, number>} */ ({}),
  refused: /** @type {Record<string, number>} */ ({}),
  mixed: 0,
  unreadable: 0,
  updates: 0,
  /** Reads that an update made fail: the gate had the new version a moment later. */
  between: 0,
  slowestGateMillis: 0,
};
const stop = new AbortController();

async function gate() {
  const started = performance.now();
  const answer = await loader.gate(name);
  seen.slowestGateMillis = Math.max(seen.slowestGateMillis, performance.now() - started);
  seen.gates += 1;
  const counts = answer.admitted ? seen.admitted : seen.refused;
  const key = answer.admitted ? answer.plugin.manifest.version : answer.reason;
  counts[key] = (counts[key] ?? 0) + 1;
  return answer.admitted ? answer.plugin : undefined;
}

/** What the files hold now, or undefined where one of them cannot be read. */
async function contents(folder) {
  const hash = createHash('sha256');
  try {
    for (const file of files) hash.update(await readFile(path.join(folder, file)));
    return hash.digest('hex');
  } catch {
    return undefined;
  }
}

process.stdin.resume().once('close', () => stop.abort());
process.once('SIGTERM', () => stop.abort());

let before = await gate();
process.stdout.write('reading\n');
while (!stop.signal.aborted) {
  const found = before && (await contents(before.path));
  const after = await gate();
  if (before?.generation !== after?.generation) {
    seen.updates += 1;
    if (before && found === undefined) seen.between += 1;
  } else if (before && found === undefined) {
    seen.unreadable += 1;
  } else if (before && found !== expected[before.manifest.version]) {
    seen.mixed += 1;
  }
  before = after;
}
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
