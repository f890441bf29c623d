/** docs/settings.md: the table of settings as a page. */
import { type Group, type SettingTable, defaultText, groups } from '../../shared/api/setting.ts';

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
const code = (text: string | undefined): string =>
  text === undefined || text === '' ? '' : `\`${text.replaceAll('|', '\\|')}\``;

const FORMS = `\`bytes\` is a number, or a number with K, M or G (powers of 1024), such as \`100M\`. \`name,…\` is a list with commas between.
\`seconds\`, \`days\` and counts are whole numbers. A relative directory counts from the working directory of the process.`;

/** @param table every setting. */
export function settingsPage(table: SettingTable): string {
  const rows = Object.values(table).map((setting) => {
    const { flag, env, unit, fallback, help, of } = setting;
    const otherwise = fallback === undefined ? cell(defaultText(setting)) : code(fallback);
    return `| ${[code(flag), code(env), code(unit), otherwise, cell(help), of.join(', ')].join(' | ')} |`;
  });
  const readers = (Object.keys(groups) as Group[]).map((group) => `- ${group}: ${groups[group]}`);
  return `# Settings

<!-- Written by "npm run docs" from shared/api/settings.ts. -->

A flag goes over its variable, the variable over the default. An empty variable counts as none. A value that cannot be read ends the
command with exit code 2 and an error that names it. \`airlock <command> --help\` shows the settings that the command reads.

${FORMS}

| flag | variable | value | default | what it decides | read by |
|---|---|---|---|---|---|
${rows.join('\n')}

Read by:

${readers.join('\n')}
`;
}
