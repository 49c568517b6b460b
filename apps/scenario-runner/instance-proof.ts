/**
 * Instance proofs: what one platform run has proven of one output of one world. They are written once under the
 * output's own tokens, so a second run that finds other content under the same name is stopped there.
 */
import type { WorldKey } from '../rails/index.ts';
import type { InstanceProof, OutputLocator } from './run-artifacts.ts';

/** A pure function of what was proven: it has no time in it, so that proving again gives the same document. */
export function instanceProof(locator: OutputLocator, world: WorldKey, receiptPath: string): InstanceProof {
  return {
    output_id: locator.output_id,
    status: 'PASS',
    scope: {
      manifest_fingerprint: world.manifest_fingerprint,
      parameter_hash: world.parameter_hash,
      scenario_id: world.scenario_id,
      seed: world.seed,
    },
    target_ref: locator,
    target_digest: locator.content_digest,
    receipt_kind: 'instance_proof',
    artifacts: { receipt_path: receiptPath },
  };
}
