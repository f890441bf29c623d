/** Unpacks a bundle as an install does, and installs nothing: what would an agent say? */
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { Finding } from '../../shared/rule/plugin/finding.ts';
import { createIgnore } from '../../shared/format/tree.ts';
import { Unpacker } from '../archive/decompress.ts';
import { nodeDisk } from '../disk/node-disk.ts';
import type { StageContext } from '../store/context.ts';
import { type LinkPolicy, Stager } from './stage.ts';
import { validate } from './validate.ts';

export type ValidateBundleOptions = {
  policy: StageContext['policy'];
  /** Undefined: the one in the manifest. */
  name: string | undefined;
  links: LinkPolicy;
  signal: AbortSignal;
};

/** What an agent says of a bundle. */
export type BundleVerdict = {
  /** Why it would be refused. */
  fault: Fault | undefined;
  /** Whether the directory holds the whole plugin now, also one that would be refused for its manifest. */
  isWhole: boolean;
  /** What an agent would warn of. */
  findings: Finding[];
};

/**
 * Unpacks a bundle into a directory of the caller, by the rules and under the limits of an install, without syncs.
 *
 * @param directory an empty directory, which the caller removes.
 * @throws errors of the disk and of reading the bundle.
 */
export async function validateBundle(
  bundle: AsyncIterable<Buffer>,
  directory: string,
  { policy, name, links, signal }: ValidateBundleOptions,
): Promise<BundleVerdict> {
  const context = { disk: nodeDisk, policy, ignore: createIgnore(policy.ignore) };
  const stager = new Stager(context, directory, links, false);
  const unpacker = new Unpacker(
    (plain) => stager.write(plain),
    policy.maxRatio,
    () => stager.ended,
  );
  let findings: Finding[] = [];
  try {
    stager.begin();
    for await (const bytes of bundle) {
      if (signal.aborted) throw stopped();
      if (unpacker.received + bytes.length > policy.maxPacked) throw tooLarge(policy.maxPacked);
      await unpacker.write(bytes);
      if (unpacker.failure !== undefined) break;
    }
    await unpacker.end();
    if (unpacker.failure !== undefined) throw stager.blame(unpacker.failure);
    const staged = stager.end();
    ({ findings } = staged);
    ({ findings } = validate(context, directory, staged, { plugin: name }));
    return { fault: undefined, isWhole: true, findings };
  } catch (error) {
    if (signal.aborted) throw stopped();
    const fault = toFault(error, 'Unpacking the bundle');
    if (!isAboutBundle(fault)) throw error;
    return { fault, isWhole: fault.code.startsWith('MANIFEST_'), findings };
  } finally {
    unpacker.stop();
    stager.stop();
  }
}

/** Any other fault, such as that of a full disk, says nothing of the bundle. */
const isAboutBundle = ({ code }: Fault): boolean =>
  /^(?:ARCHIVE|LIMIT|MANIFEST)_/.test(code) || code === 'TOO_LARGE' || code === 'RUNTIME_UNSUPPORTED';

const stopped = (): Fault => new Fault('CANCELLED', 'Validating the bundle was stopped');

const tooLarge = (most: number): Fault =>
  new Fault('TOO_LARGE', `The bundle has more than ${most} bytes`, {
    hint: 'Leave out what the plugin does not need; the owner can raise AIRLOCK_MAX_PACKED',
  });
