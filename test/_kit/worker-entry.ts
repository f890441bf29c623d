/**
 * The engine thread of the tests: the agent's own, which crashes where a bundle's `source` says so. A crash is
 * `crash:<message>` (at once, before the engine hears that message) or `crash-after:<message>` (after the engine
 * has said that message to the agent).
 */
import { parentPort } from 'node:worker_threads';

import { runThread } from '../../agent/worker/thread.ts';
import type { Envelope, FromEngine, ToEngine } from '../../agent/worker/messages.ts';

let script = '';

parentPort?.on('message', ({ message }: Envelope<ToEngine>) => {
  if (message.kind === 'begin') {
    script = message.params.source ?? '';
  }
  if (script === `crash:${message.kind}`) {
    throw new Error('The thread crashes because the test says so');
  }
});

const post = parentPort?.postMessage.bind(parentPort);
if (parentPort !== null && post !== undefined) {
  parentPort.postMessage = (envelope: Envelope<FromEngine>): void => {
    post(envelope);
    if (script === `crash-after:${envelope.message.kind}`) {
      // Nothing after this line runs in the thread, and what was posted has left it.
      process.exit(1);
    }
  };
}

runThread();
