/**
 * The conversations of docs/protocol-examples.md: an entry for each method, one for everything else that is worth an
 * example. A new method needs an entry here, or it does not compile. Then run the test with UPDATE_EXAMPLES=1.
 *
 * They run in the order of this file; the page has the order of the table of methods. An entry relies on nothing that
 * another one has left: it prepares what it needs with `install` and `unseen`, under the name of a plugin of its own. What
 * lists plugins comes early, while there are few.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { exampleBundle } from '../../scripts/docs/example-bundle.ts';
import type { MethodName } from '../../shared/api/methods.ts';
import { bytesOf, serveBundles } from './bundle-server.ts';
import { type ExampleConversation, pluginBundle } from './example-conversation.ts';

export type ExampleEntry = (talk: ExampleConversation) => Promise<unknown>;

/** The bundle of an example, and the parameters that name it. */
const bundleOf = (plugin: string, version = '1.0.0') => {
  const { bytes, size, sha256 } = pluginBundle(plugin, version);
  return { bytes, named: { plugin, bundle: { size, sha256 } } };
};

export const methodExamples: Record<MethodName, ExampleEntry> = {
  // This one begins with the hello; in the others it and the start of the session are left out.
  'session.start': (talk) => talk.call('session.start', { client: 'example', events: ['plugin.changed'] }),
  recover: (talk) => talk.call('recover', { operationId: 'example-recover' }),
  sweep: (talk) => talk.call('sweep', { operationId: 'example-sweep' }),
  'install.begin': async (talk) => {
    const { bytes, named } = bundleOf('greeting');
    const operationId = 'example-install';
    await talk.call('install.begin', { operationId, ...named, source: 'the example' });
    talk.send(1, 0, bytes, true);
    await talk.window();
    await talk.unseen(() => talk.call('install.commit', { operationId }));
  },
  'install.commit': async (talk) => {
    const { bytes, named } = bundleOf('greeting', '1.1.0');
    const operationId = 'example-commit';
    await talk.unseen(async () => {
      await talk.call('install.begin', { operationId, ...named });
      talk.send(1, 0, bytes, true);
      await talk.window();
    });
    await talk.call('install.commit', { operationId });
  },
  'plugin.list': async (talk) => {
    await mkdir(join(talk.agent.layout.live('half-copied'), 'skills'), { recursive: true });
    await talk.call('plugin.list', {});
  },
  reconcile: async (talk) => {
    await talk.install('kept', '1.0.0');
    const declared = [
      { name: 'kept', version: '1.0.0' },
      { name: 'to-come', version: '1.0.0' },
    ];
    await talk.call('reconcile', { declared, mode: 'plan' });
    await talk.call('reconcile', { operationId: 'example-reconcile', declared, mode: 'apply' });
  },
  'runtime.restarted': async (talk) => {
    await talk.install('restarted', '1.0.0');
    await talk.call('runtime.restarted', { operationId: 'example-restarted' });
  },
  status: async (talk) => {
    await talk.unseen(async () => {
      for (;;) {
        const { watch, operations } = await talk.call('status', { quick: true });
        if (watch?.mode !== 'starting' && operations.total === 0) return;
      }
    });
    await talk.call('status', { quick: true });
  },
  doctor: (talk) => talk.call('doctor', {}),
  'install.abort': async (talk) => {
    const operationId = 'example-abort';
    const { named } = bundleOf('unwanted');
    await talk.unseen(() => talk.call('install.begin', { operationId, ...named }));
    await talk.call('install.abort', { operationId });
  },
  'plugin.pull': async (talk) => {
    const { bytes, named } = bundleOf('pulled');
    const { origin } = await serveBundles(bytesOf(bytes));
    const url = `${origin}/pulled-1.0.0.tgz`;
    await talk.call('plugin.pull', { operationId: 'example-pull', ...named, url });
  },
  'plugin.get': async (talk) => {
    await talk.install('shown', '1.0.0');
    await talk.call('plugin.get', { plugin: 'shown' });
  },
  'plugin.verify': async (talk) => {
    await talk.install('verified', '1.0.0');
    await writeFile(join(talk.agent.layout.live('verified'), 'rules/tone.md'), 'Be very brief.\n');
    await talk.call('plugin.verify', { plugin: 'verified' });
  },
  'plugin.history': async (talk) => {
    await talk.install('remembered', '1.0.0');
    await talk.unseen(async () => {
      for (;;) {
        // The line is written after the answer.
        const { lines } = await talk.call('plugin.history', { plugin: 'remembered' });
        if (lines.total > 0) return;
      }
    });
    await talk.call('plugin.history', { plugin: 'remembered', verify: true });
  },
  'plugin.rollback': async (talk) => {
    const { installId } = await talk.install('returning', '1.0.0');
    await talk.install('returning', '2.0.0');
    await talk.call('plugin.rollback', {
      operationId: 'example-rollback',
      plugin: 'returning',
      to: installId,
      restart: false,
    });
  },
  'plugin.uninstall': async (talk) => {
    await talk.install('leaving', '1.0.0');
    await talk.call('plugin.uninstall', { operationId: 'example-uninstall', plugin: 'leaving' });
  },
  'plugin.adopt': async (talk) => {
    const directory = talk.agent.layout.live('copied');
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'plugin.yaml'), 'name: copied\nversion: 1.0.0\n');
    const { tree } = await talk.call('plugin.adopt', {
      operationId: 'example-plan',
      plugin: 'copied',
      plan: true,
    });
    await talk.call('plugin.adopt', { operationId: 'example-adopt', plugin: 'copied', tree });
  },
  'plugin.hold': async (talk) => {
    await talk.install('held', '1.0.0');
    await talk.call('plugin.hold', {
      operationId: 'example-hold',
      plugin: 'held',
      why: 'the release is frozen',
    });
    await talk.call('plugin.hold', { operationId: 'example-release', plugin: 'held', release: true });
  },
  'plugin.disable': async (talk) => {
    await talk.install('disabled', '1.0.0');
    await talk.call('plugin.disable', { operationId: 'example-disable', plugin: 'disabled', disabled: true });
  },
  'plugin.classify': async (talk) => {
    await talk.install('judged', '1.0.0');
    const file = { path: 'plugin.yaml', size: 29, mode: '644' as const, sha256: 'a'.repeat(64) };
    await talk.call('plugin.classify', { plugin: 'judged', list: [file] });
  },
  'plugin.files': async (talk) => {
    await talk.install('loaded', '1.0.0');
    await talk.call('plugin.files', { plugin: 'loaded' });
    talk.notify('window', { stream: 2, offset: 0, limit: 1_048_576 });
    await talk.data();
  },
  'install.plan': async (talk) => {
    await talk.install('planned', '1.0.0');
    await talk.call('install.plan', { plugin: 'planned', loaded: true });
    talk.notify('cancel', { stream: 2 });
  },
  'plugin.export': async (talk) => {
    await talk.install('leaving-as-bundle', '1.0.0');
    await talk.call('plugin.export', { plugin: 'leaving-as-bundle' });
    talk.notify('window', { stream: 2, offset: 0, limit: 1_048_576 });
    await talk.data();
  },
};

/** An example of something else than a method. */
export type OtherExample = {
  about: string;
  /** The session is not started yet. */
  isFresh?: boolean;
  /** It runs right behind the entry of that method; default: behind all of them. */
  after?: MethodName;
  run: ExampleEntry;
};

/** Title → the example. */
export const otherExamples: Record<string, OtherExample> = {
  'Events that were missed': {
    about:
      'The client names the last event that it has seen. This agent has another `bootId`, so it sends a `snapshot`, before the answer.',
    isFresh: true,
    after: 'install.commit',
    run: async (talk) => {
      const resume = { bootId: '0b5f8c1e-0000-4000-8000-000000000000', seq: 41 };
      await talk.call('session.start', { client: 'example', events: ['plugin.changed'], resume });
    },
  },
  'An upload that goes on': {
    about:
      'A second `install.begin` with the same operation id, here on the same connection. The agent names a new stream, and how far it is.',
    run: async (talk) => {
      const { bytes, named } = bundleOf('continued');
      const operationId = 'example-resume';
      await talk.unseen(async () => {
        await talk.call('install.begin', { operationId, ...named });
        talk.send(1, 0, bytes.subarray(0, 1000), false);
        await talk.window();
      });
      await talk.call('install.begin', { operationId, ...named });
      talk.send(2, 1000, bytes.subarray(1000), true);
      await talk.window();
      await talk.unseen(() => talk.call('install.commit', { operationId }));
    },
  },
  'Nothing to send': {
    about: 'The bundle is live already. The answer to `install.begin` is that of the install.',
    run: async (talk) => {
      await talk.install('present', '1.0.0');
      const { named } = bundleOf('present');
      await talk.call('install.begin', { operationId: 'example-present', ...named });
    },
  },
  'A stream that nobody reads': {
    about: 'The client gives credit for 40 bytes, reads them, and cancels the rest.',
    run: async (talk) => {
      await talk.install('long', '1.0.0');
      await talk.call('plugin.files', { plugin: 'long' });
      talk.notify('window', { stream: 2, offset: 0, limit: 40 });
      await talk.data();
      talk.notify('cancel', { stream: 2 });
    },
  },
  'An upload that fails': {
    about: 'The bytes leave a gap. The agent resets the stream at once. A commit has the same error.',
    run: async (talk) => {
      const { bytes, named } = bundleOf('gap');
      await talk.unseen(() => talk.call('install.begin', { operationId: 'example-gap', ...named }));
      talk.send(1, 100, bytes.subarray(100, 200), false);
      await talk.reset();
      await talk.ask('install.commit', { operationId: 'example-gap' });
    },
  },
  'An archive that is refused': {
    about: 'Every violation is named with the number of its [rule](archives.md#rules).',
    run: async (talk) => {
      const files = { '../outside.md': '', 'plugin.yaml': 'name: refused\n', 'rules/con': '' };
      const { bytes, size, sha256 } = exampleBundle(files);
      const operationId = 'example-refused';
      await talk.unseen(async () => {
        await talk.call('install.begin', { operationId, plugin: 'refused', bundle: { size, sha256 } });
        talk.send(1, 0, bytes, true);
        await talk.window();
      });
      await talk.ask('install.commit', { operationId });
    },
  },
  'A version that is not the expected one': {
    about: 'Nothing was done (`executed`), and the same request fails again (`retry`).',
    run: async (talk) => {
      await talk.install('expected', '1.0.0');
      const params = { operationId: 'example-expect', plugin: 'expected', expect: { installId: null } };
      await talk.ask('plugin.uninstall', params);
    },
  },
  'A field that the agent does not know': {
    about: '',
    run: (talk) => talk.ask('plugin.get', { plugin: 'greeting', color: 'red' }),
  },
  'A method that the agent does not have': {
    about: 'The only error with another `code` than -32000.',
    run: (talk) => talk.ask('plugin.paint', {}),
  },
};
