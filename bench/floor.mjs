// The least that an install can take in one thread: `node bench/floor.mjs BUNDLE DIRECTORY` reads a .tgz, unpacks it, hashes
// the bundle and each file, and writes them. No socket, no rule, no intent, no receipt, nothing is read back.
import { createHash, hash } from 'node:crypto';
import { closeSync, constants, createReadStream, mkdirSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createGunzip } from 'node:zlib';

const BLOCK = 512;
const FLAGS = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_WRONLY;

const textAt = (bytes, at, length) => {
  const end = bytes.indexOf(0, at);
  return bytes.toString('utf8', at, end === -1 ? at + length : Math.min(end, at + length));
};

async function unpack(file, to) {
  const whole = createHash('sha256');
  const packed = createReadStream(file, { highWaterMark: 256 * 1024 });
  packed.on('data', (bytes) => whole.update(bytes));
  const made = new Set(['.']);
  const makeDirectory = (name) => {
    if (made.has(name)) return;
    makeDirectory(path.posix.dirname(name));
    mkdirSync(`${to}/${name}`);
    made.add(name);
  };
  const writeFile = (name, bytes) => {
    makeDirectory(path.posix.dirname(name));
    const fd = openSync(`${to}/${name}`, FLAGS, 0o644);
    writeSync(fd, bytes);
    closeSync(fd);
    return hash('sha256', bytes, 'hex');
  };
  const digests = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of packed.pipe(createGunzip({ chunkSize: 1024 * 1024 }))) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (at + BLOCK <= bytes.length) {
      const size = Number.parseInt(textAt(bytes, at + 124, 12) || '0', 8);
      const next = at + BLOCK + Math.ceil(size / BLOCK) * BLOCK;
      if (next > bytes.length) break;
      const [prefix, name] = [textAt(bytes, at + 345, 155), textAt(bytes, at, 100)];
      const full = (prefix === '' ? name : `${prefix}/${name}`).replace(/\/$/, '');
      const type = bytes[at + 156];
      if (type === 0x35) makeDirectory(full);
      else if (type === 0x30) digests.push(writeFile(full, bytes.subarray(at + BLOCK, at + BLOCK + size)));
      at = next;
    }
    rest = bytes.subarray(at);
  }
  return { files: digests.length, sha256: whole.digest('hex') };
}

export const floorFile = fileURLToPath(import.meta.url);

if (process.argv[1] === floorFile) {
  const [, , file, to] = process.argv;
  console.log(JSON.stringify(await unpack(file, to)));
}
