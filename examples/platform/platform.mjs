// A small platform: agents dial in, and people bring plugins to workspaces over HTTP.
//
//     PLATFORM_TOKEN=… node examples/platform/platform.mjs workspaces.json ./bundles 8080
//
// It listens on 127.0.0.1. SIGTERM and SIGINT end it.
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

import { acceptAgents, byToken, Fault, openBundle } from 'airlock/client';

const [workspacesFile, bundles, port = '0'] = process.argv.slice(2);
const platformToken = process.env.PLATFORM_TOKEN ?? '';
if (bundles === undefined || platformToken.length < 32) {
  process.stderr.write(
    'Usage: PLATFORM_TOKEN=… node platform.mjs <workspaces.json> <directory of bundles> [port]\n',
  );
  process.stderr.write('PLATFORM_TOKEN has at least 32 characters; "airlock token" makes one\n');
  process.exit(2);
}

const BUNDLE_MAX_BYTES = 100 * 1024 * 1024;
const NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/;

/** @param {string} event @param {object} more */
const say = (event, more) => process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);

/** What the platform knows about a workspace; it is read for each question, as from a database. */
async function workspaceOf(id) {
  const all = JSON.parse(await readFile(workspacesFile, 'utf8'));
  return NAME.test(id) && Object.hasOwn(all, id) ? all[id] : undefined;
}

/** The recorded bundles: those that a workspace has or is to have. */
const directoryOf = (id) => path.join(bundles, id);
const bundleOf = (id, plugin) => path.join(directoryOf(id), `${plugin}.tgz`);
const recorded = async (id) =>
  (await readdir(directoryOf(id)).catch(() => [])).map((file) => path.basename(file, '.tgz'));
const downloadOf = (id, plugin = ':name') => `/workspaces/${id}/plugins/${plugin}/download`;

const server = createServer((request, response) => void answer(request, response));

const agents = acceptAgents(server, {
  client: 'platform',
  authenticate: byToken(async (id) => [(await workspaceOf(id))?.token ?? []].flat()),
  // The three answers need what only the platform knows: what is external, and what was stopped.
  externalPull: async (id) => ((await workspaceOf(id))?.external === true ? downloadOf(id) : undefined),
  notRunning: async (id) =>
    (await workspaceOf(id))?.running === false ? 'the platform has stopped it' : undefined,
  onConnected: ({ workspace }) => {
    say('connected', { workspace });
    void inTurn(workspace, () => deliverRecorded(workspace));
  },
  onLost: (workspace, { message }) => say('lost', { workspace, why: message }),
  onEvent: (workspace, { type, data }) => say(type, { workspace, data }),
});

/** Changes of one workspace run one after another, so that an older bundle never comes after a newer one. */
const turns = new Map();
function inTurn(id, work) {
  const turn = (turns.get(id) ?? Promise.resolve()).then(work);
  const over = turn.catch((error) => say('failed', { workspace: id, why: String(error) }));
  turns.set(id, over);
  void over.then(() => turns.get(id) === over && turns.delete(id));
  return turn;
}

/** A workspace that starts gets what was recorded for it meanwhile. What it has already is present, and no byte is sent. */
async function deliverRecorded(id) {
  for (const plugin of await recorded(id)) {
    try {
      const bundle = await openBundle(bundleOf(id, plugin), { name: plugin });
      const { status } = await agents.agent(id).push(bundle, { source: 'platform' });
      say('delivered', { workspace: id, plugin, status });
    } catch (error) {
      say('failed', { workspace: id, plugin, why: error.message });
    }
  }
}

/** Delivers a bundle that has arrived in a file. @returns status and body of the answer. */
async function deliver(id, file, operationId) {
  const bundle = await openBundle(file);
  const { plugin } = bundle;
  const record = async () => {
    await mkdir(directoryOf(id), { recursive: true });
    await rename(file, bundleOf(id, plugin));
  };
  const agent = agents.agent(id);
  try {
    const reach = await agent.reach();
    if (reach.state === 'not-running') {
      await record();
      const detail = `The workspace is not running (${reach.why}): the plugin is recorded, and delivered when it starts`;
      return [200, { status: 'recorded', plugin, detail }];
    }
    // From here on the agent may be lost, and come back: the push goes on where it was.
    const installed = await agent.push(bundle, { operationId, source: 'platform' });
    await record();
    const { status, installId, pluginVersion, reload } = installed;
    if (status === 'present') {
      return [200, { status, plugin, installId, pluginVersion, detail: 'The workspace had it already' }];
    }
    const detail =
      reload.action === 'restart'
        ? 'Installed; the runtime takes it up when it is restarted'
        : 'Installed; the runtime takes it up without a restart';
    return [202, { status: 'delivered', plugin, installId, pluginVersion, reload, detail }];
  } catch (error) {
    // It cannot be pushed to, but it can come and fetch.
    if (error.code === 'RUNTIME_EXTERNAL') await record();
    throw error;
  }
}

async function postPlugin(id, request) {
  const operationId = request.headers['idempotency-key'] ?? randomUUID();
  await mkdir(bundles, { recursive: true });
  const file = path.join(bundles, `.arriving-${randomUUID()}`);
  let bytes = 0;
  const counted = async function* counted(chunks) {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > BUNDLE_MAX_BYTES) {
        throw new Fault('TOO_LARGE', `The bundle has more than ${BUNDLE_MAX_BYTES} bytes`);
      }
      yield chunk;
    }
  };
  try {
    await pipeline(request, counted, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
    return await inTurn(id, () => deliver(id, file, operationId));
  } finally {
    await rm(file, { force: true });
  }
}

async function getPlugins(id) {
  const { session } = agents.agent(id);
  const installed = session === undefined ? null : (await session.call('plugin.list', {})).plugins.items;
  return [200, { recorded: await recorded(id), connected: session !== undefined, installed }];
}

async function download(id, plugin, response) {
  const file = NAME.test(plugin) ? bundleOf(id, plugin) : '';
  const { size } = await stat(file).catch(() => {
    throw new Fault('NOT_FOUND', `No plugin "${plugin}" is recorded for this workspace`);
  });
  response.writeHead(200, { 'content-type': 'application/gzip', 'content-length': size });
  await pipeline(createReadStream(file), response);
}

const digest = (text) => createHash('sha256').update(text).digest();
const isShown = (request, tokens) => {
  const shown = digest(/^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '');
  return tokens.filter((token) => timingSafeEqual(shown, digest(token))).length > 0;
};

async function route(request, response) {
  const [, root, id = '', plugins, plugin, what, ...rest] = new URL(
    request.url,
    'http://platform',
  ).pathname.split('/');
  const workspace = root === 'workspaces' && plugins === 'plugins' ? await workspaceOf(id) : undefined;
  const isDownload = plugin !== undefined && what === 'download' && rest.length === 0;
  // A workspace may fetch its own plugins with its own token.
  const tokens = [platformToken, ...(isDownload ? [workspace?.token ?? []].flat() : [])];
  if (!isShown(request, tokens)) throw new Fault('UNAUTHENTICATED', 'The token is missing or not known');
  if (workspace === undefined) throw new Fault('NOT_FOUND', 'There is no such workspace');
  if (isDownload && request.method === 'GET') return download(id, plugin, response);
  if (plugin === undefined && request.method === 'GET') return getPlugins(id);
  if (plugin === undefined && request.method === 'POST') return postPlugin(id, request);
  throw new Fault('NOT_FOUND', 'There is nothing at this path');
}

async function answer(request, response) {
  try {
    const answered = await route(request, response);
    if (answered !== undefined) return send(response, ...answered);
  } catch (error) {
    if (!(error instanceof Fault)) say('failed', { why: String(error) });
    const fault = error instanceof Fault ? error : new Fault('INTERNAL', 'The platform failed');
    // Who cannot be reached now may be reached soon: try again. Every other fault says what to do.
    const later = fault.retry === 'never' ? {} : { 'retry-after': '5' };
    send(response, fault.status, fault.toData(), fault.status === 503 ? later : {});
  }
}

function send(response, status, body, headers = {}) {
  if (response.headersSent) return response.destroy();
  // A body that was refused half-way is not read to its end.
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

server.listen(Number(port), '127.0.0.1', () => say('listening', { port: server.address().port }));

const end = async () => {
  server.close();
  await agents.close();
  server.closeAllConnections();
};
process.once('SIGTERM', () => void end()).once('SIGINT', () => void end());
