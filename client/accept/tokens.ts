/** Tokens of workspaces: by them a platform knows the agents that dial in. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

import { WORKSPACE_HEADER } from '../../shared/api/rpc.ts';

const digestOf = (token: string): Buffer => createHash('sha256').update(token, 'utf8').digest();

/**
 * Authenticates agents by a token for each workspace: the `authenticate` of `acceptAgents`. Tokens are compared in constant
 * time, as their sha256.
 *
 * @param tokensOf the valid tokens of a workspace; none for one that is not known. With two of them a token is replaced
 *   without a gap. The id is what the agent claims: it may be any text.
 *
 * @example acceptAgents(server, { authenticate: byToken(async (workspace) => [await secrets.read(workspace)]), … });
 */
export function byToken(
  tokensOf: (workspace: string) => Promise<readonly string[]> | readonly string[],
): (request: IncomingMessage) => Promise<string | undefined> {
  return async ({ headers }) => {
    const { authorization, [WORKSPACE_HEADER]: workspace } = headers;
    const [, given] = /^Bearer ([\u0021-\u007e]+)$/i.exec(authorization ?? '') ?? [];
    if (typeof workspace !== 'string' || given === undefined) return undefined;
    const shown = digestOf(given);
    let isKnown = false;
    for (const token of await tokensOf(workspace)) {
      // All are compared: the time says nothing about which one it is.
      if (timingSafeEqual(shown, digestOf(token))) isKnown = true;
    }
    return isKnown ? workspace : undefined;
  };
}
