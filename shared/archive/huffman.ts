/** Huffman codes as deflate (RFC 1951) has them: from counts to lengths, from lengths to codes. Pure. */

/**
 * The lengths of the codes of symbols that occur so often; 0 for one that does not occur. The same counts give the same
 * lengths everywhere.
 *
 * @param most no code is longer (bits).
 */
export function codeLengths(counts: Uint32Array, most: number): Uint8Array {
  const lengths = new Uint8Array(counts.length);
  const used: number[] = [];
  counts.forEach((count, symbol) => count > 0 && used.push(symbol));
  // Equal counts are in the order of the symbols, so the result does not depend on how a sort treats equals.
  used.sort((a, b) => (counts[a] ?? 0) - (counts[b] ?? 0) || a - b);
  const ofLength = limited(depths(used.map((symbol) => counts[symbol] ?? 0)), most);
  let next = 0;
  // The rarest symbols get the longest codes.
  for (let length = most; length > 0; length -= 1) {
    for (let left = ofLength[length] ?? 0; left > 0; left -= 1) {
      lengths[used[next] ?? 0] = length;
      next += 1;
    }
  }
  return lengths;
}

/** How many leaves of a Huffman tree are at each depth. @param weights sorted. */
function depths(weights: readonly number[]): number[] {
  const count = weights.length;
  if (count === 0) return [];
  if (count === 1) return [0, 1];
  // Both queues are sorted: the leaves, and the inner nodes in the order in which they are made.
  const inner: number[] = [];
  const parents = new Int32Array(2 * count - 1);
  let [leaf, node] = [0, 0];
  const take = (): { weight: number; at: number } => {
    const [one, other] = [weights[leaf], inner[node]];
    if (one !== undefined && (other === undefined || one <= other)) {
      leaf += 1;
      return { weight: one, at: leaf - 1 };
    }
    node += 1;
    return { weight: other ?? 0, at: count + node - 1 };
  };
  for (let made = 0; made < count - 1; made += 1) {
    const [a, b] = [take(), take()];
    inner.push(a.weight + b.weight);
    parents[a.at] = count + made;
    parents[b.at] = count + made;
  }
  const depth = new Uint8Array(2 * count - 1);
  const found: number[] = [];
  for (let at = 2 * count - 3; at >= 0; at -= 1) {
    const own = (depth[parents[at] ?? 0] ?? 0) + 1;
    depth[at] = own;
    if (at < count) found[own] = (found[own] ?? 0) + 1;
  }
  return found;
}

/** The same number of leaves with none deeper than `most`, as a complete tree. */
function limited(found: readonly number[], most: number): number[] {
  const kept = Array.from({ length: most + 1 }, (_, depth) => found[depth] ?? 0);
  for (const deeper of found.slice(most + 1)) kept[most] = (kept[most] ?? 0) + (deeper ?? 0);
  let total = kept.reduce((sum, leaves, depth) => sum + (depth === 0 ? 0 : leaves * 2 ** (most - depth)), 0);
  while (total > 2 ** most) {
    kept[most] = (kept[most] ?? 0) - 1;
    for (let depth = most - 1; depth > 0; depth -= 1) {
      const leaves = kept[depth] ?? 0;
      if (leaves > 0) {
        kept[depth] = leaves - 1;
        kept[depth + 1] = (kept[depth + 1] ?? 0) + 2;
        break;
      }
    }
    total -= 1;
  }
  return kept;
}

/** The canonical codes of these lengths, with their bits reversed, as deflate writes them. */
export function codesOf(lengths: Uint8Array): Uint16Array {
  const most = lengths.reduce((longest, length) => Math.max(longest, length), 0);
  const ofLength = new Uint32Array(most + 2);
  for (const length of lengths) if (length > 0) ofLength[length] = (ofLength[length] ?? 0) + 1;
  const next = new Uint32Array(most + 2);
  for (let length = 1; length <= most; length += 1) {
    next[length] = ((next[length - 1] ?? 0) + (ofLength[length - 1] ?? 0)) * 2;
  }
  return Uint16Array.from(lengths, (length) => {
    if (length === 0) return 0;
    const code = next[length] ?? 0;
    next[length] = code + 1;
    let reversed = 0;
    for (let bit = 0; bit < length; bit += 1) reversed |= ((code >> bit) & 1) << (length - 1 - bit);
    return reversed;
  });
}
