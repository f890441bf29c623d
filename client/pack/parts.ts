/** Packs some of the files of a plugin that was packed before. */
import { DELTA_LIST } from '../../shared/format/delta.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { Fault } from '../../shared/api/fault.ts';
import { headerOf, padding } from '../../shared/archive/ustar.ts';
import { parentsOf } from '../../shared/rule/path-rules.ts';
import type { Parts } from '../bundle.ts';
import { archive } from './archive.ts';
import type { Walked } from './walk.ts';

/** @param list the packed files. The entries are read again, and must not have changed since. */
export function partsOf(
  entries: readonly Walked[],
  list: readonly FileEntry[],
  hotReload: boolean | undefined,
): Parts {
  return {
    list,
    hotReload,
    blocks: async function* (first, wanted) {
      const bytes = Buffer.from(first, 'utf8');
      yield headerOf({ kind: 'file', path: DELTA_LIST, size: bytes.length, mode: '644' });
      yield bytes;
      yield padding(bytes.length);
      const filled = new Set(entries.flatMap(({ path }) => parentsOf(path)));
      const packed = new Map(list.map((file) => [file.path, file]));
      // No file says that an empty directory is there.
      const some = entries.filter(({ kind, path }) =>
        kind === 'directory' ? !filled.has(path) : wanted.has(path),
      );
      yield* archive(some, ({ path, sha256, mode }) => {
        const before = packed.get(path);
        if (before?.sha256 !== sha256 || before.mode !== mode) {
          throw new Fault('INVALID_PARAMS', `"${path}" was changed since it was packed`, {
            hint: 'Pack the plugin again',
          });
        }
      });
    },
  };
}
