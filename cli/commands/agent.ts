/** `airlock agent`: serves a root until it is told to end. */
import { runAgent } from '../../agent/main.ts';
import { settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import type { Command } from '../command.ts';

export const command: Command = {
  name: 'agent',
  summary: 'serve a workspace: take plugins over an authenticated WebSocket and swap them in',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: settingsOf(settings, 'agent'),
  options: {},
  examples: ['AIRLOCK_TOKEN=$(airlock token) airlock agent --root /configs/plugins'],
  run: ({ given, env, version, self }) => runAgent({ flags: given.settings, env, version, workerFile: self }),
};
