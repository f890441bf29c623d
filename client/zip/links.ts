/** Decides which links of a zip lead to a file or directory of it. Pure. */

/** The most links that one way may lead through, as on Linux. */
const MAX_STEPS = 40;

/** What is known of a zip: its links with their targets, and whether there is a file or directory of a path. */
export type ZipTree = { links: ReadonlyMap<string, string>; has: (path: string) => boolean };

/**
 * Follows a link as a kernel does: `..` leads to the parent of what a link leads to.
 *
 * @param steps counts the names in the targets that are followed. What it throws ends the work.
 * @returns why the link is left out; undefined for one that leads to something in the zip.
 */
export function whyLeftOut(link: string, tree: ZipTree, steps: (count: number) => void): string | undefined {
  const at = link.split('/').slice(0, -1);
  const ahead: string[] = [];
  const follow = (target: string): string | undefined => {
    if (target === '') return 'the link points at nothing';
    // A drive or a share of Windows is absolute too.
    if (/^(?:[/\\]|[A-Za-z]:)/.test(target)) return 'the link points out of the plugin';
    const names = target.split('/');
    steps(names.length);
    ahead.push(...names.filter((name) => name !== '' && name !== '.').toReversed());
    return undefined;
  };
  let why = follow(tree.links.get(link) ?? '');
  let through = 0;
  for (let name = ahead.pop(); name !== undefined && why === undefined; name = ahead.pop()) {
    if (name === '..') {
      if (at.pop() === undefined) return 'the link points out of the plugin';
      continue;
    }
    at.push(name);
    const target = tree.links.get(at.join('/'));
    if (target === undefined) {
      if (!tree.has(at.join('/'))) return 'the link points at nothing';
      continue;
    }
    through += 1;
    if (through > MAX_STEPS) return 'the link leads in a circle';
    at.pop();
    why = follow(target);
  }
  return why;
}
