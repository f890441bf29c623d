/** Text that cannot be packed well. */
import { createHash } from 'node:crypto';

/** @returns so many characters, the same for the same seed. */
export function noise(seed: number, length: number): string {
  let text = '';
  for (let i = 0; text.length < length; i += 1) {
    text += createHash('sha256').update(`${seed} ${i}`).digest('base64');
  }
  return text.slice(0, length);
}
