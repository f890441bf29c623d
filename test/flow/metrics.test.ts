/** The figures of a running agent, about what really happens to it. */
import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { startTestAgent } from '../_kit/agent.ts';
import { beginOf, push, sha256Of } from '../_kit/bundle.ts';
import { page, scrape } from '../_kit/metrics.ts';
import { SKILL, put, version } from '../_kit/place.ts';
import { file, gzip, tar } from '../_kit/tar-builder.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

describe('after installs', () => {
  it('the metrics have their number, steps, bytes and what is on the disk', async () => {
    const agent = await startTestAgent({ env: { AIRLOCK_LISTEN: '127.0.0.1:0' } });
    const wire = await Wire.start(agent);
    await put(wire, await version('1', '1'));
    const second = await version('2', '1');
    await put(wire, second, false);
    await put(wire, second, false);
    const { operationId } = (await wire.event('install.complete')).data as { operationId: string };
    await wire.event('install.progress', { operationId, step: 'collect' });
    const now = await scrape(agent);
    expect(now.get('airlock_installs_total{code="none",result="installed"}')).toBe(2);
    expect(now.get('airlock_installs_total{code="none",result="present"}')).toBe(1);
    const steps = ['receive', 'stage', 'validate', 'seal', 'swap', 'verify'];
    expect(
      steps.map((step) => now.get(`airlock_install_step_duration_seconds_count{step="${step}"}`)),
    ).toEqual([2, 2, 2, 2, 2, 2]);
    expect(now.get('airlock_bundle_bytes_total')).toBeGreaterThan(0);
    expect(now.get('airlock_staged_bytes_total')).toBeGreaterThan(0);
    expect(now.get('airlock_staged_files_total')).toBeGreaterThan(0);
    expect(now.get('airlock_received_bytes_total{opened_by="client"}')).toBeGreaterThan(
      now.get('airlock_bundle_bytes_total') ?? 0,
    );
    expect(now.get('airlock_connections{opened_by="client"}')).toBe(1);
    expect(now.get('airlock_plugins{status="admitted"}')).toBe(1);
    expect(now.get('airlock_snapshots')).toBe(1);
    expect(now.get('airlock_plugins_pending')).toBe(1);
    expect(now.get('airlock_plugins_drifted')).toBe(0);
    expect(now.get('airlock_root_free_bytes')).toBeGreaterThan(0);
    expect(now.get('airlock_requests_total{code="none",method="install.commit"}')).toBe(2);
    expect(now.get('airlock_event_loop_delay_seconds_count')).toBeTypeOf('number');
    expect(now.get('process_resident_memory_bytes')).toBeGreaterThan(1e6);
    expect(Math.abs((now.get('process_start_time_seconds') ?? 0) - Date.now() / 1000)).toBeLessThan(1e6);
  });

  it('the metrics say what was refused, by rule, and what was taken back', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const bytes = gzip(tar(file('plugin.yaml', 'name: lint\nversion: 1.0.0\n'), file('../evil', 'x')));
    const evil = { bytes, size: bytes.length, sha256: sha256Of(bytes) };
    await expect(push(wire, beginOf('lint', evil), evil)).rejects.toMatchObject({
      data: { code: 'ARCHIVE_PATH' },
    });
    await put(wire, await version('1', '1'));
    await put(wire, await version('2', '1'));
    await wire.request('plugin.rollback', { operationId: 'rollback-0001', plugin: 'lint' });
    await wire.request('plugin.uninstall', { operationId: 'uninstall-0001', plugin: 'lint', force: true });
    expect(await wire.refusal('plugin.get', { plugin: 'lint-of-nobody' })).toMatchObject({
      data: { code: 'NOT_FOUND' },
    });
    const now = await scrape(agent);
    expect(now.get('airlock_installs_total{code="ARCHIVE_PATH",result="failed"}')).toBe(1);
    expect(now.get('airlock_refusals_total{rule="1"}')).toBe(1);
    expect(now.get('airlock_changes_total{change="rollback"}')).toBe(1);
    expect(now.get('airlock_changes_total{change="uninstall"}')).toBe(1);
    expect(now.get('airlock_requests_total{code="NOT_FOUND",method="plugin.get"}')).toBe(1);
  });

  it('no name of a plugin, a token or a path is in them', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    await put(wire, await version('1', '1'));
    await appendFile(join(agent.layout.live('lint'), SKILL), 'by hand\n');
    const { body } = await page(agent, '/metrics');
    expect(body).not.toContain('lint');
    expect(body).not.toContain(agent.layout.root);
  });
});

it('the state of the watch is a figure', async () => {
  const agent = await startTestAgent({ env: { AIRLOCK_WATCH: 'polling' } });
  await until(async () => expect((await scrape(agent)).get('airlock_watch_mode{mode="polling"}')).toBe(1));
  const off = await startTestAgent({ env: { AIRLOCK_WATCH: 'off' } });
  expect((await scrape(off)).get('airlock_watch_mode{mode="off"}')).toBe(1);
});

it('an agent whose staging is gone is not ready, and says why to who is trusted only', async () => {
  const agent = await startTestAgent();
  await rm(agent.layout.staging, { recursive: true });
  const { status, body } = await page(agent, '/readyz');
  expect(status).toBe(503);
  expect(JSON.parse(body)).toMatchObject({
    status: 'not ok',
    checks: [{}, { check: 'root', status: 'fail' }, {}, {}, {}, {}],
  });
  const stranger = await page(agent, '/readyz', { via: '1.1 proxy' });
  expect([stranger.status, stranger.body]).toEqual([503, '{"status":"not ok"}\n']);
});
