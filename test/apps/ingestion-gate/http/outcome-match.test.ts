import test from 'ava';
import fc from 'fast-check';
import { OutcomeMatch } from '../../../../apps/ingestion-gate/http/outcome-match.ts';

test('an outcome finds its push whichever of the two tails is ahead', async (t) => {
  const match = new OutcomeMatch<string>();
  const late = match.expect('late');
  const early = match.expect('early');
  match.sawIngress(0, 5, 'late');
  match.sawOutcome({ partition: 0, offset: 5 }, () => 'of late');
  match.sawOutcome({ partition: 0, offset: 7 }, () => 'of early');
  t.is(early.ingress, undefined);
  match.sawIngress(0, 6, undefined);
  match.sawIngress(0, 7, 'early');
  t.is(await late.outcome, 'of late');
  t.is(await early.outcome, 'of early');
  t.deepEqual(early.ingress, { partition: 0, offset: 7 });
  t.is(match.waiting, 0);
});

test('records are not looked into unless somebody waits for them', (t) => {
  const match = new OutcomeMatch<string>();
  const unread = (): string => {
    throw new Error('read for nobody');
  };
  match.sawOutcome({ partition: 0, offset: 1 }, unread);
  const one = match.expect('one');
  match.sawIngress(0, 9, undefined);
  match.sawOutcome({ partition: 0, offset: 9 }, unread);
  one.cancel();
  t.is(match.waiting, 0);
  match.sawOutcome({ partition: 0, offset: 10 }, unread);
  t.is(match.overflowed, 0);
});

test('outcomes kept for later are bounded', (t) => {
  const match = new OutcomeMatch<number>(3);
  match.expect('never seen');
  for (let offset = 0; offset < 10; offset += 1) match.sawOutcome({ partition: 0, offset }, () => offset);
  t.is(match.overflowed, 9);
});

test('whatever the order of the tails, every push gets its own outcome and none is left over', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.boolean()), { maxLength: 40 }),
      fc.infiniteStream(fc.boolean()),
      async (records, turns) => {
        const match = new OutcomeMatch<string>();
        const next = [0, 0, 0];
        const log = records.map(([partition, mine], i) => ({
          partition,
          offset: next[partition]!++,
          id: mine ? `push ${i}` : undefined,
        }));
        const pushes = log.flatMap((one) =>
          one.id === undefined ? [] : [{ ...one, ...match.expect(one.id) }],
        );
        let [seen, decided] = [0, 0];
        while (seen < log.length || decided < log.length) {
          const ingress = seen < log.length && (decided === log.length || turns.next().value === true);
          const one = log[ingress ? seen++ : decided++]!;
          if (ingress) match.sawIngress(one.partition, one.offset, one.id);
          else match.sawOutcome(one, () => `${one.partition}/${one.offset}`);
        }
        for (const push of pushes)
          if ((await push.outcome) !== `${push.partition}/${push.offset}`) return false;
        return match.waiting === 0;
      },
    ),
  );
  t.pass();
});
