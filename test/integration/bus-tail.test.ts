/** Tail and replay of the bus on a real broker: by offset, by time, with what was covered on record. */
import test from 'ava';
import { tail, type TailOptions } from '../../apps/ingestion-gate/bus/commands.ts';
import { SchemaRegistry } from '../../lib/index.ts';
import { LedgerFixture, RUN } from './ledger-fixture.ts';

const OTHER_RUN = 'platform_20260104T000000Z';

let fixture: LedgerFixture;
let value: Buffer;
test.before(async () => {
  fixture = await LedgerFixture.open();
  const registry = new SchemaRegistry({ url: fixture.settings.schemaRegistry.url });
  const subject = `${fixture.settings.topics.traffic}-tail.test`;
  await registry.register(subject, {
    type: 'record',
    name: 'test',
    namespace: 'tail',
    fields: [{ name: 'text', type: 'string' }],
  });
  value = (await registry.latest(subject)).encode({ text: 'grüße' });
  for (let round = 0; round < 3; round += 1) {
    await fixture.transaction((batch) => {
      for (let i = 0; i < 4; i += 1)
        fixture.admit(batch, i % 2, round * 4 + i, { value, run: i < 2 ? RUN : OTHER_RUN });
    });
  }
});
test.after.always(() => fixture.close());

interface Printed {
  readonly at: string;
  readonly admitted_at: string;
  readonly envelope: { readonly text: string };
}

async function printed(options: Partial<TailOptions>): Promise<{ lines: Printed[]; basis: unknown }> {
  const lines: Printed[] = [];
  let basis: unknown;
  await tail(
    fixture.settings,
    { topic: 'traffic', from: 'beginning', max: 1_000, json: true, ...options },
    {
      line: (text) => lines.push(JSON.parse(text) as Printed),
      basis: (text) => {
        basis = JSON.parse(text) as unknown;
      },
      follow: new AbortController().signal,
    },
  );
  return { lines, basis };
}

test('CI-87 a replay from an offset gives the records from there on, and again the same; its basis is on record', async (t) => {
  const { traffic } = fixture.settings.topics;
  const all = await printed({});
  t.is(all.lines.length, 12);
  t.true(all.lines.every(({ envelope }) => envelope.text === 'grüße'));
  const ofOne = all.lines.filter(({ at }) => at.startsWith(`${traffic}/1/`));
  const from = Number(ofOne[2]!.at.split('/').at(-1));
  const replayed = await printed({ fromOffset: [`1:${String(from)}`] });
  t.deepEqual(replayed.lines, ofOne.slice(2));
  t.deepEqual(await printed({ fromOffset: [`1:${String(from)}`] }), replayed);
  const [end] = (await fixture.admin.topicOffsets(traffic)).filter(({ partition }) => partition === 1);
  t.deepEqual(replayed.basis, {
    replay_basis: { topic: traffic, partitions: [{ partition: 1, from, to: end!.high }] },
  });
});

test('CI-87 a replay from a time gives what was admitted then or later, filtered by run, and no more than asked for', async (t) => {
  const all = await printed({});
  const time = all.lines.map(({ admitted_at }) => admitted_at).sort()[6]!;
  const later = all.lines.filter(({ admitted_at }) => admitted_at >= time);
  const byPlace = (lines: readonly Printed[]): string[] => lines.map(({ at }) => at).sort();
  t.deepEqual(byPlace((await printed({ from: time })).lines), byPlace(later));
  t.is((await printed({ run: RUN })).lines.length, 6);
  t.is((await printed({ max: 3 })).lines.length, 3);
  t.deepEqual((await printed({ from: '2999-01-01T00:00:00Z' })).lines, []);
});

test('a start that is none is refused by name', async (t) => {
  await t.throwsAsync(printed({ fromOffset: ['1'] }), { message: /--from-offset 1 is not partition:offset/ });
  await t.throwsAsync(printed({ fromOffset: ['9:0'] }), { message: /partitions 0 to 3, not 9/ });
  await t.throwsAsync(printed({ from: 'yesterday' }), { message: /--from yesterday is neither/ });
  await t.throwsAsync(printed({ topic: 'ingress' }), { message: /the bus has traffic, control and audit/ });
});
