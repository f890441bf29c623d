import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ATTEMPTS_MAX, type Facts, type TreeKind, decide } from '../../agent/change/recovery-table.ts';
import type { Intent } from '../../shared/format/intent.ts';

const INTENT: Intent = {
  version: 1,
  op: 'install',
  plugin: 'lint',
  stamp: '20260508T141530123Z-9f86d081',
  operationId: 'operation-1',
  path: 'rename',
  from: { installId: '20260507T141530123Z-9f86d081', kind: 'marked' },
  source: null,
  tree: `sha256:${'0'.repeat(64)}`,
  bundle: `sha256:${'0'.repeat(64)}`,
  files: 1,
  bytes: 1,
  goal: 'forward',
  clearing: false,
  attempts: 0,
  owner: { bootId: 'b', pidNamespace: 'p', pid: 1, startTime: '1' },
};

const FACTS: Facts = {
  intent: INTENT,
  live: 'other',
  slot: 'absent',
  slotIsWhole: false,
  snapshot: false,
  superseded: false,
  liveIsGood: false,
  slotIsGood: false,
  canExchange: false,
  aliased: false,
};

type Row = [
  what: string,
  facts: Partial<Facts>,
  intent: Partial<Intent> | 'none' | 'unknown',
  action: object,
];

const ROWS: Row[] = [
  ['an intent of a newer agent is held', { slot: 'new' }, 'unknown', { row: 1, do: 'hold' }],
  ['too many attempts are held', {}, { attempts: ATTEMPTS_MAX + 1 }, { row: 1, do: 'hold' }],
  ['one directory under two names is held', { aliased: true }, {}, { row: 1, do: 'hold' }],
  [
    'a displaced tree without an intent is kept',
    { live: 'new', slot: 'other' },
    'none',
    { row: 2, do: 'slot-to-snapshot' },
  ],
  [
    'a whole tree without an intent is kept',
    { slot: 'other', slotIsWhole: true },
    'none',
    { row: 2, do: 'slot-to-snapshot' },
  ],
  ['a slot that nobody knows goes', { slot: 'other' }, 'none', { row: 3, do: 'slot-to-trash' }],
  ['a sealed slot without an intent goes', { slot: 'new' }, 'none', { row: 3, do: 'slot-to-trash' }],
  ['nothing is left as it is', {}, 'none', { row: 4, do: 'leave' }],
  ['a removal that was made is ended', { live: 'absent' }, { op: 'remove' }, { row: 5, do: 'drop-intent' }],
  [
    'clearing a lower layer goes on',
    { snapshot: true },
    { clearing: true, path: 'copy' },
    { row: 6, do: 'clear-live' },
  ],
  ['a slot that was not swapped goes', { slot: 'new' }, {}, { row: 7, do: 'discard-slot' }],
  [
    'a copy that was not used goes',
    { snapshot: true },
    { path: 'copy' },
    { row: 7, do: 'snapshot-to-trash' },
  ],
  ['a snapshot that is no copy stays', { snapshot: true }, { path: 'rename' }, { row: 7, do: 'drop-intent' }],
  ['nothing to undo ends it', {}, {}, { row: 7, do: 'drop-intent' }],
  [
    'what was displaced becomes the snapshot',
    { live: 'new', slot: 'other', liveIsGood: true },
    {},
    { row: 8, do: 'slot-to-snapshot' },
  ],
  ['a swap that stands is ended', { live: 'new', liveIsGood: true }, {}, { row: 8, do: 'drop-intent' }],
  ['a damaged new version turns back', { live: 'new' }, {}, { row: 9, do: 'turn-back' }],
  [
    'turned back, the two change places',
    { live: 'new', slot: 'other', canExchange: true },
    { goal: 'back' },
    { row: 9, do: 'exchange' },
  ],
  [
    'turned back, even a good new one gives way',
    { live: 'new', liveIsGood: true, slot: 'other', canExchange: true },
    { goal: 'back' },
    { row: 9, do: 'exchange' },
  ],
  [
    'without an exchange the old one waits in its snapshot',
    { live: 'new', slot: 'other' },
    { goal: 'back' },
    { row: 9, do: 'slot-to-snapshot' },
  ],
  [
    'turned back, a first install goes',
    { live: 'new' },
    { goal: 'back', from: null },
    { row: 9, do: 'live-to-trash' },
  ],
  [
    'turned back, the new one makes room',
    { live: 'new', snapshot: true },
    { goal: 'back' },
    { row: 9, do: 'live-to-slot' },
  ],
  ['a damaged version without one before is held', { live: 'new' }, { goal: 'back' }, { row: 9, do: 'hold' }],
  [
    'a good slot goes live',
    { live: 'absent', slot: 'new', slotIsGood: true, snapshot: true },
    {},
    { row: 10, do: 'slot-to-live' },
  ],
  [
    'a bad slot does not',
    { live: 'absent', slot: 'new', snapshot: true },
    {},
    { row: 11, do: 'snapshot-to-live' },
  ],
  [
    'turned back, the snapshot goes live',
    { live: 'absent', slot: 'new', slotIsGood: true, snapshot: true },
    { goal: 'back' },
    { row: 11, do: 'snapshot-to-live' },
  ],
  [
    'a first install that came to nothing goes',
    { live: 'absent', slot: 'other' },
    { from: null },
    { row: 12, do: 'discard-slot' },
  ],
  ['and is ended', { live: 'absent' }, { from: null }, { row: 12, do: 'drop-intent' }],
  [
    'what another change has removed since does not come back',
    { live: 'absent', slot: 'new', slotIsGood: true, snapshot: true, superseded: true },
    {},
    { row: 12, do: 'discard-slot' },
  ],
  [
    'and a whole version in the slot is kept',
    { live: 'absent', slot: 'other', slotIsWhole: true, superseded: true },
    {},
    { row: 12, do: 'slot-to-snapshot' },
  ],
  [
    'and it is ended',
    { live: 'absent', snapshot: true, superseded: true },
    {},
    { row: 12, do: 'drop-intent' },
  ],
  ['with neither version whole it is held', { live: 'absent', slot: 'other' }, {}, { row: 12, do: 'hold' }],
];

describe('the recovery table', () => {
  it.each(ROWS)('%s', (_, facts, intent, action) => {
    const whole = typeof intent === 'string' ? intent : { ...INTENT, ...intent };
    expect(decide({ ...FACTS, ...facts, intent: whole })).toMatchObject(action);
  });

  const kind = fc.constantFrom<TreeKind>('new', 'other', 'absent');
  const arbitrary = fc.record({
    live: kind,
    slot: kind,
    slotIsWhole: fc.boolean(),
    snapshot: fc.boolean(),
    superseded: fc.boolean(),
    liveIsGood: fc.boolean(),
    slotIsGood: fc.boolean(),
    canExchange: fc.boolean(),
    aliased: fc.boolean(),
    intent: fc.oneof(
      fc.constantFrom('none' as const, 'unknown' as const),
      fc.record({
        op: fc.constantFrom('install' as const, 'rollback' as const, 'remove' as const),
        path: fc.constantFrom('exchange' as const, 'rename' as const, 'copy' as const),
        goal: fc.constantFrom('forward' as const, 'back' as const),
        clearing: fc.boolean(),
        attempts: fc.nat(5),
        from: fc.constantFrom(INTENT.from, null),
      }),
    ),
  });

  it('has an action for everything, and never moves what is not there', () => {
    fc.assert(
      fc.property(arbitrary, (found) => {
        const intent = typeof found.intent === 'string' ? found.intent : { ...INTENT, ...found.intent };
        const facts = { ...found, intent };
        const action = decide(facts);
        if (/^(slot-to|discard-slot|exchange)/.test(action.do)) expect(facts.slot).not.toBe('absent');
        if (action.do.startsWith('snapshot-to')) expect(facts.snapshot).toBe(true);
        if (/^(live-to|clear-live|exchange|turn-back)/.test(action.do)) expect(facts.live).not.toBe('absent');
        if (action.do.endsWith('-to-live')) expect(facts.live).toBe('absent');
        if (action.do === 'live-to-slot') expect(facts.slot).toBe('absent');
      }),
      { numRuns: 5000 },
    );
  });
});
