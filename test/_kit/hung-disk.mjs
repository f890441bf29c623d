// Loaded into an agent, threads included: while the file `sign` is there, nothing below `root` is answered, neither to who
// waits for it nor to who does not. Both are in the query of this module, for threads have no environment.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { searchParams } = new URL(import.meta.url);
const [root, sign] = ['root', 'sign'].map((name) => searchParams.get(name) ?? '');
const LOOK_MILLIS = 20;
const { existsSync } = fs;
const cell = new Int32Array(new SharedArrayBuffer(4));

const hangs = (values) =>
  values.some((value) => typeof value === 'string' && value.startsWith(root)) && existsSync(sign);

const waiting = async (values) => {
  while (hangs(values)) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MILLIS));
  }
};

const replace = (where, name, make) => {
  const call = where[name];
  if (typeof call === 'function') where[name] = Object.assign(make(call), call);
};

for (const name of Object.keys(fs).filter((one) => one.endsWith('Sync'))) {
  replace(fs, name, (call) => (...values) => {
    while (hangs(values)) Atomics.wait(cell, 0, 0, LOOK_MILLIS);
    return call(...values);
  });
  // The same with a callback.
  replace(fs, name.slice(0, -'Sync'.length), (call) => (...values) => {
    if (hangs(values)) void waiting(values).then(() => call(...values));
    else call(...values);
  });
}
for (const name of Object.keys(fs.promises)) {
  replace(fs.promises, name, (call) => async (...values) => {
    await waiting(values);
    return call(...values);
  });
}
syncBuiltinESMExports();
