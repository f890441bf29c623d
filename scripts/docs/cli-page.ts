/** docs/cli.md: the commands, as their own help tells them. */
import type { Command } from '../../cli/command.ts';
import { helpOf } from '../../cli/help.ts';

const plain = (_style: string, text: string): string => text;

/** The settings are explained on their own page. */
function settingsLine({ settings }: Command): string {
  const names = Object.values(settings).map(({ flag, env }) => `\`${flag ?? env}\``);
  return names.length === 0 ? '' : `\n[Settings](settings.md): ${names.join(', ')}\n`;
}

/** @param commands in the order of the overview. */
export function cliPage(commands: readonly Command[]): string {
  const rows = commands.map(({ name, summary }) => `| [\`${name}\`](#airlock-${name}) | ${summary} |`);
  const sections = commands.map((command) => {
    const help = helpOf({ ...command, settings: {} }, plain);
    return `## airlock ${command.name}\n\n\`\`\`\n${help}\n\`\`\`\n${settingsLine(command)}`;
  });
  return `# Commands

<!-- Written by "npm run docs" from the help of the commands. -->

On a terminal a command prints text; piped, or with \`--json\`, it prints JSON. Exit codes: 0 done, 1 refused or failed, 2 usage,
3 unreachable, 4 unauthenticated. \`airlock <command> --help\` also
explains the settings that the command reads; [their page](settings.md) explains them all.

| command | what it does |
|---|---|
${rows.join('\n')}

${sections.join('\n')}`;
}
