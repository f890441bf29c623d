import { expect, it } from 'vitest';

import { isUnmasked, noMask } from '../../shared/mask.ts';

it('masks only frames that pass a network without TLS', () => {
  expect(isUnmasked('ws://127.0.0.1:7423/v1/connect')).toBe(true);
  expect(isUnmasked('ws://[::1]:7423/v1/connect')).toBe(true);
  expect(isUnmasked('ws://localhost/v1/connect')).toBe(true);
  expect(isUnmasked('wss://agent.example/v1/connect')).toBe(true);
  expect(isUnmasked('ws://agent.example/v1/connect')).toBe(false);
  expect(isUnmasked('ws://10.0.0.1:7423/v1/connect')).toBe(false);
});

it('fills the mask with zeros, whatever was in it', () => {
  const mask = Buffer.from([1, 2, 3, 4]);
  noMask(mask);
  expect(mask).toEqual(Buffer.alloc(4));
});
