import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { validateBundle } from '../../agent/change/validate-bundle.ts';
import { Fault, type FaultCode } from '../../shared/api/fault.ts';
import { POLICY } from '../_kit/install-room.ts';

async function verdictOf(code: FaultCode): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'airlock-verdict-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const bundle = (async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from([0x1f, 0x8b]);
    throw new Fault(code, 'Writing failed');
  })();
  const { signal } = new AbortController();
  const { fault } = await validateBundle(bundle, directory, {
    policy: POLICY,
    name: undefined,
    links: 'copy',
    signal,
  });
  return `verdict ${fault?.code ?? ''}`;
}

// Was a bug: a full disk was an invalid manifest.
it('a fault of the disk is no verdict about the bundle', async () => {
  await expect(verdictOf('NO_SPACE')).rejects.toMatchObject({ code: 'NO_SPACE' });
  await expect(verdictOf('READ_ONLY')).rejects.toMatchObject({ code: 'READ_ONLY' });
  await expect(verdictOf('ARCHIVE_CORRUPT')).resolves.toBe('verdict ARCHIVE_CORRUPT');
});
