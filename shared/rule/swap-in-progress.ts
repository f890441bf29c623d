/** Whether an absent plugin comes back in a moment, by the intents of its operations. Pure. */
import { intentSchema } from '../format/intent.ts';

/**
 * Whether an intent says that the absence of a plugin will pass. A swap without an exchange renames the live version away and
 * the new one into its place: between the two renames there is nothing. The same is true while a removal is undone.
 *
 * @param text the text of an intent; what cannot be read as one says nothing.
 */
export function isSwapInProgress(text: string, plugin: string): boolean {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return false;
  }
  const { success, data: intent } = intentSchema.safeParse(json);
  return (
    success &&
    intent.plugin === plugin &&
    intent.path !== 'exchange' &&
    // A first install displaces nothing, and its upload may take minutes.
    intent.from !== null &&
    (intent.op !== 'remove' || intent.goal === 'back')
  );
}
