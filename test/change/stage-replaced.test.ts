import { mkdirSync, readdirSync, readlinkSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { Stager } from '../../agent/change/stage.ts';
import { makeRoom, yamlOf } from '../_kit/install-room.ts';
import { file, tar } from '../_kit/tar-builder.ts';

const BYTES = tar(file('plugin.yaml', yamlOf()), file('evil', 'x'), file('d/evil', 'x'));
/** The manifest, and no header of what comes after it. */
const FIRST = 1024;

const disks = {
  'by a path that leads to it whatever its name is': nodeDisk,
  'by its name, where there is no such path': { ...nodeDisk, within: () => undefined },
};

describe.each(Object.entries(disks))('a slot that is written %s', (_how, disk) => {
  function staging() {
    const room = makeRoom({}, disk);
    const slot = room.layout.slot('lint', '20260508T141530123Z-9f86d081');
    mkdirSync(slot);
    const stager = new Stager(room.context, slot, 'skip', false);
    stager.begin();
    return { slot, stager };
  }

  it.each(['a link', 'a directory'])('refuses the archive if %s is put in its place', (what) => {
    const { slot, stager } = staging();
    stager.write(BYTES.subarray(0, FIRST));
    const victim = `${slot}-victim`;
    mkdirSync(victim);
    renameSync(slot, `${slot}-aside`);
    if (what === 'a link') symlinkSync(victim, slot);
    else mkdirSync(slot);
    expect(() => {
      stager.write(BYTES.subarray(FIRST));
      stager.end();
    }).toThrow(/was replaced meanwhile/);
    stager.stop();
    expect([readdirSync(victim), readdirSync(slot)]).toEqual([[], []]);
  });

  it('is named as operators know it when something else lies where a file is to go', () => {
    const { slot, stager } = staging();
    mkdirSync(join(slot, 'evil'));
    expect(() => stager.write(BYTES)).toThrow(`${slot}/evil'`);
    stager.stop();
  });

  it.runIf(process.platform === 'linux')('is held open no longer than it is written', () => {
    const { slot, stager } = staging();
    const isOpen = (): boolean =>
      readdirSync('/proc/self/fd').some((fd) => {
        try {
          return readlinkSync(join('/proc/self/fd', fd)) === slot;
        } catch {
          return false;
        }
      });
    expect(isOpen()).toBe(true);
    stager.write(BYTES);
    expect(stager.end().files).toHaveLength(3);
    expect(isOpen()).toBe(false);
  });
});
