/** The client to use when nobody chooses one. */
import type { KafkaClient } from './client.ts';
import { loadAddon } from './native/addon.ts';
import { nativeClient } from './native/native-client.ts';
import { nodeRdkafkaClient } from './node-rdkafka/node-rdkafka-client.ts';
import { loadRdkafka } from './node-rdkafka/rdkafka-module.ts';

/** The native client where its addon loads, else node-rdkafka; throws the addon's reason when neither does. */
export function defaultClient(): KafkaClient {
  try {
    loadAddon();
    return nativeClient;
  } catch (missing) {
    try {
      loadRdkafka();
      return nodeRdkafkaClient;
    } catch {
      throw missing;
    }
  }
}
