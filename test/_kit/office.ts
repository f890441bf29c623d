/** All operations of an agent, over engines of which the test plays every word. */
import { WorkerClient } from '../../agent/worker/client.ts';
import { type Begun, Uploads } from '../../agent/service/uploads.ts';
import type { Upload } from '../../agent/service/upload.ts';
import { RecordingLink, ScriptedPool, type Stage, makeStage, paramsOf, settle } from './engines.ts';
import { send } from './scene.ts';

export type Office = Stage & {
  operations: Uploads;
  /** Where looks ask. */
  questions: ScriptedPool;
  uploads: Upload[];
  begin(changes?: Parameters<typeof paramsOf>[0], link?: RecordingLink): Promise<Begun>;
};

export function makeOffice(): Office {
  const stage = makeStage();
  const questions = new ScriptedPool();
  const operations = new Uploads(stage.dependencies, new WorkerClient(questions, stage.dependencies));
  const uploads: Upload[] = [];
  return {
    ...stage,
    operations,
    questions,
    uploads,
    begin: (changes, link = new RecordingLink()) => {
      const begun = operations.begin(paramsOf(changes), 'test', (upload) => {
        uploads.push(upload);
        return link;
      });
      begun.catch(() => undefined);
      return begun;
    },
  };
}

/** Begins an upload and lets its thread open a slot. */
export async function open(office: Office, changes: Parameters<typeof paramsOf>[0] = {}): Promise<Upload> {
  const begun = office.begin(changes);
  await settle();
  office.pool.at().open();
  await begun;
  const upload = office.uploads.at(-1);
  if (upload === undefined) {
    throw new Error('Nothing was opened');
  }
  return upload;
}

/** Takes an upload to its answer. */
export async function finish(
  office: Office,
  upload: Upload | undefined,
  engine = office.pool.at(),
): Promise<void> {
  if (upload === undefined) {
    throw new Error('There is no upload to finish');
  }
  send(upload, 0, 100, true);
  void upload.commit().catch(() => undefined);
  engine.tell({ kind: 'validated', directories: [] });
  await settle();
  engine.installed();
  engine.done();
  await settle();
}
