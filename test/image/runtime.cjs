// A runtime in a container of its own: says what it may load, and then what changes, as lines of JSON.
const { createLoader } = require('./loader.cjs');

const say = (line) => console.log(JSON.stringify(line));
const loader = createLoader({ roots: ['/configs/plugins'] });

async function main() {
  const watch = loader.watch({ notice: (notice) => say({ notice }) });
  process.once('SIGTERM', () => watch.close());
  await watch.ready;
  const { admitted, warnings } = await loader.scan();
  say({ admitted: admitted.map(({ name }) => name), warnings });
  for await (const { plugin, kind, skills, status } of watch) say({ plugin, kind, skills, status });
}

void main();
