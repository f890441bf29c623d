/** docs/protocol-examples.md: recorded messages as a page, with what differs from run to run replaced. */
import { type Event, eventTypes } from '../../shared/api/events.ts';
import { Fault, faultCodes } from '../../shared/api/fault.ts';
import { type MethodName, methods } from '../../shared/api/methods.ts';
import type { Recorded } from './example-conversation.ts';
import { otherExamples } from './example-script.ts';

/** Fields whose value differs from run to run, or from machine to machine, and what the page shows. */
const SHOWN: Readonly<Record<string, unknown>> = {
  agent: '0.1.0',
  capabilities: ['gzip', 'zstd', 'resume', 'delta'],
  seq: 42,
  free: 50_000_000_000,
  shares: false,
  // Digests of records that name times.
  receipt: `sha256:${'5'.repeat(64)}`,
  head: `sha256:${'6'.repeat(64)}`,
  millis: 1.5,
  swap: 'exchange',
  durability: 'syncfs',
  locks: 'flock',
  // What a doctor finds differs from machine to machine; this is some of it.
  level: 'warning',
  checks: [
    { check: 'root', level: 'ok', found: '"/configs/plugins" is a directory on ext4' },
    {
      check: 'exchange',
      level: 'warning',
      found: 'Directories cannot be exchanged: koffi is not there',
      why: 'A plugin is absent for a moment during an update; a loader waits meanwhile, and recovery closes a gap that a crash leaves',
      fix: 'Install koffi beside airlock.mjs (npm install koffi), or use the image, which brings it',
    },
  ],
  settings: [
    { flag: '--root', env: 'AIRLOCK_ROOT', value: '/configs/plugins', from: 'variable' },
    { env: 'AIRLOCK_TOKEN', value: '(set, and not shown)', from: 'variable' },
    { flag: '--keep', env: 'AIRLOCK_KEEP', value: '1', from: 'default' },
  ],
};

const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;
const STAMP = /\d{8}T\d{9}Z-[0-9a-f]{8}/g;
const LOOPBACK = /http:\/\/127\.0\.0\.1:\d+/g;

/** Replaces what differs from run to run, the same value by the same value. */
export class Replacer {
  readonly #fixed: Readonly<Record<string, string>>;
  readonly #stamps = new Map<string, string>();

  /** @param fixed texts such as the root, and what the page shows for them. */
  constructor(fixed: Readonly<Record<string, string>>) {
    this.#fixed = fixed;
  }

  replace(value: unknown): unknown {
    if (typeof value === 'string') return this.#text(value);
    if (Array.isArray(value)) return value.map((item) => this.replace(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        key,
        key in SHOWN && !isGiven(key, item, value) ? SHOWN[key] : this.replace(item),
      ]),
    );
  }

  #text(text: string): string {
    let shown = text;
    for (const [from, to] of Object.entries(this.#fixed)) shown = shown.replaceAll(from, to);
    return shown
      .replaceAll(TIME, '2026-05-08T14:15:30.123Z')
      .replaceAll(LOOPBACK, 'http://127.0.0.1:8080')
      .replaceAll(STAMP, (stamp) => this.#stamp(stamp));
  }

  /** Their order is kept, and so is the part that comes from the bundle. */
  #stamp(stamp: string): string {
    const minute = String(this.#stamps.size % 60).padStart(2, '0');
    const hour = String(14 + Math.floor(this.#stamps.size / 60)).padStart(2, '0');
    const shown = this.#stamps.get(stamp) ?? `20260508T${hour}${minute}30123Z${stamp.slice(-9)}`;
    this.#stamps.set(stamp, shown);
    return shown;
  }
}

/** Values of these names that the script itself has chosen, the numbers of lines of a history, and the levels of plugins. */
const isGiven = (key: string, value: unknown, of: object): boolean =>
  (key === 'seq' && (value === 41 || 'outcome' in of)) || (key === 'level' && !('settings' in of));

const WIDTH = 130;

/** JSON on one line if it fits, else a line for each field. */
function laidOut(value: unknown, indent: string, taken: number): string {
  const line = JSON.stringify(value);
  if (line.length + taken <= WIDTH || typeof value !== 'object' || value === null) return line;
  const deeper = `${indent}  `;
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const parts = Object.entries(value).map(([key, item]) => {
    const name = Array.isArray(value) ? '' : `${JSON.stringify(key)}: `;
    return `${deeper}${name}${laidOut(item, deeper, deeper.length + name.length + 1)}`;
  });
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`;
}

const HEADER_BYTES = 16;
const SHOWN_BYTES = 40;

function binaryText(bytes: Buffer): string {
  const header = bytes.subarray(0, HEADER_BYTES).toString('hex').replaceAll(/../g, '$& ').trimEnd();
  const data = bytes.subarray(HEADER_BYTES);
  const what = data.length <= SHOWN_BYTES && /^[\x20-\x7e]*$/.test(data.toString('latin1'));
  return `(binary) ${header}${what ? ` and ${JSON.stringify(data.toString('latin1'))}` : ` and ${data.length} bytes`}`;
}

/** Frames, each after `>` (of the client) or `<` (of the agent). */
export function block(recorded: readonly Recorded[], replacer: Replacer): string {
  const lines = recorded.map((frame) => {
    const text =
      'binary' in frame ? binaryText(frame.binary) : laidOut(replacer.replace(frame.json), '  ', 2);
    return `${frame.from} ${text}`;
  });
  return `\`\`\`\n${lines.join('\n')}\n\`\`\``;
}

export type Examples = {
  methods: ReadonlyMap<MethodName, readonly Recorded[]>;
  others: ReadonlyMap<string, readonly Recorded[]>;
  events: readonly Event[];
};

/** The whole page. @throws Error for a method or a type of events without an example. */
export function examplesPage(examples: Examples, replacer: Replacer): string {
  const methodParts = Object.entries(methods).map(([name, { summary }]) => {
    const recorded = examples.methods.get(name as MethodName);
    if (recorded === undefined) {
      throw new Error(`There is no example of "${name}" in test/_kit/example-script.ts`);
    }
    return `### ${name}\n\n${summary}.\n\n${block(recorded, replacer)}`;
  });
  const otherParts = Object.entries(otherExamples).map(
    ([title, { about }]) =>
      `### ${title}\n\n${about === '' ? '' : `${about}\n\n`}${block(examples.others.get(title) ?? [], replacer)}`,
  );
  const codeRows = faultCodes.map((code) => {
    const { status, retry, title } = new Fault(code, '');
    return `| \`${code}\` | ${status} | ${retry} | ${title} |`;
  });
  const eventParts = eventTypes.map((type) => {
    const event = exampleOf(type, examples.events);
    const json = { jsonrpc: '2.0', method: 'event', params: event };
    return `### ${type}\n\n${block([{ from: '<', json }], replacer)}`;
  });
  return `# Examples of the protocol

<!-- Written by "UPDATE_EXAMPLES=1 npx vitest run test/flow/protocol-examples.test.ts" from a conversation with a real agent. -->

Every message of [the protocol](protocol.md), as a client (\`>\`) and a real agent (\`<\`) have sent it. A test has the same
conversation with an agent and compares each message with this page.

- Times, install ids, boot ids, numbers of events, durations, paths and ports differ from run to run. Here they are replaced by others.
- A message is laid out on several lines here. On the wire an agent puts no line breaks and no spaces between the parts of its JSON.
- Of a binary frame the header is shown in hex, and then its data if they are a short text, or else how many bytes they have.
- Each example is a connection of its own. It begins where the interesting part begins: \`hello\`, \`session.start\` and the install of the
  plugin that it is about are left out, and so are the events.

## Methods

${methodParts.join('\n\n')}

## Streams, resuming and errors

${otherParts.join('\n\n')}

## Codes of errors

\`retry\` is what a code has if nothing more is known. The \`retry\` of an error counts.

| code | status | retry | title |
|---|---|---|---|
${codeRows.join('\n')}

## Events

${eventParts.join('\n\n')}
`;
}

/** The first event of a type that an operation of an example has caused; else the first one. */
function exampleOf(type: string, events: readonly Event[]): Event {
  const all = events.filter((event) => event.type === type);
  const caused = all.filter(({ data }) => /"example-(?!plan)/.test(JSON.stringify(data)));
  const ended = caused.find(({ data }) => JSON.stringify(data).includes('"millis"'));
  const found = ended ?? caused[0] ?? all[0];
  if (found === undefined) {
    throw new Error(`There is no example of the event "${type}" in test/_kit/example-script.ts`);
  }
  return found;
}
