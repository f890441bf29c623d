/**
 * Decides about the links of an archive once all of it is known. No link is ever created. A link to a file or directory
 * of the archive becomes a copy of it; any other link is left out. Pure.
 */
import { type BrokenRule, parentOf, parentsOf } from '../../shared/rule/path-rules.ts';
import { escape } from '../../shared/api/violations.ts';

type Link = {
  target: string;
  hard: boolean;
  /** The file to which a hard link leads. Only a file that comes before the link in the archive counts. */
  file: string | undefined;
};

/** The most characters of a target that are read and shown. */
const TARGET_CHARACTERS = 4096;
const MAX_STEPS = 40;
/** No path of an archive is longer, so no link has a longer one. */
const PATH_CHARACTERS = 1024;

/** Where a path through the links ends: inside the archive, outside of it, or nowhere. */
type Way = { kind: 'inside' | 'outside' | 'loop'; path: string; through: number };

/** The files and directories of the archive, without its links. */
export type Tree = {
  kindOf: (path: string) => 'file' | 'directory' | undefined;
  /** The names in a directory; '' is the root. */
  namesIn: (directory: string) => readonly string[];
};

/** @param paths everything that is there. */
export function treeOf(paths: readonly string[], kindOf: Tree['kindOf']): Tree {
  const names = new Map<string, string[]>();
  for (const path of paths) {
    const above = parentOf(path);
    const others = names.get(above) ?? [];
    others.push(path.slice(above === '' ? 0 : above.length + 1));
    names.set(above, others);
  }
  return { kindOf, namesIn: (directory) => names.get(directory) ?? [] };
}

/** Where the copies are, and how many and how deep they may be. */
type Bounds = {
  /** The directory of the plugin; links outside of it are not part of the plugin. */
  top: string;
  /** Planning ends soon after so many copies, because a few links can stand for any number of files. */
  maxEntries: number;
  /** The content of a directory below this depth is not planned, because links can nest without end. */
  maxDepth: number;
};

/** What replaces a link: a directory, or a copy of the file `from`. */
type Copy = { kind: 'directory'; path: string } | { kind: 'file'; path: string; from: string };
/** A link that is left out, and the rule that it breaks. */
export type LeftOut = BrokenRule & { path: string };

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.');
const inside = (directory: string, name: string): string =>
  directory === '' ? name : `${directory}/${name}`;

const WHY: Record<number, string> = {
  32: 'its target is absolute',
  33: 'its target is outside the archive',
  34: 'it leads to what is left out',
  35: 'its target is not in the archive',
  36: 'it leads in a circle',
  37: 'it leads out of the archive through another link',
  39: 'its target is absolute',
  40: 'its target has a ".."',
  42: 'its target is no file that comes before it in the archive',
  43: 'its target is a symbolic link',
};

export class Links {
  readonly #links = new Map<string, Link>();
  /** The names of links in each directory. */
  readonly #names = new Map<string, string[]>();
  readonly #steps: (count: number) => void;

  /** @param steps counts the names in the targets that are followed. What it throws ends the work. */
  constructor(steps: (count: number) => void) {
    this.#steps = steps;
  }

  /** @param isFile whether a file of that path came before. */
  add(
    path: string,
    { target, hard }: Pick<Link, 'target' | 'hard'>,
    isFile: (path: string) => boolean,
  ): void {
    const shown = target.slice(0, TARGET_CHARACTERS);
    const known = namesOf(shown).join('/');
    const earlier = this.#links.get(known);
    // The path of the link itself may count as a file already.
    const file = known !== path && isFile(known) ? known : undefined;
    this.#links.set(path, { target: shown, hard, file: earlier === undefined ? file : earlier.file });
    const above = parentOf(path);
    const names = this.#names.get(above) ?? [];
    names.push(path.slice(above === '' ? 0 : above.length + 1));
    this.#names.set(above, names);
  }

  has(path: string): boolean {
    return this.#links.has(path);
  }

  /** The nearest directory above a path that is a link. */
  above(path: string): string | undefined {
    // Most archives have no link, and each of their files asks.
    return this.#links.size === 0 ? undefined : parentsOf(path).find((parent) => this.#links.has(parent));
  }

  get paths(): string[] {
    return [...this.#links.keys()];
  }

  /** Every link. They are left out because the caller wants no copies. */
  leaveAll(): LeftOut[] {
    return [...this.#links].map(([path, link]) => ({
      path,
      rule: link.hard ? 41 : 34,
      what: `it is a link to "${shown(link)}", and links are to be left out`,
    }));
  }

  /** The rule that each link breaks if links are refused, in the order of the archive. */
  breaks(tree: Tree): LeftOut[] {
    return [...this.#links].map(([path, link]) => {
      const end = this.#end(path, link, tree);
      const rule = typeof end === 'number' ? end : link.hard ? 41 : 34;
      return { path, rule, what: `it is a link to "${shown(link)}", and links are refused` };
    });
  }

  /**
   * What replaces each link, parents first. The content of a linked directory is copied too, with copies for the links in
   * it. A link to a directory above it would have no end, so it is left out. A link that is left out in a copied directory
   * counts like a copy.
   */
  plan(tree: Tree, { top, maxEntries, maxDepth }: Bounds): { copies: Copy[]; left: LeftOut[] } {
    const copies: Copy[] = [];
    const left: LeftOut[] = [];
    const isFull = (): boolean => copies.length + left.length > maxEntries + this.#links.size;
    const leave = (path: string, link: Link, rule: number): void => {
      const what = `it is a link to "${shown(link)}": ${WHY[rule] ?? 'it cannot be followed'}`;
      left.push({ path, rule, what });
    };
    const followed = (path: string, place: string, link: Link, above: readonly string[]): void => {
      const end = this.#end(place, link, tree);
      if (typeof end === 'number') {
        leave(path, link, end);
      } else if (tree.kindOf(end) === 'file') {
        copies.push({ kind: 'file', path, from: end });
      } else if (above.includes(end)) {
        leave(path, link, 36);
      } else {
        expand(path, end, above);
      }
    };
    const expand = (path: string, directory: string, above: readonly string[]): void => {
      copies.push({ kind: 'directory', path });
      if (path.split('/').length > maxDepth) {
        return;
      }
      const around = [...above, directory];
      const links = this.#names.get(directory) ?? [];
      for (const name of [...tree.namesIn(directory), ...links].toSorted()) {
        if (isFull()) {
          return;
        }
        const place = inside(directory, name);
        const link = this.#links.get(place);
        if (link !== undefined) {
          followed(inside(path, name), place, link, around);
        } else if (tree.kindOf(place) === 'directory') {
          expand(inside(path, name), place, around);
        } else {
          copies.push({ kind: 'file', path: inside(path, name), from: place });
        }
      }
    };
    for (const [path, link] of this.#links) {
      if (top !== '' && !path.startsWith(`${top}/`)) {
        const what = `it is a link beside "${top}", which is the plugin`;
        left.push({ path, rule: link.hard ? 41 : 34, what });
      } else if (!isFull()) {
        followed(path, path, link, [...parentsOf(path), '']);
      }
    }
    return { copies, left };
  }

  /** The file or directory to which a link leads, or the rule that it breaks. @param place the path of the link. */
  #end(place: string, link: Link, tree: Tree): string | number {
    return link.hard ? this.#endOfHard(link, tree) : this.#endOfSymbolic(place, link, tree);
  }

  #endOfHard({ target, file }: Link, tree: Tree): string | number {
    if (target.startsWith('/')) {
      return 39;
    }
    const names = namesOf(target);
    if (names.includes('..')) {
      return 40;
    }
    if (this.#links.get(names.join('/'))?.hard === false) {
      return 43;
    }
    return file !== undefined && tree.kindOf(file) === 'file' ? file : 42;
  }

  #endOfSymbolic(place: string, { target }: Link, tree: Tree): string | number {
    if (target.startsWith('/')) {
      return 32;
    }
    const { kind, path: end, through } = this.#follow(parentOf(place), target);
    if (kind === 'outside') {
      return through === 0 ? 33 : 37;
    }
    if (kind === 'loop') {
      return 36;
    }
    const hard = this.#links.get(end);
    if (hard !== undefined) {
      return this.#endOfHard(hard, tree);
    }
    return end === '' || tree.kindOf(end) !== undefined ? end : 35;
  }

  /** Resolves links as a kernel does: `..` leads to the parent of the link's target. */
  #follow(from: string, target: string): Way {
    const at = from === '' ? [] : [from, ...parentsOf(from)].toReversed();
    const ahead = this.#ahead(target);
    let through = 0;
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      if (name === '..') {
        if (at.pop() === undefined) {
          return { kind: 'outside', path: '', through };
        }
        continue;
      }
      const path = inside(at.at(-1) ?? '', name);
      const link = path.length > PATH_CHARACTERS ? undefined : this.#links.get(path);
      if (link === undefined || link.hard) {
        at.push(path);
        continue;
      }
      through += 1;
      if (through > MAX_STEPS) {
        return { kind: 'loop', path: '', through };
      }
      if (link.target.startsWith('/')) {
        return { kind: 'outside', path: '', through };
      }
      ahead.push(...this.#ahead(link.target));
    }
    return { kind: 'inside', path: at.at(-1) ?? '', through };
  }

  /** The names of a target, the last one first. */
  #ahead(target: string): string[] {
    const names = target.split('/');
    this.#steps(names.length);
    return names.filter((name) => name !== '' && name !== '.').toReversed();
  }
}

const shown = ({ target }: Link): string => escape(target).slice(0, 300);
