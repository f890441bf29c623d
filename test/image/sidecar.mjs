// One container of the image under test: started as a workspace would start it, reached from outside.
import net from 'node:net';

import { lastWords, until } from './command.mjs';

/** As strict as a cluster may be: no capabilities, no new ones, nothing writable but the volume, little memory. */
const STRICT = [
  '--read-only',
  '--cap-drop=ALL',
  '--security-opt=no-new-privileges',
  '--ipc=none',
  '--memory=256m',
];
const LISTEN_PORT = 7423;

export class Sidecar {
  /** The URL for `--to`. */
  url = '';
  /** How the container is reached: over a published port, or, where those do not work, on the host's network. */
  network = 'a published port';

  /**
   * @param {import('./engine.mjs').Engine} engine
   * @param {{image: string, name: string, volume: string, token: string}} what
   */
  constructor(engine, { image, name, volume, token }) {
    this.docker = engine.docker;
    this.image = image;
    this.name = name;
    this.volume = volume;
    this.token = token;
  }

  /** Creates the container and waits until its own health check says "healthy" and it answers from outside. */
  async start() {
    const failure = await this.#startPublished();
    if (failure === undefined) return;
    await this.remove();
    this.network = 'the network of the host';
    const port = await freePort();
    await this.#run('--network', 'host', '-e', `AIRLOCK_LISTEN=127.0.0.1:${port}`);
    await this.healthy();
    if (!(await answers(port))) {
      throw new Error(`${failure}; on the network of the host it does not answer either`);
    }
    this.url = `ws://127.0.0.1:${port}`;
  }

  async #startPublished() {
    await this.#run('-p', `127.0.0.1::${LISTEN_PORT}`);
    await this.healthy();
    return this.#findPort();
  }

  /** @returns why the published port does not work, or undefined */
  async #findPort() {
    const published = await this.docker('port', this.name, `${LISTEN_PORT}/tcp`);
    const port = Number(/:(\d+)\s*$/.exec(published.stdout.trim())?.[1] ?? 0);
    this.url = `ws://127.0.0.1:${port}`;
    return (await answers(port))
      ? undefined
      : `Its port ${LISTEN_PORT}, published as ${port}, does not answer`;
  }

  async #run(...network) {
    const options = [
      '-d',
      '--name',
      this.name,
      '-v',
      `${this.volume}:/configs`,
      '-e',
      `AIRLOCK_TOKEN=${this.token}`,
    ];
    // The image asks every 15 s: right for a fleet, long for a test.
    const started = await this.docker(
      'run',
      ...options,
      '--health-interval',
      '1s',
      ...STRICT,
      ...network,
      this.image,
    );
    if (started.code !== 0) throw new Error(`Starting the container failed:\n${lastWords(started)}`);
  }

  async healthy() {
    const format = '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}';
    let state = '';
    const healthy = await until(async () => {
      state = (await this.docker('inspect', this.name, '--format', format)).stdout.trim();
      return state === 'running healthy' || !state.startsWith('running') ? state : undefined;
    }, 60);
    if (healthy !== 'running healthy') {
      throw new Error(
        `The container is "${state}", not healthy:\n${lastWords(await this.docker('logs', this.name))}`,
      );
    }
  }

  async restart() {
    const restarted = await this.docker('restart', '-t', '20', this.name);
    if (restarted.code !== 0) throw new Error(`Restarting the container failed:\n${lastWords(restarted)}`);
    await this.healthy();
    // Docker may have chosen another port.
    if (this.network === 'a published port') await this.#findPort();
  }

  /** Stops it; says with which exit code it ended and how long that took. */
  async stop() {
    const stopped = await this.docker('stop', '-t', '20', this.name);
    const state = await this.docker('inspect', this.name, '--format', '{{.State.ExitCode}}');
    return { code: Number(state.stdout.trim() || Number.NaN), seconds: stopped.seconds };
  }

  /** Runs a program for Node inside, which prints JSON. @param {string} script */
  async inside(script) {
    const ran = await this.docker('exec', this.name, 'node', '--eval', script);
    if (ran.code !== 0) throw new Error(`Looking inside the container failed:\n${lastWords(ran)}`);
    return JSON.parse(ran.stdout);
  }

  async logs() {
    const { stdout, stderr } = await this.docker('logs', this.name);
    return stdout + stderr;
  }

  async remove() {
    await this.docker('rm', '-f', this.name);
  }
}

async function answers(port) {
  const health = `http://127.0.0.1:${port}/v1/health`;
  const answer = await until(
    () =>
      fetch(health, { signal: AbortSignal.timeout(2000) }).then(
        (response) => response.ok || undefined,
        () => undefined,
      ),
    5,
  );
  return answer === true;
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
