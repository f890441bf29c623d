/** The receiving half of an agent, for uploads: credit, order, resume, as the protocol has it. */
import { createHash } from 'node:crypto';

import type { DataFrame } from '../../shared/api/frame.ts';
import { type Behaviour, installed, type Peer } from './fake-agent.ts';

export type Receiver = Behaviour & {
  bytes: Buffer;
  begins: Record<string, unknown>[];
  commits: number;
  aborts: number;
  wrong: string[];
  finished: boolean;
};

type Rules = {
  window: number;
  /** Cuts the connection, once each, when so many bytes have come. */
  cuts?: number[];
  /** After a cut: where the agent goes on; by default where it was. */
  resumeAt?: () => number;
  /** Cuts when the commit comes, this often. */
  cutCommits?: number;
};

export function receiver(rules: Rules): Receiver {
  const cuts = [...(rules.cuts ?? [])];
  let cutCommits = rules.cutCommits ?? 0;
  let limit = 0;
  let stream = 0;
  const grant = (peer: Peer): void => {
    limit = self.bytes.length + rules.window;
    peer.notify('window', { stream, offset: self.bytes.length, limit });
  };
  const self: Receiver = {
    bytes: Buffer.alloc(0),
    begins: [],
    commits: 0,
    aborts: 0,
    wrong: [],
    finished: false,
    onRequest: ({ id, method, params }, peer) => {
      if (method === 'install.begin') {
        if (self.begins.length > 0) {
          self.bytes = self.bytes.subarray(0, rules.resumeAt?.() ?? self.bytes.length);
        }
        self.begins.push(params);
        stream += 1;
        limit = self.bytes.length + rules.window;
        peer.answer(id, { status: 'open', stream, offset: self.bytes.length, limit });
      } else if (method === 'install.commit') {
        self.commits += 1;
        if (!self.finished) self.wrong.push('commit before FIN');
        if (cutCommits > 0) {
          cutCommits -= 1;
          peer.socket.terminate();
          return;
        }
        const sha256 = createHash('sha256').update(self.bytes).digest('hex');
        peer.answer(id, installed(String(self.begins[0]?.['plugin']), { bundle: `sha256:${sha256}` }));
      } else if (method === 'install.abort') {
        self.aborts += 1;
        peer.answer(id, { aborted: true });
      }
    },
    onFrame: (frame: DataFrame, peer) => {
      if (frame.stream !== stream) self.wrong.push(`stream ${frame.stream}`);
      if (frame.offset !== self.bytes.length) self.wrong.push(`gap at ${frame.offset}`);
      if (frame.offset + frame.data.length > limit) self.wrong.push(`beyond ${limit}`);
      self.bytes = Buffer.concat([self.bytes, frame.data]);
      self.finished = frame.fin;
      const truncate = cuts[0];
      if (truncate !== undefined && self.bytes.length >= truncate) {
        cuts.shift();
        peer.socket.terminate();
      } else if (self.bytes.length === limit && !frame.fin) {
        grant(peer);
      }
    },
  };
  return self;
}
