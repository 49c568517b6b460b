/**
 * The second adapter behind the contract: node-rdkafka's per-message calls. Several times slower than the native
 * client and without some of its abilities (each class's header names them); for comparison, and where the addon
 * cannot be compiled but node-rdkafka is there.
 */
import type { KafkaClient } from '../client.ts';
import { NodeRdkafkaConsumer } from './node-rdkafka-consumer.ts';
import { NodeRdkafkaProducer } from './node-rdkafka-producer.ts';

export const nodeRdkafkaClient: KafkaClient = {
  name: 'node-rdkafka',
  createConsumer: (config) => new NodeRdkafkaConsumer(config),
  createProducer: (config) => new NodeRdkafkaProducer(config),
};
