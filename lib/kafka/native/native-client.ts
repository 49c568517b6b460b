/** The client over the packed-batch addon: one crossing into C per batch. The one to use wherever it loads. */
import type { KafkaClient } from '../client.ts';
import { NativeConsumer } from './native-consumer.ts';
import { NativeProducer } from './native-producer.ts';

export const nativeClient: KafkaClient = {
  name: 'native',
  createConsumer: (config) => new NativeConsumer(config),
  createProducer: (config) => new NativeProducer(config),
};
