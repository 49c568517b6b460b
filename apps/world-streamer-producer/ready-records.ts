/** What became of a READY, as an object of its run: one JSON line per lane, under `wsp/ready_runs/`. */
import type { Bucket } from '../../lib/index.ts';
import { runObjects } from '../rails/index.ts';
import type { RunCursor } from './run-cursor.ts';

const JSON_LINES = { contentType: 'application/x-ndjson' };

export class ReadyRecords {
  readonly #bucket: Bucket;
  /** Lines by message, in the order of lanes: an object is written whole. */
  readonly #lanes = new Map<string, Map<number, string>>();

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** Writes the end of a lane; the same end gives the same line. */
  async write(cursor: RunCursor): Promise<void> {
    const { ready, lane, lane_count, outputs, state, stop_reason, failure, ended_at_utc } = cursor;
    const lanes = this.#lanes.get(ready.message_id) ?? new Map<number, string>();
    this.#lanes.set(ready.message_id, lanes);
    const line = {
      message_id: ready.message_id,
      run_id: ready.scenario_run_id,
      attempt: ready.attempt,
      lane,
      lane_count,
      status: state === 'COMPLETED' ? 'STREAMED' : state,
      reason: failure?.code ?? stop_reason,
      emitted: outputs.reduce((sum, output) => sum + output.sent, 0),
      outputs: outputs.map(({ output_id, read, sent }) => ({ output_id, read, sent })),
      engine_run_root: ready.pack.engine_run_root,
      scenario_id: ready.world.scenario_id,
      ts_utc: ended_at_utc,
    };
    lanes.set(lane, JSON.stringify(line));
    const text = [...lanes].sort(([a], [b]) => a - b).map(([, each]) => `${each}\n`);
    const key = runObjects(ready.platform_run_id).wsp.readyRun(ready.message_id);
    await this.#bucket.put(key, Buffer.from(text.join('')), JSON_LINES);
    if (lanes.size === lane_count) this.#lanes.delete(ready.message_id);
  }
}
