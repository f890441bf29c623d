/** A real browser: Chromium without a window, spoken to over its pipe for debuggers. It keeps nothing and asks nobody. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';

import { type TestContext, onTestFinished } from 'vitest';
import * as z from 'zod';

import { scratch } from './agent.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--hide-scrollbars',
  '--remote-debugging-pipe',
];

/**
 * Skips a test where there is no browser, with the reason, or fails it where `AIRLOCK_REQUIRE_ROOT_TESTS=1` says that it must run.
 */
export function needBrowser({ skip }: Pick<TestContext, 'skip'>): void {
  if (existsSync(CHROMIUM)) return;
  const why = `there is no ${CHROMIUM} (Debian: apt-get install chromium)`;
  if (process.env['AIRLOCK_REQUIRE_ROOT_TESTS'] === '1') throw new Error(why);
  skip(why);
}

const messageSchema = z.object({
  id: z.number().optional(),
  method: z.string().optional(),
  params: z.unknown().optional(),
  result: z.unknown().optional(),
  error: z.object({ message: z.string() }).optional(),
  sessionId: z.string().optional(),
});
type Message = z.infer<typeof messageSchema>;

const targetSchema = z.object({ targetId: z.string() });
const sessionSchema = z.object({ sessionId: z.string() });
const valueSchema = z.object({
  result: z.object({ value: z.unknown().optional() }),
  exceptionDetails: z.object({ text: z.string() }).optional(),
});
const dataSchema = z.object({ data: z.string() });
const pausedSchema = z.object({ requestId: z.string() });
const entrySchema = z.object({ entry: z.object({ text: z.string() }) });

type Send = (method: string, params?: object) => Promise<unknown>;

/** How a tab shows a page. `javascript: false`: as a browser that has it switched off. */
export type TabOptions = {
  width?: number;
  height?: number;
  dark?: boolean;
  javascript?: boolean;
  /** What a person types the first time that the browser asks; then, or undefined: it cancels. */
  login?: { username: string; password: string } | undefined;
};

/** A browser that ends with the test. */
export class Browser {
  readonly #child: ChildProcess;
  readonly #out: Writable;
  readonly #waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  readonly #hearers = new Set<(message: Message) => void>();
  #ids = 0;
  #rest = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    const [, , , out, incoming] = child.stdio;
    // They were asked for as pipes.
    this.#out = out as Writable;
    const pipe = incoming as Readable;
    this.#out.on('error', () => undefined);
    pipe.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
    pipe.on('close', () => {
      this.#waiting.forEach(({ reject }) => reject(new Error('The browser has ended')));
    });
  }

  static async open(): Promise<Browser> {
    const folder = await scratch();
    // What the browser keeps besides its profile goes there too.
    const env = { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder, LANG: 'C.UTF-8' };
    const child = spawn(CHROMIUM, [...FLAGS, `--user-data-dir=${folder}/profile`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      env,
    });
    const browser = new Browser(child);
    onTestFinished(() => browser.#close());
    await browser.#send(undefined, 'Browser.getVersion', {});
    return browser;
  }

  async tab(options: TabOptions = {}): Promise<Tab> {
    // Each tab has cookies, logins and a store of its own.
    const { browserContextId } = z
      .object({ browserContextId: z.string() })
      .parse(await this.#send(undefined, 'Target.createBrowserContext', {}));
    const { targetId } = targetSchema.parse(
      await this.#send(undefined, 'Target.createTarget', { url: 'about:blank', browserContextId }),
    );
    const { sessionId } = sessionSchema.parse(
      await this.#send(undefined, 'Target.attachToTarget', { targetId, flatten: true }),
    );
    const tab = new Tab((method, params = {}) => this.#send(sessionId, method, params));
    this.#hearers.add((message) => message.sessionId === sessionId && tab.hear(message));
    await tab.begin(options);
    return tab;
  }

  #send(sessionId: string | undefined, method: string, params: object): Promise<unknown> {
    this.#ids += 1;
    const id = this.#ids;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#out.write(`${JSON.stringify({ id, sessionId, method, params })}\0`);
    });
  }

  #hear(text: string): void {
    const parts = (this.#rest + text).split('\0');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) {
      const message = messageSchema.parse(JSON.parse(part));
      const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
      if (waiting === undefined || message.id === undefined) {
        this.#hearers.forEach((hear) => hear(message));
      } else {
        this.#waiting.delete(message.id);
        if (message.error === undefined) waiting.resolve(message.result);
        else waiting.reject(new Error(message.error.message));
      }
    }
  }

  async #close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      await this.#send(undefined, 'Browser.close', {}).catch(() => this.#child.kill('SIGKILL'));
      await ended;
    }
  }
}

/** One tab of a browser. */
export class Tab {
  readonly #send: Send;
  readonly #loads: (() => void)[] = [];
  /** What the browser complained about, such as a script that a policy forbids. */
  readonly complaints: string[] = [];
  /** How often it was asked for a name and a password. */
  asked = 0;
  #login: TabOptions['login'];

  constructor(send: Send) {
    this.#send = send;
  }

  async begin({
    width = 1100,
    height = 900,
    dark = false,
    javascript = true,
    login,
  }: TabOptions): Promise<void> {
    this.#login = login;
    await this.#send('Page.enable');
    await this.#send('Log.enable');
    await this.#send('Fetch.enable', { handleAuthRequests: true });
    await this.#send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    const value = dark ? 'dark' : 'light';
    await this.#send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] });
    if (!javascript) await this.#send('Emulation.setScriptExecutionDisabled', { value: true });
  }

  hear({ method, params }: Message): void {
    const then = (sent: Promise<unknown>): void => void sent.catch(() => undefined);
    if (method === 'Page.loadEventFired') {
      this.#loads.splice(0).forEach((loaded) => loaded());
    } else if (method === 'Log.entryAdded') {
      this.complaints.push(entrySchema.parse(params).entry.text);
    } else if (method === 'Fetch.requestPaused') {
      then(this.#send('Fetch.continueRequest', { requestId: pausedSchema.parse(params).requestId }));
    } else if (method === 'Fetch.authRequired') {
      this.asked += 1;
      const response = this.#login === undefined ? 'CancelAuth' : 'ProvideCredentials';
      const authChallengeResponse = { response, ...this.#login };
      this.#login = undefined;
      const { requestId } = pausedSchema.parse(params);
      then(this.#send('Fetch.continueWithAuth', { requestId, authChallengeResponse }));
    }
  }

  /** Resolves when the page is there. */
  async goTo(url: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => this.#loads.push(resolve));
    await this.#send('Page.navigate', { url });
    await loaded;
  }

  /** The value of an expression in the page; also where its own scripts do not run. */
  async value(expression: string): Promise<unknown> {
    const answer = await this.#send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    const { result, exceptionDetails } = valueSchema.parse(answer);
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.text);
    return result.value;
  }

  /** What a person reads, of the whole page or of a part of it. */
  text = async (selector = 'body'): Promise<string> =>
    z.string().parse(await this.value(`document.querySelector(${JSON.stringify(selector)}).innerText`));

  /** What the window shows, in PNG. */
  async picture(): Promise<Buffer> {
    const shot = await this.#send('Page.captureScreenshot', { format: 'png' });
    return Buffer.from(dataSchema.parse(shot).data, 'base64');
  }
}
