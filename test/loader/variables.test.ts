/** What a plugin calls its own directories, and the servers that it declares. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { type Loader, type Plugin, createLoader, expandVariables, mcpServersOf } from '../../loader/index.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { install, makeRoot, yamlOf } from '../_kit/loader-root.ts';

const AGENT_PLUGIN = '{"$schema":"https://agent-plugins.org/schemas/1.0.0/plugin.schema.json","name":"lint"}';
const SCHEMA = 'https://agent-plugins.org/schemas/1.0.0/mcp.schema.json';

type Loaded = { layout: Layout; loader: Loader; plugin: Plugin };

async function load(files: Record<string, string>): Promise<Loaded> {
  const layout = await makeRoot();
  await install(layout, 'lint', files);
  const loader = createLoader({ roots: [layout.root] });
  const answer = await loader.gate('lint');
  if (!answer.admitted) throw new Error(answer.detail);
  return { layout, loader, plugin: answer.plugin };
}

describe('the variables of a plugin', () => {
  it.each([
    ['an Agent Plugin', { 'plugin.json': AGENT_PLUGIN }, 'PLUGIN'],
    ['a plugin of Claude Code', { '.claude-plugin/plugin.json': '{"name":"lint"}' }, 'CLAUDE_PLUGIN'],
  ])('of %s name its live path and the directory of its data', async (_what, files, prefix) => {
    const { layout, plugin } = await load(files);
    expect(plugin.variables).toEqual({
      [`${prefix}_ROOT`]: layout.live('lint'),
      [`${prefix}_DATA`]: layout.data('lint'),
    });
  });

  it('are none where the manifest knows none', async () => {
    const { plugin } = await load({ 'plugin.yaml': yamlOf('lint') });
    expect([plugin.variables, plugin.mcpConfig]).toEqual([{}, undefined]);
  });

  it('are replaced once, wherever they stand, and nothing else is', () => {
    const variables = { PLUGIN_ROOT: '/a/${PLUGIN_DATA}', PLUGIN_DATA: '$& $1' };
    expect(expandVariables('${PLUGIN_ROOT}:${PLUGIN_DATA}${PLUGIN_ROOT}', variables)).toBe(
      '/a/${PLUGIN_DATA}:$& $1/a/${PLUGIN_DATA}',
    );
    const others = '$PLUGIN_ROOT ${HOME} ${plugin_root} ${PLUGIN_ROOT ${toString} ${CLAUDE_PLUGIN_ROOT}';
    expect(expandVariables(others, variables)).toBe(others);
  });
});

describe('mcp.json', () => {
  const PLUGIN = {
    path: '/p/lint',
    dataDir: '/d/lint',
    variables: { PLUGIN_ROOT: '/p/lint', PLUGIN_DATA: '/d/lint' },
  };
  const read = (mcpServers: unknown): ReturnType<typeof mcpServersOf> =>
    mcpServersOf(PLUGIN, JSON.stringify({ $schema: SCHEMA, mcpServers }));

  it('is found in an Agent Plugin, and is read of the version that is pinned, with paths that stay', async () => {
    const config = {
      $schema: SCHEMA,
      mcpServers: { db: { type: 'stdio', command: './bin/db', args: ['${PLUGIN_DATA}/x'] } },
    };
    const { layout, loader, plugin } = await load({
      'plugin.json': AGENT_PLUGIN,
      'mcp.json': JSON.stringify(config),
    });
    const live = layout.live('lint');
    expect(plugin.mcpConfig).toBe(join(live, 'mcp.json'));
    const text = await loader.read(plugin, (root) => readFile(join(root, 'mcp.json'), 'utf8'));
    expect(mcpServersOf(plugin, text)).toEqual({
      servers: {
        db: {
          type: 'stdio',
          command: join(live, 'bin/db'),
          args: [`${layout.data('lint')}/x`],
          env: plugin.variables,
          cwd: live,
        },
      },
      warnings: [],
    });
  });

  it('is none of another plugin', async () => {
    const { plugin } = await load({ 'plugin.yaml': yamlOf('lint'), 'mcp.json': '{}' });
    expect(plugin.mcpConfig).toBeUndefined();
  });

  it('has its variables replaced in arguments, values of the environment and working directory alone', () => {
    const all = '${PLUGIN_ROOT} ${PLUGIN_DATA} ${HOME}';
    const { servers } = read({
      a: {
        type: 'stdio',
        command: 'npx',
        args: [all],
        env: { '${PLUGIN_ROOT}': all },
        cwd: '${PLUGIN_DATA}/work',
      },
      b: { type: 'sse', url: 'https://example.com/${PLUGIN_ROOT}', headers: { 'X-A': all } },
    });
    const said = '/p/lint /d/lint ${HOME}';
    expect(servers).toEqual({
      a: {
        type: 'stdio',
        command: 'npx',
        args: [said],
        env: { '${PLUGIN_ROOT}': said, ...PLUGIN.variables },
        cwd: '/d/lint/work',
      },
      b: { type: 'sse', url: 'https://example.com/${PLUGIN_ROOT}', headers: { 'X-A': all } },
    });
  });

  it.each<[what: string, server: unknown]>([
    ['no object', 'stdio'],
    ['of an unknown type', { type: 'pipe', command: 'x' }],
    ['with a field of another type', { type: 'stdio', command: 'x', url: 'https://example.com' }],
    ['without a command', { type: 'stdio' }],
    ['with a shell command', { type: 'stdio', command: 'npx x' }],
    ['with an absolute command', { type: 'stdio', command: '/bin/sh' }],
    ['with a command to expand', { type: 'stdio', command: '${PLUGIN_ROOT}/x' }],
    ['with a command outside', { type: 'stdio', command: './../x' }],
    ['with a working directory outside', { type: 'stdio', command: 'x', cwd: './..' }],
    [
      'with a working directory outside its data',
      { type: 'stdio', command: 'x', cwd: '${PLUGIN_DATA}/../y' },
    ],
    ['with a working directory beside the root', { type: 'stdio', command: 'x', cwd: '${PLUGIN_ROOT}2' }],
    ['with a reserved variable', { type: 'stdio', command: 'x', env: { PLUGIN_ROOT: '/' } }],
    ['at an http URL elsewhere', { type: 'sse', url: 'http://example.com' }],
    ['at a URL with a user', { type: 'sse', url: 'https://u@example.com' }],
    ['at a URL with a fragment', { type: 'sse', url: 'https://example.com/#a' }],
    ['with a header twice', { type: 'sse', url: 'https://example.com', headers: { A: '1', a: '2' } }],
    ['with a line end in a header', { type: 'sse', url: 'https://example.com', headers: { A: 'b\r\nc: d' } }],
  ])('leaves a server %s out, with a warning, and keeps the others', (_what, server) => {
    const fine = { type: 'streamable-http', url: 'http://127.0.0.1:80/mcp', headers: {} };
    const { servers, warnings } = read({ wrong: server, fine });
    expect(servers).toEqual({ fine });
    expect(warnings).toEqual([expect.stringMatching(/^mcp\.json: the server "wrong" is left out: ./)]);
  });

  it.each([
    ['no JSON', 'x'],
    ['of another version', JSON.stringify({ $schema: SCHEMA.replace('1.0.0', '9.0.0'), mcpServers: {} })],
    ['with another field', JSON.stringify({ $schema: SCHEMA, mcpServers: {}, more: 1 })],
  ])('that is %s gives no server and a warning', (_what, text) => {
    expect(mcpServersOf(PLUGIN, text)).toEqual({
      servers: {},
      warnings: [expect.stringMatching(/^mcp\.json is left out: ./)],
    });
  });
});
