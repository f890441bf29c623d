import { describe, expect, it } from 'vitest';

import type { InstallPolicy } from '../../agent/store/context.ts';
import { validate, type Validated } from '../../agent/change/validate.ts';
import type { Fault } from '../../shared/api/fault.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import { findingText } from '../../shared/rule/plugin/finding.ts';
import { faultOf, paramsOf, photograph, sha256, yamlOf } from '../_kit/install-room.ts';
import { accepted } from '../_kit/staging.ts';
import { directory, file, symlink, tar } from '../_kit/tar-builder.ts';

type Seen = Validated & { inside: string[]; warnings: string[] };

function check(bytes: Buffer, more: Partial<BeginParams> = {}, policy: Partial<InstallPolicy> = {}): Seen {
  const { room, slot, staged } = accepted(bytes, { policy, links: more.links ?? 'copy' });
  const validated = validate(room.context, slot, staged, paramsOf(bytes, more));
  return {
    ...validated,
    warnings: validated.findings.map(findingText),
    inside: Object.keys(photograph(room.context.disk, slot)).filter((path) => path !== ''),
  };
}

const refusal = (...how: Parameters<typeof check>): Promise<Fault> => faultOf(() => check(...how));
const paths = ({ files }: Validated): string[] => files.map(({ path }) => path);
const MANIFEST = file('plugin.yaml', yamlOf());
const AGENT_PLUGIN =
  '{"$schema":"https://agent-plugins.org/schemas/1.0.0/plugin.schema.json","name":"lint","version":"3.0.0"}';
const skill = (name: string): string => `---\nname: ${name}\ndescription: does it\n---\nDo it\n`;

describe('a plugin is recognised', () => {
  it.each([
    ['plugin.yaml', 'plugin.yaml', yamlOf('lint', '2.0.0'), '2.0.0'],
    [
      '.claude-plugin/plugin.json',
      '.claude-plugin/plugin.json',
      '{"name":"lint","version":"0.9.1"}',
      '0.9.1',
    ],
    ['a root SKILL.md', 'SKILL.md', skill('lint'), '0.0.0'],
  ])('by %s', (_what, path, text, version) => {
    const { manifest } = check(tar(file(path, text)));
    expect([manifest?.file, manifest?.name, manifest?.version]).toEqual([path, 'lint', version]);
  });

  it('by the first of them that is there, and not by those that come after it', () => {
    const bytes = tar(
      file('SKILL.md', skill('other')),
      file('.claude-plugin/plugin.json', 'not json'),
      MANIFEST,
    );
    expect(check(bytes).manifest?.file).toBe('plugin.yaml');
  });

  it('also where a field on which nothing depends has another form, which is warned of', () => {
    const text = yamlOf('lint', '2.0.0', 'author: [a, b]\nhooks: { Stop: [] }\n');
    const { manifest, warnings } = check(tar(file('plugin.yaml', text)));
    expect([manifest?.version, manifest?.author, manifest?.hooks]).toEqual(['2.0.0', undefined, []]);
    expect(warnings).toEqual([expect.stringContaining('"author"'), expect.stringContaining('"hooks"')]);
  });

  it('by a SKILL.md with a colon that is not quoted, which is warned of', () => {
    const text = '---\nname: lint\ndescription: Use when: asked\n---\n';
    const { manifest, warnings } = check(tar(file('SKILL.md', text)));
    expect(manifest?.description).toBe('Use when: asked');
    expect(warnings).toEqual([expect.stringMatching(/"description".*quotes/)]);
  });

  it.each([
    ['plugin.yaml', `\uFEFF${yamlOf()}`],
    ['.claude-plugin/plugin.json', '\uFEFF{"name":"lint"}'],
    ['SKILL.md', `\uFEFF${skill('lint')}`],
  ])('by a %s with a byte order mark, and not by one in UTF-16', async (path, text) => {
    expect(check(tar(file(path, text))).manifest?.name).toBe('lint');
    const fault = await refusal(tar(file(path, Buffer.from(text, 'utf16le'))));
    expect([fault.code, fault.message]).toEqual(['MANIFEST_INVALID', expect.stringContaining('UTF-16')]);
  });

  it('and the front matter of its skills is read behind a byte order mark, and UTF-16 is named', () => {
    const { warnings } = check(
      tar(
        MANIFEST,
        file('skills/a/SKILL.md', `\uFEFF${skill('a')}`),
        file('skills/b/SKILL.md', Buffer.from(`\uFEFF${skill('b')}`, 'utf16le')),
      ),
    );
    expect(warnings).toEqual([expect.stringMatching(/^skills\/b\/SKILL.md: .*UTF-16/)]);
  });

  it('by a SKILL.md with a name for people, under the name that is asked for', () => {
    const { manifest, warnings } = check(tar(file('SKILL.md', skill('Lint My_Code'))));
    expect([manifest?.name, warnings]).toEqual(['Lint My_Code', []]);
  });

  it('by a plugin.json at the root only if it says that it is one of Agent Plugins', () => {
    const others = [
      file('.claude-plugin/plugin.json', '{"name":"lint","version":"0.9.1"}'),
      file('SKILL.md', skill('lint')),
    ];
    const manifestOf = (...parts: Buffer[]): unknown[] => {
      const { manifest } = check(tar(...parts));
      return [manifest?.file, manifest?.version];
    };
    expect(manifestOf(file('plugin.json', AGENT_PLUGIN), ...others)).toEqual(['plugin.json', '3.0.0']);
    expect(manifestOf(file('p/plugin.json', AGENT_PLUGIN), file('p/a', ''))).toEqual([
      'plugin.json',
      '3.0.0',
    ]);
    expect(manifestOf(file('plugin.json', '{"name":"other"}'), ...others)).toEqual([
      '.claude-plugin/plugin.json',
      '0.9.1',
    ]);
    expect(manifestOf(MANIFEST, file('plugin.json', AGENT_PLUGIN))).toEqual(['plugin.yaml', '1.2.3']);
  });

  it('without a manifest only where the owner allows it', async () => {
    const bytes = tar(file('rules/a.md', 'x'));
    expect(check(bytes, {}, { manifest: 'optional' }).manifest).toBeUndefined();
    const fault = await refusal(bytes);
    expect([fault.code, fault.violations[0]?.rule]).toEqual(['MANIFEST_MISSING', 24]);
  });

  it('and counted: files, bytes, and the tree digest of the files alone', () => {
    const text = 'be brief\n';
    const { bytes, files, tree } = check(
      tar(file('rules/a.md', text, { mode: 0o755 }), MANIFEST, directory('empty/')),
    );
    expect([files.length, bytes]).toEqual([2, yamlOf().length + text.length]);
    const list = [
      `plugin.yaml\x00644\x00${yamlOf().length}\0${sha256(yamlOf())}\n`,
      `rules/a.md\x00755\x00${text.length}\0${sha256(text)}\n`,
    ];
    expect(tree).toBe(`sha256:${sha256(list.join(''))}`);
  });
});

describe('the directory around a plugin is taken off', () => {
  it.each([
    ['package/, as npm makes it', 'package/'],
    ['<repo>-<sha>/, as git archive makes it', 'lint-0a1b2c3/'],
    ['plugins/<name>/', 'plugins/lint/'],
    ['one that is called as a directory in it', 'rules/'],
    ['two that are called alike', 'rules/rules/'],
  ])('%s', (_what, top) => {
    const seen = check(
      tar(file(`${top}plugin.yaml`, yamlOf()), file(`${top}rules/a.md`, 'x'), directory(`${top}empty/`)),
    );
    expect(paths(seen)).toEqual(['plugin.yaml', 'rules/a.md']);
    expect(seen.directories.toSorted()).toEqual(['empty', 'rules']);
    expect(seen.inside.toSorted()).toEqual(['/empty', '/plugin.yaml', '/rules', '/rules/a.md']);
  });

  it('also where its entries come before it, or it has links and litter beside it', () => {
    const bytes = tar(
      directory('./'),
      file('package/plugin.yaml', yamlOf()),
      directory('package/'),
      symlink('latest', 'package'),
      file('.DS_Store'),
    );
    expect(check(bytes).inside).toEqual(['/plugin.yaml']);
  });

  it('and leaves the digest what it is without it', () => {
    const bare = check(tar(MANIFEST, file('rules/a.md', 'x'))).tree;
    expect(check(tar(file('p/rules/a.md', 'x'), file('p/plugin.yaml', yamlOf()))).tree).toBe(bare);
  });

  it('and what is left out or warned of is named relative to the plugin', () => {
    const { warnings, skipped } = check(
      tar(
        file('._pkg', Buffer.from([0x00, 0x05, 0x16, 0x07])),
        directory('./pkg/', { mode: 0o777 }),
        file('./pkg/plugin.yaml', yamlOf(), { uid: 4242 }),
        file('pkg/rules/.DS_Store', 'x'),
        symlink('pkg/rules/gone', 'nowhere'),
      ),
    );
    expect(skipped).toEqual(['._pkg', 'rules/.DS_Store', 'rules/gone']);
    expect(warnings).toEqual([
      expect.stringMatching(/^\._pkg: it is left out/),
      expect.stringMatching(/^rules\/\.DS_Store: it is left out/),
      expect.stringMatching(/^rules\/gone: it is left out: it is a link to "nowhere"/),
      expect.stringMatching(/^\.: anybody may write it.*\(rule 61\) \(note/),
      expect.stringMatching(/^plugin\.yaml: it belongs to another user.*\(rule 57\) \(note/),
    ]);
  });

  it.each(['copy', 'skip', 'refuse'] as const)('whatever is to happen to links (%s)', (links) => {
    expect(paths(check(tar(file('pkg/plugin.yaml', yamlOf())), { links }))).toEqual(['plugin.yaml']);
  });

  it('with its .complete, which is left out with a warning', () => {
    const seen = check(tar(file('package/plugin.yaml', yamlOf()), file('package/.complete', 'forged')));
    expect(seen.inside).toEqual(['/plugin.yaml']);
    expect(paths(seen)).toEqual(['plugin.yaml']);
    expect(seen.warnings).toEqual([expect.stringContaining('.complete')]);
  });

  it.each([
    ['a file stands beside it', [file('p/plugin.yaml', yamlOf()), file('README.md', 'x')]],
    ['another directory stands beside it', [file('p/plugin.yaml', yamlOf()), directory('q/')]],
    ['there are two of them', [file('a/plugin.yaml', yamlOf()), file('b/plugin.yaml', yamlOf())]],
    ['it lies three levels down', [file('a/b/c/plugin.yaml', yamlOf())]],
    ['only part of a path looks like a manifest', [file('p/my-plugin.yaml', yamlOf())]],
  ])('but not where %s: that is refused by rule 24', async (_what, entries) => {
    const fault = await refusal(tar(...entries));
    expect([fault.code, fault.violations[0]?.rule]).toEqual(['MANIFEST_MISSING', 24]);
  });

  it('and the place of the manifest is told', async () => {
    const { message, hint } = await refusal(
      tar(file('a/b/c/plugin.yaml', yamlOf()), file('a/README.md', '')),
    );
    expect(message).toBe('The bundle has no manifest at its top; it is at "a/b/c/plugin.yaml"');
    expect(hint).toBe('Push the directory "a/b/c", or pack it from there');
  });

  it.each(['.staging', '.STATE', '.airlock-top', '.previous'])(
    'and %s in it is refused by rule 23',
    async (name) => {
      const fault = await refusal(tar(file('package/plugin.yaml', yamlOf()), file(`package/${name}/x`, 'x')));
      expect([fault.code, fault.violations[0]?.rule]).toEqual(['ARCHIVE_PATH', 23]);
    },
  );

  // Was a bug: the agent found its marker's place taken and answered MARKER_FAILED, "try again later".
  it.each([
    ['a directory .complete', [directory('.complete/')]],
    ['a file in a directory .complete', [file('.complete/x', 'x')]],
    ['a directory .complete in a top directory', [], 'package/.complete/x'],
    ['.COMPLETE, which is the same name elsewhere', [file('.COMPLETE', 'x')]],
  ])("and %s takes the marker's place: refused by rule 23", async (_what, entries, inTop?: string) => {
    const bytes =
      inTop === undefined ? [MANIFEST] : [file('package/plugin.yaml', yamlOf()), file(inTop, 'x')];
    const fault = await refusal(tar(...bytes, ...entries));
    expect([fault.code, fault.violations[0]?.rule]).toEqual(['ARCHIVE_PATH', 23]);
  });
});

describe('a manifest is refused', () => {
  it.each([
    ['that is no YAML', 'name: [unclosed'],
    ['without a name', 'version: 1.0.0\n'],
    ['that is a list', '- a\n- b\n'],
    ['that is empty', ''],
    [
      'of a billion laughs',
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(9)}]\nc: [${'*b,'.repeat(9)}]\nname: lint\n`,
    ],
    // Was a bug: the marker became too long to be read, which was found out after the swap.
    ['with a version that no marker can hold', yamlOf('lint', 'v'.repeat(70_000))],
    ['that is longer than a megabyte', `${yamlOf()}# ${'x'.repeat(1024 * 1024)}`],
  ])('%s', async (_what, text) => {
    expect((await refusal(tar(file('plugin.yaml', text)))).code).toBe('MANIFEST_INVALID');
  });

  it('a SKILL.md without front matter', async () => {
    expect((await refusal(tar(file('SKILL.md', '# lint')))).code).toBe('MANIFEST_INVALID');
  });

  it.each(['other', 'Lint', 'lint ', '../lint'])(
    'that names "%s" where "lint" was asked for',
    async (name) => {
      const fault = await refusal(tar(file('plugin.yaml', `name: ${JSON.stringify(name)}\n`)));
      expect([fault.code, fault.violations[0]?.rule]).toEqual(['MANIFEST_MISMATCH', 24]);
      expect(fault.message).toContain('"lint"');
    },
  );

  it('that has a name for people: it proposes a plugin name, and never that name', async () => {
    const { hint } = await refusal(tar(file('plugin.yaml', 'name: Writing Hookify Rules\n')));
    expect(hint).toContain('"writing-hookify-rules"');
    expect(hint).not.toContain('Writing Hookify Rules');
  });

  it('that is not the one that was pinned, or not there to be pinned', async () => {
    expect(check(tar(MANIFEST), { pin: `sha256:${sha256(yamlOf())}` }).manifest?.name).toBe('lint');
    const pin = `sha256:${'0'.repeat(64)}`;
    expect((await refusal(tar(MANIFEST), { pin })).code).toBe('MANIFEST_MISMATCH');
    expect((await refusal(tar(file('a', 'x')), { pin }, { manifest: 'optional' })).code).toBe(
      'MANIFEST_MISSING',
    );
  });

  it('for a runtime that it does not list, in either spelling', async () => {
    const bytes = tar(file('plugin.yaml', yamlOf('lint', '1.0.0', 'runtimes: [claude-code, deepagents]\n')));
    expect(check(bytes, {}, { runtime: 'claude_code' }).manifest?.runtimes).toEqual([
      'claude_code',
      'deepagents',
    ]);
    expect(check(bytes, {}, { runtime: undefined }).manifest?.name).toBe('lint');
    const fault = await refusal(bytes, {}, { runtime: 'codex' });
    expect(fault.code).toBe('RUNTIME_UNSUPPORTED');
    expect(fault.message).toMatch(/claude_code, deepagents.*codex/);
  });
});

describe('a link that is left out is refused where the plugin cannot do without it', () => {
  const HOOKS =
    '{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"${CLAUDE_PLUGIN_ROOT}/bin/stop.sh"}]}]}}';
  it.each([
    ['a SKILL.md', 'skills/a/SKILL.md', [MANIFEST]],
    ['a SKILL.md in other letters', 'skills/a/skill.md', [MANIFEST]],
    ['another manifest', 'SKILL.md', [MANIFEST]],
    ['what a hook names', 'bin/stop.sh', [MANIFEST, file('hooks/hooks.json', HOOKS)]],
    ['what the manifest names', 'rules/a.md', [file('plugin.yaml', `${yamlOf()}rules: [./rules/a.md]\n`)]],
    [
      'what is in a directory that the manifest names',
      'rules/a.md',
      [file('plugin.yaml', `${yamlOf()}rules: rules/\n`)],
    ],
  ])('%s', async (_what, path, entries) => {
    const { code, violations } = await refusal(tar(...entries, symlink(path, '/etc/passwd')));
    expect([code, violations]).toEqual(['ARCHIVE_TYPE', [expect.objectContaining({ path, rule: 32 })]]);
  });

  it('also where the only manifest is one', async () => {
    const fault = await refusal(tar(symlink('plugin.yaml', '../plugin.yaml'), file('rules/a.md', 'x')));
    expect([fault.code, fault.violations[0]?.rule]).toEqual(['ARCHIVE_TYPE', 33]);
  });

  it('and counted where it is nothing of that', () => {
    const { links, skipped } = check(tar(MANIFEST, symlink('docs/a.md', '/etc/passwd'), file('a.pyc', 'x')));
    expect([links, skipped]).toEqual([1, ['a.pyc', 'docs/a.md']]);
  });

  // Was a bug: a link called "a" was refused, because every text has that letter.
  it('but not where a hook only has a longer name that contains its path', async () => {
    const hook = file('hooks/hooks.json', '{"command":"${CLAUDE_PLUGIN_ROOT}/bin/run.sh\\nother/do"}');
    for (const path of ['a', 'run', 'in/run.sh', 'sh', 'bin/run.s']) {
      expect(check(tar(MANIFEST, hook, symlink(path, '/etc/passwd'))).links).toBe(1);
    }
    for (const path of ['bin', 'bin/run.sh', 'other']) {
      const { code } = await refusal(tar(MANIFEST, hook, symlink(path, '/etc/passwd')));
      expect(code).toBe('ARCHIVE_TYPE');
    }
  });

  // Was a bug: each of up to 50,000 links was looked for in up to 4 MiB.
  it('and more links than can be looked for in long hooks are refused', async () => {
    const links = Array.from({ length: 1100 }, (_, i) => symlink(`l${i}`, 'nothing'));
    const hook = (size: number): Buffer => file('hooks.json', 'l'.repeat(size));
    const policy = { maxEntries: 5000 };
    const fault = await refusal(tar(MANIFEST, hook(600_000), ...links), {}, policy);
    expect([fault.code, fault.message]).toEqual([
      'LIMIT_ENTRIES',
      '1100 links lead to nothing in the archive',
    ]);
    expect(check(tar(MANIFEST, hook(10_000), ...links), {}, policy).links).toBe(1100);
  });

  // Was a bug: the end of its name was taken for a path in the plugin.
  it('but not for what is beside the directory of the plugin', () => {
    const bytes = tar(file('package/plugin.yaml', yamlOf()), symlink('previousplugin.yaml', '/etc/passwd'));
    expect(check(bytes)).toMatchObject({ links: 1, inside: ['/plugin.yaml'] });
  });

  it.each(['.staging', '.airlock-top', '.complete', '.COMPLETE'])(
    'and a copied directory called %s at the root of the plugin is refused',
    async (name) => {
      const bytes = tar(
        file('package/plugin.yaml', yamlOf()),
        file('package/a/b', 'x'),
        symlink(`package/${name}`, 'a'),
      );
      const { code, violations } = await refusal(bytes);
      expect([code, violations[0]?.rule]).toEqual(['ARCHIVE_PATH', 23]);
    },
  );

  it('a manifest may be a link to a file of the archive', () => {
    const bytes = tar(
      file('package/all/real.yaml', yamlOf()),
      symlink('package/plugin.yaml', 'all/real.yaml'),
    );
    expect(paths(check(bytes))).toEqual(['all/real.yaml', 'plugin.yaml']);
  });
});

describe('what was declared is compared', () => {
  it('with the tree, and refused if it is another', async () => {
    const { tree } = check(tar(MANIFEST));
    expect(check(tar(MANIFEST), { tree }).tree).toBe(tree);
    const fault = await refusal(tar(MANIFEST, file('a', 'x')), { tree });
    expect(fault.code).toBe('DIGEST_MISMATCH');
    expect(fault.message).toContain(tree);
  });
});

describe('skills are looked at, and only warned about', () => {
  it('where name or description, or the whole front matter, is missing', () => {
    const { warnings } = check(
      tar(
        MANIFEST,
        file('skills/good/SKILL.md', skill('good')),
        file('skills/nameless/SKILL.md', '---\ndescription: x\n---\n'),
        file('skills/bare/SKILL.md', '# Bare'),
        file('skills/number/SKILL.md', '---\n42\n---\n'),
        file('skills/deep/er/SKILL.md', '# Not a skill of the plugin'),
        file('skills/empty/SKILL.md', ''),
      ),
    );
    expect(warnings).toEqual([
      'skills/nameless/SKILL.md: its front matter has no name; add "name: nameless" (warning: skill-no-name)',
      expect.stringMatching(/^skills\/bare\/SKILL.md: it has no front matter between two lines of "---"; /),
      expect.stringMatching(/^skills\/number\/SKILL.md: its front matter has no name; /),
      expect.stringMatching(/^skills\/number\/SKILL.md: its front matter has no description; /),
      expect.stringMatching(/^skills\/empty\/SKILL.md: it has no front matter between two lines of "---"; /),
    ]);
  });

  it('also in a top directory', () => {
    const { warnings } = check(tar(file('p/plugin.yaml', yamlOf()), file('p/skills/a/SKILL.md', 'x')));
    expect(warnings).toEqual([expect.stringMatching(/^skills\/a\/SKILL\.md: /)]);
  });
});

it('the other rules of airlock validate are warnings too, and notes about single files are none', () => {
  const { warnings } = check(
    tar(
      MANIFEST,
      file('p.sh', '#!/bin/sh\n'),
      file('q.sh', '#!/bin/sh\r\n', { mode: 0o755 }),
      file('CLAUDE.md', 'rules/a.md'),
      file('rules/a.md', 'a\u202Eb'),
      file('skills/a/skill.md', skill('a')),
    ),
  );
  expect(warnings.map((text) => /^(\S+): .* \(warning: (.*)\)$/.exec(text)?.slice(1))).toEqual([
    ['skills/a/skill.md', 'skill-file-case'],
    ['q.sh:1', 'script-crlf'],
    ['CLAUDE.md', 'link-as-text'],
    ['rules/a.md:1', 'hidden-characters'],
  ]);
});

it('what a file begins with is seen in each part in which its bytes may come', () => {
  const bytes = tar(MANIFEST, file('q.sh', '#!/bin/sh\r\n', { mode: 0o755 }));
  for (const size of [1, 3, 511, 513]) {
    const { staged } = accepted(bytes, { pieceBytes: size });
    expect([size, staged.heads.get('q.sh')]).toEqual([size, { kind: 'script', isCrlf: true }]);
  }
});
