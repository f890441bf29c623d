/** Uploads on their way, with an engine of which the test plays every word. */
import { Upload } from '../../agent/service/upload.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import { RecordingLink, type ScriptedEngine, type Stage, makeStage, paramsOf, settle } from './engines.ts';

export type Scene = Stage & { upload: Upload; engine: ScriptedEngine; link: RecordingLink };

/** An upload that has a thread, a slot and a link. */
export async function receiving(stage = makeStage(), changes: Partial<BeginParams> = {}): Promise<Scene> {
  const upload = new Upload(paramsOf(changes), 'test', stage.dependencies);
  await upload.start();
  const engine = stage.pool.at();
  engine.open();
  await upload.opened;
  const link = new RecordingLink();
  upload.attach(link);
  return { ...stage, upload, engine, link };
}

export const send = (upload: Upload, offset: number, length: number, fin = false): void =>
  upload.accept(offset, new Uint8Array(length), fin);

/** An upload of 100 bytes, all of which have come. */
export async function received(stage = makeStage(), changes: Partial<BeginParams> = {}): Promise<Scene> {
  const scene = await receiving(stage, changes);
  send(scene.upload, 0, 100, true);
  return scene;
}

/** Commits and validates; it is then installing, or waits in its lane. @returns the answer, in a box. */
export async function installing({ upload, engine }: Scene): Promise<{ answer: Promise<unknown> }> {
  const answer = upload.commit();
  answer.catch(() => undefined);
  engine.tell({ kind: 'validated', directories: [] });
  await settle();
  return { answer };
}

/** What a promise fails with. */
export async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Fault) {
      return error;
    }
    throw error;
  }
  throw new Error('There was no fault');
}
