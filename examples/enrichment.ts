/** Enriches payments with the account they belong to: a stream looks up a table of the same key. */
import { jsonSerde, StreamBuilder, stringSerde, type Topology } from '../lib/index.ts';

export interface Payment {
  readonly amount: string;
}
export interface Account {
  readonly owner: string;
  readonly country: string;
}
export type EnrichedPayment = Payment & { readonly account: Account | null };

export function enrichment(): Topology {
  const builder = new StreamBuilder({ requireNames: true });
  const accounts = builder.table('accounts', {
    key: stringSerde,
    value: jsonSerde<Account>(),
    name: 'accounts',
  });
  builder
    .stream('payments', { key: stringSerde, value: jsonSerde<Payment>() })
    .leftJoin(accounts, (payment, account): EnrichedPayment => ({ ...payment, account }))
    .to('enriched-payments', { key: stringSerde, value: jsonSerde<EnrichedPayment>() });
  return builder.build();
}
