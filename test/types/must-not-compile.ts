/**
 * Programs that must not compile. Each marked statement is an error that the types are there to find;
 * must-not-compile.test.ts checks that it is that error and no other.
 */
import {
  jsonSerde,
  session,
  StreamBuilder,
  stringSerde,
  tumbling,
  joinWindow,
  keyValueStore,
  type Serde,
} from '../../lib/index.ts';

const numberSerde: Serde<number> = jsonSerde<number>();
const builder = new StreamBuilder();
const byText = builder.stream('by-text', { key: stringSerde, value: stringSerde });
const byNumber = builder.stream('by-number', { key: numberSerde, value: stringSerde });
const numberTable = builder.table('number-table', { key: numberSerde, value: stringSerde });
const textTable = builder.table('text-table', { key: stringSerde, value: stringSerde });
const window = joinWindow({ beforeMs: 1, afterMs: 1, graceMs: 0 });
const sessions = byText.groupByKey().windowedBy(session({ gapMs: 1, graceMs: 0 }));
const counts = byText
  .groupByKey()
  .windowedBy(tumbling({ sizeMs: 1, graceMs: 0 }))
  .count();
const add = (sum: number): number => sum + 1;
const concat = (left: string, right: string): string => left + right;
const store = keyValueStore('counts', { key: stringSerde, value: numberSerde }).create({
  applicationId: 'types',
  partition: 0,
  now: () => 0,
  source: () => null,
  directory: () => '',
});

// @ts-expect-error TS2345 streams with different keys do not join
byText.outerJoin(byNumber, (left, right) => `${left ?? ''}${right ?? ''}`, { window });

// @ts-expect-error TS2769 whatever the kind of join
byText.join(byNumber, (left, right: string) => left + right, { window });

// @ts-expect-error TS2345 a stream-stream join has a window
byText.join(byText, (left, right: string) => left + right);

// @ts-expect-error TS2345 tables with different keys do not join
textTable.join(numberTable, (left, right) => left + right);

// @ts-expect-error TS2345 a table is read with a key
builder.table('no-key', { value: stringSerde });

// @ts-expect-error TS2345 a sink needs a value serde
byText.to('out', { key: stringSerde });

// @ts-expect-error TS2375 a sink's serde is of the stream's type
byText.to('out', { key: stringSerde, value: numberSerde });

// @ts-expect-error TS2554 a regrouped stream needs the serde of its new key
byText.groupBy((value) => value.length);

// @ts-expect-error TS2345 an aggregate needs a serde
byText.groupByKey().aggregate({ initial: () => 0, add });

// @ts-expect-error TS2345 two sessions become one: how?
sessions.aggregate({ initial: () => 0, add, value: numberSerde });

// @ts-expect-error TS2339 a table has no windows
export type TableWindows = (typeof textTable)['windowedBy'];

// @ts-expect-error TS2339 a stream has nothing to suppress
export type StreamSuppress = (typeof byText)['suppress'];

// @ts-expect-error TS2322 only windows close
textTable.suppress({ until: 'window-closes', buffer: 'unbounded' });

// @ts-expect-error TS2345 a final result must not be let go early
counts.suppress({ until: 'window-closes', buffer: { maxRecords: 1, whenFull: 'emit' } });

// @ts-expect-error TS2345 a grace is said, not assumed
tumbling({ sizeMs: 1 });

// @ts-expect-error TS2345 a left join's right side may be absent
textTable.leftJoin(textTable, (left, right) => left.concat(right));

// @ts-expect-error TS2345 streams of different types do not merge
byText.merge(byNumber);

// @ts-expect-error TS2322 a foreign key is of the other table's key type
textTable.joinForeignKey(numberTable, { foreignKey: (value: string) => value, joiner: concat });

// @ts-expect-error TS2345 a store holds its own types
store.put(1, 1);
