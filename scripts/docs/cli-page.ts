/** docs/cli.md: the commands, as their own help tells them. */
import type { Command } from '../../cli/command.ts';
import { helpOf } from '../../cli/help.ts';

const plain = (_style: string, text: string): string => text;

/** @param commands in the order of the overview. */
export function cliPage(commands: readonly Command[]): string {
  const rows = commands.map(({ name, summary }) => `| [\`${name}\`](#airlock-${name}) | ${summary} |`);
  const sections = commands.map(
    (command) => `## airlock ${command.name}\n\n\`\`\`\n${helpOf(command, plain)}\n\`\`\`\n`,
  );
  return `# Commands

<!-- Written by "npm run docs" from the help of the commands. -->

On a terminal a command prints text; piped, or with \`--json\`, it prints JSON. Exit codes: 0 done, 1 refused or failed, 2 usage,
3 unreachable, 4 unauthenticated. The [settings](settings.md) have a page of their own.

| command | what it does |
|---|---|
${rows.join('\n')}

${sections.join('\n')}`;
}
