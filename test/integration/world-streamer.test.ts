/** The streamer on a real broker, registry and object store. */
import test from 'ava';
import { pino } from 'pino';

import type { RunCursor } from '../../apps/world-streamer-producer/run-cursor.ts';
import type { StreamerContext } from '../../apps/world-streamer-producer/streamer-context.ts';
import { WorldStreamer } from '../../apps/world-streamer-producer/world-streamer.ts';
import { WorldStreamerFixture, type SentEvent } from './world-streamer-fixture.ts';

const FLOWS = 3000;
const EVENTS = FLOWS * 5;
const fixture = new WorldStreamerFixture();
const logger = pino({ level: process.env['LOG_LEVEL'] ?? 'silent' });

test.before(() => fixture.open(FLOWS));
test.after.always(() => fixture.close());

/** Serves until this many lanes have ended, and returns their cursors in the order they ended. */
async function serve(lanes: number, changes: Partial<StreamerContext> = {}): Promise<RunCursor[]> {
  const ended: RunCursor[] = [];
  const streamer = new WorldStreamer(fixture.context(changes), logger, (cursor) => {
    ended.push(cursor);
    if (ended.length >= lanes) streamer.stop();
  });
  await streamer.run();
  return ended;
}

function eventsOf(events: readonly SentEvent[], scenarioRunId: string | null): SentEvent[] {
  return events.filter(
    ({ envelope }) =>
      envelope.scenario_run_id === scenarioRunId && !envelope.event_type.startsWith('stream.'),
  );
}

test.serial('CI-39 CI-47 CI-56 a run is streamed whole, once, in order, with its facts', async (t) => {
  const ready = await fixture.ready('whole');
  // The same READY twice: a redelivery.
  await fixture.ready('whole');
  const [cursor] = await serve(1);
  t.is(cursor!.state, 'COMPLETED');
  t.is(cursor!.stop_reason, 'end_of_view');

  const all = await fixture.ingress();
  const events = eventsOf(all, ready.scenario_run_id);
  t.is(events.length, EVENTS);
  t.is(new Set(events.map(({ envelope }) => envelope.event_id)).size, EVENTS);

  const latest = new Map<string, string>();
  const anchored = new Set<string>();
  for (const { partition, key, envelope } of events) {
    t.true((latest.get(key) ?? '') <= envelope.ts_utc, 'event time goes backwards within a key');
    latest.set(key, envelope.ts_utc);
    if (envelope.event_type === 's3_flow_anchor_with_fraud_6B') anchored.add(key);
    if (envelope.event_type === 's3_event_stream_with_fraud_6B')
      t.true(anchored.has(key), 'event before its anchor');
    t.is(envelope.emitted_at_utc, null);
    t.is(partition, events.find((other) => other.key === key)!.partition);
  }

  const facts = all.filter(({ envelope }) => envelope.event_type.startsWith('stream.'));
  t.deepEqual(
    facts.map(({ envelope }) => envelope.event_type),
    ['stream.started', 'stream.completed'],
  );
  const completed = facts[1]!.envelope.payload as unknown as {
    outputs: { output_id: string; read: number; sent: number }[];
    stop_reason: string;
  };
  t.is(completed.stop_reason, 'end_of_view');
  t.deepEqual(
    completed.outputs.map(({ output_id, sent }) => [output_id, sent]),
    fixture.outputs.map(({ output_id, row_count }) => [output_id, row_count]),
  );
});

test.serial(
  'a re-emitted READY with the next attempt sends the same events again, byte for byte',
  async (t) => {
    const before = await fixture.ingress();
    const ready = await fixture.ready('whole', 2);
    const [cursor] = await serve(1);
    t.is(cursor!.ready.attempt, 2);
    const again = eventsOf(await fixture.ingress(), ready.scenario_run_id);
    t.is(again.length, 2 * EVENTS);
    const first = new Map(
      eventsOf(before, ready.scenario_run_id).map(({ envelope }) => [
        envelope.event_id,
        JSON.stringify(envelope),
      ]),
    );
    for (const { envelope } of again) t.is(first.get(envelope.event_id), JSON.stringify(envelope));
  },
);

test.serial(
  'CI-50 CI-55 caps and positions persist: stopped and restarted, a run sends each event once up to its cap',
  async (t) => {
    const ready = await fixture.ready('capped', 1, { max_events: 9000 });
    // Slow enough to be stopped on its way, in several pieces.
    const pacing = { ratePlan: [{ start_offset_seconds: 0, target_eps: 4000, burst_seconds: 0.01 }] };
    let pieces = 0;
    let ended: RunCursor[] = [];
    while (ended.length === 0) {
      const finished: RunCursor[] = [];
      let cursors = 0;
      const onCursor = (): void => {
        cursors += 1;
        if (cursors === 3 && pieces < 3) streamer.stop();
      };
      const streamer = new WorldStreamer(fixture.context({ pacing, onCursor }), logger, (done) => {
        finished.push(done);
        streamer.stop();
      });
      await streamer.run();
      pieces += 1;
      ended = finished;
    }
    t.is(pieces, 4);
    t.is(ended[0]!.stop_reason, 'max_events');
    const events = eventsOf(await fixture.ingress(), ready.scenario_run_id);
    t.is(events.length, 9000);
    t.is(new Set(events.map(({ envelope }) => envelope.event_id)).size, 9000);
  },
);

test.serial(
  'lanes share a run by ingress partition: together they send each event once, in order per key',
  async (t) => {
    const ready = await fixture.ready('lanes');
    const cursors = await serve(2, { laneCount: 2 });
    t.deepEqual(cursors.map(({ lane, state }) => [lane, state]).sort(), [
      [0, 'COMPLETED'],
      [1, 'COMPLETED'],
    ]);
    const events = eventsOf(await fixture.ingress(), ready.scenario_run_id);
    t.is(events.length, EVENTS);
    t.is(new Set(events.map(({ envelope }) => envelope.event_id)).size, EVENTS);
    const latest = new Map<string, string>();
    for (const { key, envelope } of events) {
      t.true((latest.get(key) ?? '') <= envelope.ts_utc);
      latest.set(key, envelope.ts_utc);
    }
  },
);

test.serial(
  'CI-42 a flipped byte in a part, an unsealed pack and a failed gate refuse the run before the first event',
  async (t) => {
    const part = fixture.packKey('stream_view/ts_utc/output_id=arrival_events_5B/part-000000.arrow');
    const seal = fixture.packKey('_SEALED.json');
    const original = await fixture.world.get(part);
    const sealed = await fixture.world.get(seal);
    const flipped = Buffer.from(original);
    flipped[flipped.length >> 1]! ^= 1;
    const cases: [
      name: string,
      code: string,
      breakIt: () => Promise<unknown>,
      changes?: Record<string, unknown>,
    ][] = [
      ['flipped', 'STREAM_VIEW_DIGEST_MISMATCH', () => fixture.world.put(part, flipped)],
      ['unsealed', 'PACK_NOT_SEALED', () => fixture.world.remove(seal)],
      ['gate', 'GATE_PASS_MISSING', () => Promise.resolve(), { gates: [] }],
      ['output', 'OUTPUT_NOT_STREAMABLE', () => Promise.resolve(), { traffic_mode: 'baseline' }],
      ['bundle', 'BUNDLE_HASH_MISMATCH', () => Promise.resolve(), { bundle_hash: 'f'.repeat(64) }],
      ['world', 'WORLD_KEY_MISMATCH', () => Promise.resolve(), { seed: '43' }],
    ];
    for (const [name, code, breakIt, changes] of cases) {
      await breakIt();
      const ready = await fixture.ready(name, 1, changes);
      const [cursor] = await serve(1);
      await fixture.world.put(part, original);
      await fixture.world.put(seal, sealed);
      t.is(cursor!.state, 'FAILED', name);
      t.is(cursor!.failure?.code, code as never, name);
      t.is(eventsOf(await fixture.ingress(), ready.scenario_run_id).length, 0, name);
    }
  },
);
