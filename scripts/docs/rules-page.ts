/** docs/rules.md: the table of what Airlock says about a plugin as a page. */
import type { FindingRule } from '../../shared/rule/plugin/finding.ts';

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

/** @param rules every rule, by its id. */
export function rulesPage(rules: Readonly<Record<string, FindingRule>>): string {
  const rows = Object.entries(rules).map(
    ([id, { level, about, fix }]) => `| \`${id}\` | ${level} | ${cell(about)} | ${cell(fix)} |`,
  );
  return `# Rules for plugins

<!-- Written by "npm run docs" from shared/rule/plugin/finding.ts. -->

These rules say what is wrong with a plugin before somebody finds out by using it. They are the same for \`airlock validate\`, for
\`airlock pack\` and \`airlock push\`, which print them before a byte is sent, and for an agent, whose answer to an install has them
among its warnings.

- \`error\`: the packer or the agent refuses the plugin.
- \`warning\`: the plugin is installed, but a part of it does not work as it is meant, or hides something.
- \`note\`: to know.

An error about an archive names the number of its rule in [What an archive may hold](archives.md#rules).

An agent looks at the names of all files and, as they arrive, at their first 256 bytes. It reads the text of manifests, hooks, skills,
rules and the \`.md\` files at the root and in \`agents/\`, \`commands/\`, \`rules/\` and \`skills/\`: at most 1,000 files, 256 KiB each and
4 MiB together. It looks for no secrets. \`airlock validate\` reads at most 20,000 files, 1 MiB each and 64 MiB together. What is not
read is counted (\`not-checked\`). Notes about single files are not among the warnings of an agent.

| rule | level | what it finds | what to do |
|---|---|---|---|
${rows.join('\n')}
`;
}
