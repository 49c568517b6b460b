/** Sending a stream through an internal topic, so that its records lie where their key says. */
import { needed, type StreamPlan } from './plan.ts';

export interface RepartitionOptions {
  /** The topic's name in the graph, without prefix. */
  readonly name: string;
  /** Whether records without a key are left out before the topic: nothing behind it could use them. */
  readonly dropNullKeys: boolean;
  /** Who needs it, for errors. */
  readonly where: string;
  readonly partitions?: number | undefined;
}

/** The stream behind a new internal topic. */
export function repartitioned(stream: StreamPlan, options: RepartitionOptions): StreamPlan {
  const { writer } = stream;
  const key = needed(stream.key, 'key', options.where);
  const value = needed(stream.value, 'value', options.where);
  const parent = options.dropNullKeys
    ? writer.operator({
        type: 'filter',
        prefix: 'KSTREAM-FILTER',
        name: `${options.name}-filter`,
        parents: [stream.node],
        instantiate: (next, environment) => ({
          receive(record) {
            if (record.key === null) environment.drop('null-key');
            else next.receive(record);
          },
        }),
      })
    : stream.node;
  const node = writer.repartition(parent, { name: options.name, key, value, partitions: options.partitions });
  return { writer, node, key, value, keyChanged: false };
}
