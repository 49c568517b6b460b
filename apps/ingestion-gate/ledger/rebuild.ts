/**
 * Makes the ledger anew from the bus, and shows that it is the same: receipts follow from the records alone. What
 * only the database knows (notes of re-ingestion) stays.
 */
import type { Pool } from 'pg';
import { Admin, type Logger } from '../../../lib/index.ts';
import { topicEnds } from '../bus/topic-reader.ts';
import type { Settings } from '../../rails/index.ts';
import { LedgerError } from './ledger-error.ts';
import { ledgerPool } from './ledger-pool.ts';
import { runLedger } from './ledger-service.ts';
import { archiveAll } from './open-archiver.ts';

export interface RebuildOptions {
  readonly settings: Settings;
  readonly logger: Logger;
  /** Stops the rebuild; `fp ledger run` would go on where it was. */
  readonly signal: AbortSignal;
  /** Go on even if the bus no longer holds records that have receipts. */
  readonly allowLoss?: boolean;
}

export interface Rebuilt {
  readonly receipts: number;
  readonly receipts_before: number;
  /** Every row is as it was before. */
  readonly identical: boolean;
  readonly segments_archived: number;
}

/**
 * Throws LedgerError LEDGER_RUNNING while a ledger of this group runs, and REBUILD_WOULD_LOSE before anything is
 * touched when retention has deleted records that have receipts.
 */
export async function rebuildLedger(options: RebuildOptions): Promise<Rebuilt> {
  const { settings, logger, signal } = options;
  const pool = ledgerPool(settings.postgres.dsn, logger);
  try {
    await refuseWhileRunning(settings);
    if (options.allowLoss !== true) await refuseLoss(settings, pool);
    const before = await contentOf(pool);
    await pool.query(
      `truncate admitted_receipts, outcome_receipts, receipt_tallies, receipt_kinds, receipt_segments,
         unreadable_records, ledger_positions`,
    );
    await runLedger({ settings, logger, signal, untilEnd: true });
    const segments = await archiveAll(settings, logger, signal);
    const after = await contentOf(pool);
    return {
      receipts: after.receipts,
      receipts_before: before.receipts,
      identical: after.digest === before.digest,
      segments_archived: segments,
    };
  } finally {
    await pool.end();
  }
}

async function refuseWhileRunning(settings: Settings): Promise<void> {
  const admin = new Admin({ bootstrapServers: settings.kafka.bootstrapServers });
  try {
    const [group] = await admin.describeGroups([settings.groups.ledger]);
    const members = group?.members.length ?? 0;
    if (members > 0) {
      throw new LedgerError(
        'LEDGER_RUNNING',
        `${members} ledgers of group ${settings.groups.ledger} are running: stop them, or they would write in between`,
      );
    }
  } finally {
    await admin.close();
  }
}

async function refuseLoss(settings: Settings, pool: Pool): Promise<void> {
  const { rows } = await pool.query<{ topic: string; partition: number; first: string }>(
    `select k.record_topic as topic, t.partition, min(t.first_offset) as first
     from receipt_tallies t join receipt_kinds k on k.kind = t.kind group by 1, 2`,
  );
  const { traffic, control, audit, outcomes } = settings.topics;
  for (const topic of [traffic, control, audit, outcomes]) {
    for (const { partition, low } of await topicEnds(settings.kafka.bootstrapServers, topic)) {
      const known = rows.find((row) => row.topic === topic && row.partition === partition);
      if (known !== undefined && Number(known.first) < low) {
        throw new LedgerError(
          'REBUILD_WOULD_LOSE',
          `${topic}/${partition} begins at offset ${low}, and there are receipts from offset ${known.first} on: their ` +
            'segments in the object store keep them; --allow-loss gives them up here',
        );
      }
    }
  }
}

/** Every column of every row, but for quarantined bytes: those leave the database when a segment has them. */
async function contentOf(pool: Pool): Promise<{ receipts: number; digest: string }> {
  const { rows } = await pool.query<{ receipts: string; digest: string }>(
    `select count(*) as receipts, coalesce(sum(hashtextextended(content, 0)::numeric), 0)::text as digest from (
       select (to_jsonb(a) - 'raw')::text as content from admitted_receipts a
       union all select (to_jsonb(o) - 'raw')::text from outcome_receipts o
     ) as every`,
  );
  const { rows: others } = await pool.query<{ digest: string }>(
    `select coalesce(sum(hashtextextended(content, 0)::numeric), 0)::text as digest from (
       select k::text as content from receipt_kinds k
       union all select t::text from receipt_tallies t
       union all select s.platform_run_id || s.topic || s.partition || '/' || s.segment || '/' || s.records from receipt_segments s
     ) as every`,
  );
  return { receipts: Number(rows[0]!.receipts), digest: `${rows[0]!.digest}/${others[0]!.digest}` };
}
