/** Manifests, markers and other records, altered: whatever is read, it is an answer and never an accident. */
import { it } from 'vitest';

import { MANIFEST_FILES, readManifest } from '../../shared/format/manifest.ts';
import { readMarker } from '../../shared/format/marker.ts';
import { readState } from '../../shared/format/state.ts';
import { pick } from '../_kit/chance.ts';
import { alter, fuzz } from '../_kit/fuzz.ts';

const TEXTS = [
  'name: lint\nversion: 1.2.3\nskills: [a, b]\nhooks:\n  - x\nruntimes: [claude-code]\nhot_reload: false\n',
  '{"name":"lint","version":"1.0.0","description":"x"}',
  '---\nname: lint\ndescription: d\n---\n\nDo.\n',
  'a: &a [1]\nb: *a\nc: !!set {x}\n? {y: z}\n: |-\n  t\n',
  JSON.stringify({
    version: 1,
    plugin: 'lint',
    pluginVersion: '1.0.0',
    installId: '20260508T141530123Z-9f86d081',
    bundle: `sha256:${'a'.repeat(64)}`,
    tree: `sha256:${'b'.repeat(64)}`,
    files: 1,
    bytes: 1,
    installedAt: '2026-05-08T14:15:30.123Z',
    by: 'x',
    replaced: null,
  }),
  '{"version":1,"held":"x","disabled":true}',
  '',
];

it('manifests and markers', (ctx) =>
  fuzz(ctx, 'manifests and markers', (chance) => {
    const whole = Buffer.from(TEXTS[pick(chance, TEXTS.length)] ?? '');
    const text = alter(whole, chance).toString(chance() < 0.5 ? 'utf8' : 'latin1');
    for (const file of MANIFEST_FILES) {
      const read = readManifest(file, text);
      if (read.ok && read.manifest.name === '') throw new Error('a manifest without a name was read');
    }
    readMarker(text);
    readState(text);
  }));
