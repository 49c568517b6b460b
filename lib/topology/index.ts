export { compareTopologies, type Incompatibility } from './compare.ts';
export {
  describe,
  describeGraph,
  type DescriptionFormat,
  type NodeDescription,
  type TopologyDescription,
} from './describe.ts';
export {
  changelogTopic,
  Topology,
  TopologyError,
  type Cell,
  type DeserializationPolicy,
  type DropReason,
  type GlobalSpec,
  type InternalTopicSpec,
  type Subtopology,
} from './graph.ts';
export { HeaderBlock, HeaderWriter } from './headers.ts';
export type {
  Processor,
  ProcessorContext,
  ProcessorSupplier,
  Punctuation,
  PunctuationType,
} from './processor.ts';
export { kafkaTimestamp, SourceRecord, type StreamRecord, type TimestampExtractor } from './record.ts';
export { UndeclaredTopicError, type HeaderPolicy } from './sink.ts';
export { countSerde } from './count-serde.ts';
export type { ForeignKeyJoinOptions } from './foreign-key-join.ts';
export { GlobalTable } from './global-table.ts';
export {
  CogroupedKStream,
  KGroupedStream,
  SessionWindowedKStream,
  TimeWindowedKStream,
  WindowedKTable,
  type AggregateOptions,
  type Materialized,
  type RunningMaterialized,
  type SessionAggregateOptions,
  type SessionWindowedCogroup,
  type WindowedCogroup,
  type WindowedMaterialized,
} from './grouped-stream.ts';
export { KGroupedTable, type TableAggregateOptions } from './grouped-table.ts';
export { KStream } from './k-stream.ts';
export { KTable, type StoredAs } from './k-table.ts';
export type { StoreOptions } from './plan.ts';
export {
  StreamBuilder,
  type ConsumedGlobalTable,
  type ConsumedTable,
  type StreamBuilderOptions,
} from './stream-builder.ts';
export type { Consumed, DynamicTopic, Grouped, KeyValue, Named, Produced } from './stream-options.ts';
export type { StreamJoinOptions } from './stream-stream-join.ts';
export type { TableLookupOptions } from './stream-table-join.ts';
export {
  SuppressBufferFullError,
  type SuppressBound,
  type SuppressOptions,
  type UntilTimeLimit,
  type UntilWindowCloses,
} from './suppress.ts';
export { timestampedSerde, type Timestamped } from './timestamped.ts';
export { resolveTopic } from './topic-names.ts';
export type { TopicResource } from './topic-resources.ts';
export {
  hopping,
  joinWindow,
  session,
  sessionWindowedSerde,
  sliding,
  timeWindowedSerde,
  tumbling,
  type JoinWindows,
  type SessionWindows,
  type SlidingWindows,
  type TimeWindows,
  type Window,
  type Windowed,
} from './windows.ts';
