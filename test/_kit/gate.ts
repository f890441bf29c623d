/** Asking the gate, for tests that know the answer. */
import { expect } from 'vitest';

import { type LoaderOptions, type Plugin, type Refusal, createLoader } from '../../loader/index.ts';
import { refusalReasons } from '../../shared/rule/admission.ts';

type Options = Omit<LoaderOptions, 'roots'>;

export async function admitted(root: string, name: string, options: Options = {}): Promise<Plugin> {
  const answer = await createLoader({ roots: [root], ...options }).gate(name);
  if (!answer.admitted) throw new Error(`"${name}" was refused: ${answer.reason}: ${answer.detail}`);
  return answer.plugin;
}

export async function refused(root: string, name: string, options: Options = {}): Promise<Refusal> {
  const answer = await createLoader({ roots: [root], ...options }).gate(name);
  if (answer.admitted) throw new Error(`"${name}" was admitted as ${answer.plugin.level}`);
  expect(answer.hint).not.toBe('');
  expect(refusalReasons).toContain(answer.reason);
  expect(answer.root).toBe(root);
  return answer;
}
