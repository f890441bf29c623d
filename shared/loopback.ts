/** The names and addresses of the loopback. */

const BYTE = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
const ADDRESS = new RegExp(String.raw`^127(?:\.${BYTE}){3}$`);

/** Whether an address or name is that of the loopback. */
export function isLoopback(name: string): boolean {
  const bare = name.replaceAll(/[[\]]/g, '').replace(/^::ffff:/, '');
  return bare === 'localhost' || bare.endsWith('.localhost') || bare === '::1' || ADDRESS.test(bare);
}
