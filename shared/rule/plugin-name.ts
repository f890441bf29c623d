/** Which name a plugin has: that of its manifest, or the one that is asked for. Pure. */
import type { Manifest } from '../format/manifest.ts';
import { NAME_RULE, isPluginName, slugOf } from '../format/name.ts';

type PluginNaming =
  | { ok: true; name: string }
  | {
      ok: false;
      code: 'MANIFEST_INVALID' | 'MANIFEST_MISMATCH';
      why: string;
      hint: string;
    };

/**
 * A SKILL.md often has a name for people, such as "PDF Tools". Then the name that is asked for counts. Other manifests must
 * have a plugin name, and no manifest may have another plugin name than the one that is asked for.
 *
 * @param asked undefined: no name is asked for.
 */
export function namePlugin(
  { file, name }: Pick<Manifest, 'file' | 'name'>,
  asked: string | undefined,
): PluginNaming {
  if (isPluginName(name)) {
    return asked === undefined || asked === name
      ? { ok: true, name }
      : {
          ok: false,
          code: 'MANIFEST_MISMATCH',
          why: `${file} names the plugin "${name}", but "${asked}" is asked for`,
          hint: `Install it as "${name}", or correct the name in the manifest`,
        };
  }
  if (file === 'SKILL.md' && asked !== undefined) {
    return { ok: true, name: asked };
  }
  const slug = slugOf(name);
  const also = asked === undefined ? '' : `, but "${asked}" is asked for`;
  const corrected =
    slug === undefined ? 'Correct the name in the manifest' : `Call it "${slug}" in the manifest`;
  const orGiven = file === 'SKILL.md' ? `, or name the plugin yourself (--name ${slug ?? 'NAME'})` : '';
  return {
    ok: false,
    code: asked === undefined ? 'MANIFEST_INVALID' : 'MANIFEST_MISMATCH',
    why: `${file} names the plugin "${name}", which is not a plugin name${also}`,
    hint: `${corrected}${orGiven}: ${NAME_RULE}`,
  };
}
