/** Finished operations: a repeated request gets the same answer, also after a restart. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

import * as z from 'zod';

import { Fault } from '../../shared/api/fault.ts';
import { putRecord, putUnsynced, readText, removeTree, syncDirectory, syncFile } from '../disk/record.ts';
import { attempt, type StoreContext } from './context.ts';

const RECORD_MAX_BYTES = 1024 * 1024;
/**
 * The number of finished operations that are remembered. The oldest are removed by the hundred, because each look at a
 * record takes time.
 */
const REMEMBERED = 1000;
const TOO_MANY = 1100;

const recordSchema = z.object({ version: z.literal(1), question: z.string(), answer: z.unknown() });

/** The digest of a request. The same operation id with another digest is a CONFLICT. */
export function questionOf(params: object): string {
  const sorted = Object.entries(params).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

/**
 * The answer of an operation; undefined if it is not remembered.
 *
 * @param question undefined: any request. @param schema the schema of the answer.
 * @throws Fault CONFLICT if the id was used for another request; INTERNAL, executed `yes`, if another version of the
 *   agent wrote an answer that this one cannot read. The operation is not repeated then.
 */
export function recall<T>(
  context: StoreContext,
  operationId: string,
  question: string | undefined,
  schema: z.ZodType<T>,
): T | undefined {
  const reading = readText(context.disk, context.layout.operation(operationId), RECORD_MAX_BYTES);
  // A torn record counts as none: records are written as a whole, so its operation was not remembered.
  const json = reading.kind === 'text' ? parsed(reading.text) : undefined;
  if (json === undefined) {
    return undefined;
  }
  const record = recordSchema.safeParse(json).data;
  if (record !== undefined && question !== undefined && record.question !== question) {
    throw sameId(operationId);
  }
  const answer = schema.safeParse(record?.answer);
  if (!answer.success) {
    throw new Fault('INTERNAL', `The operation "${operationId}" is done, but its answer cannot be read`, {
      cause: answer.error,
      executed: 'yes',
      retry: 'never',
      hint: 'Another version of the agent wrote it: check what is live now, and use a fresh id for a new operation',
    });
  }
  return answer.data;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function sameId(operationId: string): Fault {
  return new Fault('CONFLICT', `The operation id "${operationId}" was used with other parameters`, {
    hint: 'Use a fresh operation id for each new operation, and the same one only to ask again',
  });
}

/**
 * Remembers an answer. The oldest are removed if there are too many. Throws the errors of the disk.
 *
 * @param plugin the plugin of the operation; '' for the root.
 */
export function remember(
  context: StoreContext,
  operationId: string,
  question: string,
  answer: object,
  plugin: string,
): void {
  const { disk, layout } = context;
  putRecord(disk, layout.staging, plugin, layout.operation(operationId), {
    version: 1,
    question,
    answer,
  });
  forgetOperations(context, Number.NEGATIVE_INFINITY);
}

/**
 * Remembers the answer of a change whose intent has it too. It is durable after {@link settleAnswer}, which must come
 * before the intent is removed: until then recovery remembers it. Never throws.
 */
export function noteAnswer<A extends object>(
  context: StoreContext,
  { params, question }: Pick<OperationRequest<A>, 'params' | 'question'>,
  answer: A,
): void {
  const { disk, layout } = context;
  attempt(context, 'Remembering the answer', () => {
    const record = { version: 1, question, answer };
    const path = layout.operation(params.operationId);
    putUnsynced(disk, layout.staging, params.plugin ?? '', path, record);
    forgetOperations(context, Number.NEGATIVE_INFINITY);
  });
}

/** Makes an answer durable that was noted. Never throws. */
export function settleAnswer(context: StoreContext, operationId: string): void {
  const { disk, layout } = context;
  attempt(context, 'Remembering the answer', () => {
    if (disk.stat(layout.operation(operationId)) !== undefined) {
      syncFile(disk, layout.operation(operationId));
      syncDirectory(disk, layout.operations);
    }
  });
}

/** A request with an operation id. */
export type OperationRequest<A extends object> = {
  /** Without a plugin the request is about the root. */
  params: { operationId: string; plugin?: string | undefined };
  /** The digest of the request. */
  question: string;
  /** The schema of the answer. */
  answer: z.ZodType<A>;
};

/** The answer of this operation, if it has ended before. @throws Fault as {@link recall}. */
export const answerBefore = <A extends object>(
  context: StoreContext,
  { params, question, answer }: OperationRequest<A>,
): A | undefined => recall(context, params.operationId, question, answer);

/** Remembers an answer. Never throws: the change stays whether or not its answer can be remembered. */
export function rememberAnswer<A extends object>(
  context: StoreContext,
  { params, question }: Pick<OperationRequest<A>, 'params' | 'question'>,
  answer: A,
): void {
  attempt(context, 'Remembering the answer', () =>
    remember(context, params.operationId, question, answer, params.plugin ?? ''),
  );
}

/** A change that is asked again by its operation id is not made again: it has the same answer. */
export function once<A extends object>(
  context: StoreContext,
  asked: OperationRequest<A>,
  change: () => A,
): A {
  const before = answerBefore(context, asked);
  if (before !== undefined) {
    return before;
  }
  const answer = change();
  rememberAnswer(context, asked, answer);
  return answer;
}

/**
 * Forgets operations that ended before a time (milliseconds since the epoch), and the oldest ones beyond the number to
 * remember.
 *
 * @returns how many were forgotten.
 */
export function forgetOperations({ disk, layout }: StoreContext, before: number): number {
  const records = disk.list(layout.operations);
  if (records.length <= TOO_MANY && before === Number.NEGATIVE_INFINITY) {
    return 0;
  }
  const aged = records
    .map(({ name }) => join(layout.operations, name))
    .map((path) => ({ path, at: disk.stat(path)?.mtimeMs ?? 0 }))
    .toSorted((a, b) => a.at - b.at);
  const gone = aged.filter(({ at }, i) => at < before || i < aged.length - REMEMBERED);
  for (const { path } of gone) {
    removeTree(disk, path);
  }
  return gone.length;
}
