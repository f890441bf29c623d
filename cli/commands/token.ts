/** `airlock token`: makes a token, and adds it to a token file if asked. */
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';

import { Fault } from '../../shared/api/fault.ts';
import { type Command, EXIT } from '../command.ts';

export const command: Command = {
  name: 'token',
  summary: 'make a token for an agent and its clients',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: {},
  options: {
    file: {
      type: 'string',
      value: 'file',
      help: 'also append it to this token file; a new file gets the mode 0600',
    },
    scope: { type: 'string', value: 'read|write', help: 'its scope in the file; default: write' },
    label: {
      type: 'string',
      value: 'text',
      help: 'the name of its holder, which markers and logs show as "by"',
    },
  },
  examples: [
    'export AIRLOCK_TOKEN=$(airlock token)',
    'airlock token --file tokens --scope read --label dashboard',
  ],
  async run({ given, output }) {
    const { file, scope = 'write', label = '' } = given.strings;
    if (scope !== 'read' && scope !== 'write') {
      throw new Fault('INVALID_PARAMS', `--scope is "${scope}" but must be "read" or "write"`, {
        hint: 'See "airlock token --help"',
      });
    }
    if (/[\r\n]/.test(label)) {
      throw new Fault('INVALID_PARAMS', '--label must be one line', { hint: 'Leave the line break out' });
    }
    const token = randomBytes(32).toString('base64url');
    if (file !== undefined) {
      await append(file, `${[scope, token, label].filter((word) => word !== '').join(' ')}\n`);
    }
    // Piped, the output is only the token, for a variable. With `--json` it is an object.
    if (given.booleans['json'] === true) {
      output.result(
        { token, scope, ...(label === '' ? {} : { label }), ...(file === undefined ? {} : { file }) },
        () => token,
      );
    } else {
      output.text(token);
    }
    return EXIT.done;
  },
};

async function append(file: string, line: string): Promise<void> {
  try {
    const handle = await open(file, 'a+', 0o600);
    try {
      const { size } = await handle.stat();
      const last = Buffer.alloc(1);
      const endsInLine =
        size === 0 || ((await handle.read(last, 0, 1, size - 1)).bytesRead === 1 && last[0] === 0x0a);
      await handle.write(endsInLine ? line : `\n${line}`);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new Fault(
      'INVALID_PARAMS',
      `The token file "${file}" cannot be written: ${(error as Error).message}`,
      {
        cause: error,
        hint: 'Name a file in a directory that you may write',
      },
    );
  }
}
