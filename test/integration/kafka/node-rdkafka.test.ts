/** The contract, fulfilled by node-rdkafka's per-message calls: what it cannot do, it says. */
import test from 'ava';
import { nodeRdkafkaClient } from '../../../lib/kafka/node-rdkafka/node-rdkafka-client.ts';
import { contractTests } from './contract.ts';

const module = new URL('../../../lib/kafka/node-rdkafka/node-rdkafka-client.ts', import.meta.url).href;
contractTests(test, nodeRdkafkaClient, module, {
  offsetMetadata: false,
  otherIsolation: false,
  groupMetadata: false,
  binaryHeaders: false,
});
