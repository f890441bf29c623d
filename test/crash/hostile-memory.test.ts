import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

import { describe, expect, it, onTestFinished } from 'vitest';

import { type Opened, beginOf, limitOf, sha256Of } from '../_kit/bundle.ts';
import { Program, addressOf } from '../_kit/program.ts';
import { file, globalPax } from '../_kit/tar-builder.ts';
import { Wire } from '../_kit/wire.ts';

const MIB = 1024 * 1024;
/** What a push of any size may cost beside what the agent needs by itself. */
const BOUND = 192 * MIB;

/** The most that the process ever had in memory, and what it has. */
function memoryOf(pid: number): { peak: number; now: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kibibytes = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return { peak: kibibytes('VmHWM') * 1024, now: kibibytes('VmRSS') * 1024 };
}

const times = (count: number, bytes: Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => bytes));
const entries = (from: number): Buffer =>
  gzipSync(Buffer.concat(Array.from({ length: 10_000 }, (_, i) => file(`f${from + i}`))), { level: 1 });

/** Members of gzip are one stream: so a little text stands for a lot of archive. */
const ARCHIVES: [what: string, code: string, env: Record<string, string>, bytes: () => Buffer][] = [
  [
    'a million entries',
    'LIMIT_ENTRIES',
    {},
    () => {
      const first = Array.from({ length: 7 }, (_, i) => entries(10_000 * i));
      return Buffer.concat([...first, ...Array.from({ length: 93 }, () => first[6] ?? Buffer.alloc(0))]);
    },
  ],
  [
    '10 GB of zeros in one file',
    'LIMIT_UNPACKED',
    { AIRLOCK_MAX_RATIO: '100000' },
    () => Buffer.concat([gzipSync(file('z', '', { size: 0o77777777777 })), zeros()]),
  ],
  ['10 GB of zeros', 'LIMIT_RATIO', {}, () => zeros()],
  [
    '10 GB of zeros after no entry, with no ratio',
    'LIMIT_UNPACKED',
    { AIRLOCK_MAX_RATIO: '100000' },
    () => zeros(),
  ],
  [
    'an archive that never ends',
    'LIMIT_UNPACKED',
    { AIRLOCK_MAX_RATIO: '100000' },
    () => times(200, gzipSync(times(16, globalPax({ comment: 'x'.repeat(MIB - 100) })))),
  ],
];
const zeros = (): Buffer => times(160, gzipSync(Buffer.alloc(64 * MIB), { level: 1 }));

describe('memory stays flat', () => {
  it.for(ARCHIVES)('%s', { timeout: 300_000 }, async ([, code, env, make], ctx) => {
    if (process.platform !== 'linux') ctx.skip('it reads memory from /proc');
    // Made before there is a connection: it takes this process so long that it would count as dead.
    const bytes = make();
    const program = await Program.open();
    onTestFinished(() => program.close());
    await program.serve(env);
    const pid = program.agent?.pid ?? 0;
    const wire = await Wire.start(addressOf(program), { token: program.token });
    const begin = beginOf('lint', { bytes, size: bytes.length, sha256: sha256Of(bytes) });
    const before = memoryOf(pid).now;
    const open = await wire.request<Opened>('install.begin', begin);
    const isOver = (): boolean => wire.notifications('reset').length > 0;
    for (let at = 0; at < bytes.length && !isOver();) {
      const limit = await wire.until(() => isOver() || (limitOf(wire, open) > at && limitOf(wire, open)));
      if (limit === true) break;
      const next = Math.min(bytes.length, limit, at + 60_000);
      wire.frame(open.stream, at, bytes.subarray(at, next), next === bytes.length);
      at = next;
    }
    const { data } = await wire.refusal('install.commit', { operationId: begin.operationId });
    expect(data.code).toBe(code);
    expect(memoryOf(pid).peak - before).toBeLessThan(BOUND);
  });
});
