/** Classifies the links of an archive once all of it is known. No link is ever created. */
import { type BrokenRule, parentOf } from './path-rules.ts';
import { escape } from './violations.ts';

type Link = { target: string; hard: boolean };

/** The most characters of a target that are read and shown. */
const TARGET_CHARACTERS = 4096;
const MAX_STEPS = 40;

/** Where a path through the links ends: inside the archive, outside of it, or nowhere. */
type Way = { kind: 'inside' | 'outside' | 'loop'; path: string; through: number };

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.');

export class Links {
  readonly #links = new Map<string, Link>();

  add(path: string, { target, hard }: Link): void {
    this.#links.set(path, { target: target.slice(0, TARGET_CHARACTERS), hard });
  }

  has(path: string): boolean {
    return this.#links.has(path);
  }

  /** The rule that each link breaks if links are refused, in the order of the archive. */
  breaks(isThere: (path: string) => boolean): (BrokenRule & { path: string })[] {
    return [...this.#links].map(([path, link]) => ({
      path,
      rule: link.hard ? this.#ruleOfHard(link, isThere) : this.#ruleOfSymbolic(path, link, isThere),
      what: `it is a link to "${escape(link.target.slice(0, 300))}", and links are refused`,
    }));
  }

  #ruleOfHard({ target }: Link, isThere: (path: string) => boolean): number {
    if (target.startsWith('/')) {
      return 39;
    }
    const names = namesOf(target);
    if (names.includes('..')) {
      return 40;
    }
    const path = names.join('/');
    if (this.#links.get(path)?.hard === false) {
      return 43;
    }
    return isThere(path) ? 41 : 42;
  }

  #ruleOfSymbolic(path: string, { target }: Link, isThere: (path: string) => boolean): number {
    if (target.startsWith('/')) {
      return 32;
    }
    const { kind, path: end, through } = this.#follow(parentOf(path), target);
    if (kind === 'outside') {
      return through === 0 ? 33 : 37;
    }
    if (kind === 'loop') {
      return 36;
    }
    return end === '' || isThere(end) ? 34 : 35;
  }

  /** Resolves links as a kernel does: `..` leads to the parent of the link's target. */
  #follow(from: string, target: string): Way {
    const at = namesOf(from);
    const ahead = namesOf(target).toReversed();
    let through = 0;
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      if (name === '..') {
        if (at.pop() === undefined) {
          return { kind: 'outside', path: '', through };
        }
        continue;
      }
      const link = this.#links.get([...at, name].join('/'));
      if (link === undefined || link.hard) {
        at.push(name);
        continue;
      }
      through += 1;
      if (through > MAX_STEPS) {
        return { kind: 'loop', path: '', through };
      }
      if (link.target.startsWith('/')) {
        return { kind: 'outside', path: '', through };
      }
      ahead.push(...namesOf(link.target).toReversed());
    }
    return { kind: 'inside', path: at.join('/'), through };
  }
}
