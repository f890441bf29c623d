/** docs/schema/*.json: the files below a root, the manifests, the frames and the events, as JSON Schemas. */
import * as z from 'zod';

import { eventData, eventSchema, eventTypes } from '../../shared/api/events.ts';
import { readinessSchema } from '../../shared/api/maintenance.ts';
import { cancelSchema, helloSchema, resetSchema, windowSchema } from '../../shared/api/session.ts';
import { failureSchema, notificationSchema, requestSchema, successSchema } from '../../shared/api/rpc.ts';
import { intentSchema } from '../../shared/format/intent.ts';
import { loadedSchema } from '../../shared/format/loaded.ts';
import { lockFileSchema } from '../../shared/format/lock-file.ts';
import { manifestSchemas } from '../../shared/format/manifest.ts';
import { markerSchema } from '../../shared/format/marker.ts';
import { historyLineSchema } from '../../shared/format/history.ts';
import { receiptSchema } from '../../shared/format/receipt.ts';
import { stateSchema } from '../../shared/format/state.ts';
import { jsonSchemaOf } from './json-schema.ts';

const event = z.union(
  eventTypes.map((type) => eventSchema.extend({ type: z.literal(type), data: eventData[type] })),
);

const notifications = {
  hello: helloSchema,
  event: eventSchema,
  window: windowSchema,
  reset: resetSchema,
  cancel: cancelSchema,
};

const frame = z.union([
  requestSchema,
  successSchema,
  failureSchema,
  ...Object.entries(notifications).map(([method, params]) =>
    notificationSchema.extend({ method: z.literal(method), params }),
  ),
]);

type Document = { schema: z.ZodType; title: string };

const documents: Record<string, Document> = {
  marker: { schema: markerSchema, title: '<root>/<name>/.complete: the tree is complete' },
  receipt: {
    schema: receiptSchema,
    title: '<root>/.receipts/<name>.<stamp>.json: the files of an installed version',
  },
  history: {
    schema: historyLineSchema,
    title: '<root>/.history/<name>.jsonl: one line of the history of a plugin',
  },
  intent: {
    schema: intentSchema,
    title: '<root>/.staging/<name>.<stamp>.json: a change in progress, and how far it has come',
  },
  state: {
    schema: stateSchema,
    title: '<root>/.state/<name>.json: the record about a plugin beside its files',
  },
  loaded: {
    schema: loadedSchema,
    title: '<root>/.loaded/<name>.json: the version that the runtime has loaded',
  },
  'lock-file': {
    schema: lockFileSchema,
    title: 'airlock.lock: the plugins that there are to be',
  },
  'manifest.yaml': { schema: manifestSchemas['plugin.yaml'], title: 'plugin.yaml: the manifest of a plugin' },
  'manifest.agent-plugins': {
    schema: manifestSchemas['plugin.json'],
    title: 'plugin.json: the manifest of a plugin of Agent Plugins 1.0.0',
  },
  'manifest.claude': {
    schema: manifestSchemas['.claude-plugin/plugin.json'],
    title: '.claude-plugin/plugin.json: the manifest of a plugin of Claude Code',
  },
  'manifest.skill': {
    schema: manifestSchemas['SKILL.md'],
    title: 'SKILL.md: the front matter of a plugin that is one skill',
  },
  frame: { schema: frame, title: 'A text frame of airlock.v1' },
  readiness: { schema: readinessSchema, title: 'The answer of /readyz' },
  event: { schema: event, title: 'What an agent sends in the notification "event"' },
};

/** File name → text. */
export function schemaFiles(): Map<string, string> {
  return new Map(
    Object.entries(documents).map(([name, { schema, title }]) => {
      const { $schema, ...rest } = jsonSchemaOf(schema);
      return [`${name}.json`, `${JSON.stringify({ $schema, title, ...rest }, null, 2)}\n`];
    }),
  );
}
