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
  type DeserializationPolicy,
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
export {
  KStream,
  StreamBuilder,
  type Consumed,
  type DynamicTopic,
  type KeyValue,
  type Named,
  type Produced,
} from './stream-builder.ts';
