// Loaded into an agent: writes down, as it ends, which synchronous calls of node:fs its main thread has made while it served.
// What it writes to its standard output and error is its log, which whoever started it receives: that is no disk.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const { writeFileSync } = fs;
  const calls = { starting: 0, serving: [] };
  let phase = 'starting';
  const note = (name, values) => {
    const isLog = name === 'writeSync' && (values[0] === 1 || values[0] === 2);
    if (isLog) {
      const text = String(values[1]);
      if (text.includes('"msg":"listening"')) phase = 'serving';
      if (text.includes('"msg":"draining"')) phase = 'ending';
    } else if (phase === 'starting') {
      calls.starting += 1;
    } else if (phase === 'serving') {
      calls.serving.push(`${name}(${String(values[0])})\n${new Error('called').stack}`);
    }
  };
  for (const [name, call] of Object.entries(fs)) {
    if (!name.endsWith('Sync')) continue;
    const noted = (...values) => {
      note(name, values);
      return call(...values);
    };
    fs[name] = Object.assign(noted, call);
  }
  syncBuiltinESMExports();
  process.on('exit', () => writeFileSync(process.env.SYNC_CALLS, JSON.stringify(calls)));
}
