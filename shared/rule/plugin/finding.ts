/**
 * The table of what Airlock says about a plugin. A new rule is a new row. `airlock validate`, the packer, the agent's
 * warnings and docs/rules.md follow from it.
 */

/** `error`: the packer or the agent refuses the plugin. `warning`: a part of it does not work as meant. `note`: to know. */
export type Level = 'error' | 'warning' | 'note';

/** One row: the level, what the rule is about, and what to do. */
export type FindingRule = { level: Level; about: string; fix: string };

export const findingRules = {
  'path-refused': {
    level: 'error',
    about: 'a path that leaves the plugin, that Windows cannot hold, or that has control characters',
    fix: 'Rename it, or leave it out with an .airlockignore',
  },
  'path-collision': {
    level: 'error',
    about: 'two paths that are one on another system: they differ in case or in their Unicode form only',
    fix: 'Rename one of the two',
  },
  'entry-refused': {
    level: 'error',
    about:
      'an entry that is no regular file or directory, or a link without which the plugin is not complete',
    fix: 'Put the file itself in its place',
  },
  'archive-refused': {
    level: 'error',
    about: 'a bundle that is damaged, or that can be read in two ways',
    fix: 'Pack the plugin again with "airlock pack"',
  },
  'limit-exceeded': {
    level: 'error',
    about: 'more bytes, entries or levels than an agent accepts',
    fix: 'Leave out what the plugin does not need, or raise the limit of the agent',
  },
  'manifest-missing': {
    level: 'error',
    about: 'no manifest at the root of the plugin',
    fix: 'Add a manifest, such as a plugin.yaml with a name and a version',
  },
  'manifest-invalid': {
    level: 'error',
    about: 'a manifest that cannot be read, or whose name or version cannot be used',
    fix: 'Correct the manifest',
  },
  secret: {
    level: 'error',
    about: 'a private key, a token, or a file in which people keep them: by name and by content',
    fix: 'Leave it out with an .airlockignore; if it is no secret, allow its path with --allow-secret',
  },
  'manifest-field': {
    level: 'warning',
    about: 'a field of the manifest that is not of a known form, and is left out',
    fix: 'Write the field in its known form',
  },
  'skill-file-case': {
    level: 'warning',
    about: 'a skill.md in other letters: runtimes look for SKILL.md',
    fix: 'Rename it to SKILL.md',
  },
  'skill-front-matter': {
    level: 'warning',
    about: 'the front matter of a skill is missing or is not valid YAML',
    fix: 'Begin the file with name and description between two lines of "---"',
  },
  'skill-no-name': {
    level: 'warning',
    about: 'a skill without a name',
    fix: 'Add the name of its directory as "name"',
  },
  'skill-no-description': {
    level: 'warning',
    about: 'a skill without a description: an agent cannot tell when to use it',
    fix: 'Add a "description" that says what the skill does and when to use it',
  },
  'skill-name': {
    level: 'warning',
    about: 'a skill whose name is not that of its directory',
    fix: 'Give the skill and its directory the same name',
  },
  'file-not-there': {
    level: 'warning',
    about: 'a hook or the manifest names a file that is not there',
    fix: 'Add the file, or correct the name; files that are built must be built before the plugin is packed',
  },
  'script-not-executable': {
    level: 'warning',
    about: 'a script that begins with #! and that nobody may execute; a note where no hook runs it directly',
    fix: 'Make it executable (chmod +x), or name its interpreter where it is run',
  },
  'script-crlf': {
    level: 'warning',
    about: 'a script whose first line ends with CRLF: no system finds the interpreter',
    fix: 'Save it with the line ends of Unix (LF)',
  },
  'lfs-pointer': {
    level: 'warning',
    about: 'a pointer of Git LFS instead of the file',
    fix: 'Fetch the file ("git lfs pull") before the plugin is packed',
  },
  'link-as-text': {
    level: 'warning',
    about: 'a text file that holds only a path: a link that was checked out where there are no links',
    fix: 'Put the file itself in its place, or check out again with links (git config core.symlinks true)',
  },
  'hidden-characters': {
    level: 'warning',
    about: 'characters that people do not see in a text that an agent reads: Unicode tags, and bidi controls',
    fix: 'Find out who put them there, and remove them',
  },
  'name-nfd': {
    level: 'warning',
    about:
      'a name in decomposed Unicode (NFD), as macOS makes them: other systems do not find it by the same name',
    fix: 'Rename it to its composed form (NFC)',
  },
  'windows-name': {
    level: 'warning',
    about: 'a name with one of < > " | ? *, which Windows cannot hold',
    fix: 'Rename it',
  },
  'left-out': {
    level: 'warning',
    about: 'a link, socket, pipe or device that is not part of the bundle',
    fix: 'Put a file in its place, or remove it',
  },
  'archive-remark': {
    level: 'note',
    about: 'what the agent leaves out or ignores of a bundle',
    fix: 'Nothing has to be done; "airlock pack" makes bundles without it',
  },
  'not-checked': {
    level: 'note',
    about: 'files that are too large or too many to be looked at',
    fix: 'Look at them yourself',
  },
} as const satisfies Record<string, FindingRule>;

/** A closed list: the ids of the rules. */
export type FindingId = keyof typeof findingRules;

/** What one rule says about one place of a plugin. */
export type Finding = {
  rule: FindingId;
  level: Level;
  /** Relative to the plugin, with `/`; empty if it concerns the whole plugin. */
  path: string;
  /** From 1. */
  line?: number;
  message: string;
  fix: string;
};

/** @param more what differs from the row of the table. */
export function finding(
  rule: FindingId,
  path: string,
  message: string,
  more: { line?: number | undefined; level?: Level; fix?: string | undefined } = {},
): Finding {
  const { line, level = findingRules[rule].level, fix = findingRules[rule].fix } = more;
  return { rule, level, path, ...(line === undefined ? {} : { line }), message, fix };
}

/** A finding in one line, as among the warnings of an agent. With a note nothing has to be done. */
export function findingText({ rule, level, path, line, message, fix }: Finding): string {
  const place = `${path}${line === undefined ? '' : `:${line}`}`;
  const toDo = `${fix.charAt(0).toLowerCase()}${fix.slice(1)}`;
  const said = `${place === '' ? '' : `${place}: `}${message}`;
  return `${said}${level === 'note' ? '' : `; ${toDo}`} (${level}: ${rule})`;
}
