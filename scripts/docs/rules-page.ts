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

\`airlock validate DIR\` looks at what the packer would pack. \`airlock validate BUNDLE\` unpacks a bundle below a temporary directory
with the code and the limits of an agent, and says what that agent would say. It ends with 1 for errors, with \`--strict\` for warnings
too, and with 2 for wrong arguments. \`--json\` prints one document. \`--sarif\` prints SARIF 2.1.0 with paths relative to the working
directory: run it in the root of the repository, and give the file to a service that shows findings beside the code. If the plugin
cannot be read at all, that document says why (\`executionSuccessful\` is false). \`airlock push\`
of a bundle looks into it likewise, and refuses what every agent refuses before a byte is sent. A secret in a bundle is a warning there.
A bundle into which it cannot look, such as for want of space, is sent all the same, and that is said.

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
