/** What the agent answers to plain HTTP requests: whether it lives, whether it is ready, its metrics, and its status page. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

import { Fault } from '../../shared/api/fault.ts';
import type { Readiness } from '../../shared/api/maintenance.ts';
import { CONNECT_PATH, HEALTH_PATH } from '../../shared/api/rpc.ts';
import type { Log } from '../log.ts';
import type { Heard } from '../metrics/facts.ts';
import type { Failures } from './rate-limit.ts';
import {
  type PageAdmission,
  type PageDoor,
  type Place,
  type Refused,
  type UpgradePolicyOptions,
  judgePage,
  pathOf,
} from './upgrade-policy.ts';

/** What the pages say. */
export type Probes = {
  /** The metrics as text, and its media type. */
  metrics: () => Promise<{ type: string; text: string }>;
  ready: () => Promise<Readiness>;
  /** The status page, and what a browser has to know of it. */
  page: () => Promise<{ type: string; text: string; headers: Readonly<Record<string, string>> }>;
};

export type PagesOptions = UpgradePolicyOptions & {
  probes: Probes;
  /** Who sees the status page: who is on this machine or has a token, only who has one, nobody. */
  statusPage: 'on' | 'token' | 'off';
  hear: (heard: Heard) => void;
  log: Log;
};

type Page = { status: number; type: string; body: string; headers?: Readonly<Record<string, string>> };

const JSON_TYPE = 'application/json';
const json = (status: number, value: object, headers = {}): Page => ({
  status,
  type: JSON_TYPE,
  body: `${JSON.stringify(value)}\n`,
  headers,
});

/** A browser asks for a name, which is not looked at, and a password. */
const BASIC = 'Basic realm="Airlock: the password is a token", charset="UTF-8"';

const ALIVE = json(200, { status: 'ok' });
const NOTHING = json(404, { error: 'This server speaks airlock.v1 over a WebSocket' });
const UPGRADE = json(
  426,
  { error: 'This server speaks airlock.v1 over a WebSocket' },
  { upgrade: 'websocket', connection: 'upgrade, close' },
);
const METHODS = json(405, { error: 'Ask with GET or HEAD' }, { allow: 'GET, HEAD', connection: 'close' });

type Asked = PageDoor & { answer: (probes: Probes, trusted: boolean) => Promise<Page> };

const PAGES: Readonly<Record<string, Page | Asked>> = {
  [HEALTH_PATH]: ALIVE,
  '/healthz': ALIVE,
  '/readyz': {
    without: 'everybody',
    basic: false,
    answer: async ({ ready }, trusted) => {
      const readiness = await ready();
      return json(readiness.status === 'ok' ? 200 : 503, trusted ? readiness : { status: readiness.status });
    },
  },
  '/metrics': {
    without: 'here',
    basic: false,
    answer: async ({ metrics }) => {
      const { type, text } = await metrics();
      return { status: 200, type, body: text };
    },
  },
};

const STATUS_PAGE: Asked = {
  without: 'here',
  basic: true,
  answer: async ({ page }) => {
    const { type, text, headers } = await page();
    return { status: 200, type, body: text, headers };
  },
};

/** The pages of an agent by their paths. */
const pagesOf = (statusPage: PagesOptions['statusPage']): Readonly<Record<string, Page | Asked>> => ({
  ...PAGES,
  ...(statusPage === 'off'
    ? {}
    : { '/': { ...STATUS_PAGE, without: statusPage === 'on' ? 'here' : 'nobody' } }),
});

/** Answers requests that are no upgrades. @param place where the server listens, once it does. */
export function answerPages(options: PagesOptions, failures: Failures, place: () => Place): RequestListener {
  const { probes, hear, log } = options;
  const pages = pagesOf(options.statusPage);
  const pageOf = async (request: IncomingMessage): Promise<Page> => {
    const path = pathOf(request);
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page === undefined) {
      return path === CONNECT_PATH ? UPGRADE : NOTHING;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return METHODS;
    }
    if ('status' in page) {
      return page;
    }
    await options.refresh();
    const from = { address: request.socket.remoteAddress, place: place() };
    const admission: PageAdmission = judgePage(request, from, options, failures, page);
    if ('refused' in admission) {
      hearRefused(admission, hear);
      if (admission.unknown && admission.log) {
        log.info({ remote: from.address, why: admission.refused.message }, 'page refused');
      }
      return refusalOf(admission.refused, page.basic);
    }
    return page.answer(probes, admission.trusted);
  };
  return (request, response) => {
    pageOf(request)
      .catch((error: unknown) => {
        log.error({ err: error }, 'a page could not be answered');
        return refusalOf(
          new Fault('INTERNAL', 'The page could not be made', { hint: 'See the log of the agent' }),
        );
      })
      .then((page) => send(response, page))
      // Only a socket that has just closed can throw here.
      .catch(() => response.destroy());
  };
}

/** Tells the metrics of a refused request. */
export function hearRefused({ refused, unknown }: Refused, hear: (heard: Heard) => void): void {
  hear({ type: 'request.refused', data: { code: refused.code } });
  if (unknown) {
    hear({ type: 'authentication.failed' });
  }
}

function refusalOf(fault: Fault, basic = false): Page {
  const { status, retryAfter } = fault;
  return json(status, fault.toData(), {
    connection: 'close',
    ...(status === 401 ? { 'www-authenticate': basic ? BASIC : 'Bearer' } : {}),
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  });
}

function send(response: ServerResponse, { status, type, body, headers }: Page): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  });
  response.end(body);
}
