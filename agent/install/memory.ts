/** Finished operations, so that a question that is asked again gets the same answer, also after a restart. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { z } from 'zod';

import { Fault } from '../../shared/fault.ts';
import { type BeginParams, type Installed, installedSchema } from '../../shared/methods.ts';
import { putRecord, readText, removeTree } from '../disk/record.ts';
import type { Ground } from './ground.ts';

const RECORD_MAX_BYTES = 1024 * 1024;
/** How many finished operations are remembered. */
const REMEMBERED = 1000;

const recordSchema = z.object({ version: z.literal(1), question: z.string(), answer: installedSchema });

/** A digest of what was asked: the same operation id with another one is a CONFLICT. */
export function questionOf(params: BeginParams): string {
  const sorted = Object.entries(params).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

/**
 * The answer that an operation was given; undefined if it is not remembered.
 *
 * @param question undefined to ask by id alone.
 * @throws Fault CONFLICT if the id was used for something else.
 */
export function recall(
  ground: Ground,
  operationId: string,
  question: string | undefined,
): Installed | undefined {
  const reading = readText(ground.disk, ground.layout.operation(operationId), RECORD_MAX_BYTES);
  if (reading.kind !== 'text') {
    return undefined;
  }
  let record: z.infer<typeof recordSchema>;
  try {
    record = recordSchema.parse(JSON.parse(reading.text));
  } catch {
    return undefined;
  }
  if (question !== undefined && record.question !== question) {
    throw sameId(operationId);
  }
  return record.answer;
}

export function sameId(operationId: string): Fault {
  return new Fault('CONFLICT', `The operation id "${operationId}" was used with other parameters`, {
    hint: 'Use a fresh operation id for each new operation, and the same one only to ask again',
  });
}

/** Remembers an answer; the oldest go when there are too many. Throws what the disk throws. */
export function remember(ground: Ground, operationId: string, question: string, answer: Installed): void {
  const { disk, layout } = ground;
  putRecord(disk, layout.staging, layout.operation(operationId), { version: 1, question, answer });
  const records = disk.list(layout.operations);
  if (records.length <= REMEMBERED) {
    return;
  }
  const aged = records
    .map(({ name }) => join(layout.operations, name))
    .map((path) => ({ path, at: disk.stat(path)?.mtimeMs ?? 0 }))
    .toSorted((a, b) => a.at - b.at);
  for (const { path } of aged.slice(0, aged.length - REMEMBERED)) {
    removeTree(disk, path);
  }
}
