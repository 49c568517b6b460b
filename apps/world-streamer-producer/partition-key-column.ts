/** Which column of an output gives its partition key: the first of the policy's precedence that every row has. */
import type { OutputDefinition, PartitioningProfile } from '../rails/index.ts';
import { StreamError } from './stream-error.ts';

/** Throws StreamError (SCHEMA_UNSUITABLE) when the precedence reaches a column that is no 64-bit integer, or none. */
export function partitionKeyColumn(output: OutputDefinition, profile: PartitioningProfile): string {
  for (const path of profile.keyPrecedence) {
    const column = output.columns.find(({ name, online }) => online && path === `payload.${name}`);
    if (column === undefined && path.startsWith('payload.')) continue;
    if (column !== undefined && !column.nullable && (column.type === 'id64' || column.type === 'int64')) {
      return column.name;
    }
    throw new StreamError(
      'SCHEMA_UNSUITABLE',
      `${output.output_id}: its partition key by ${profile.id} would come from ${path}, which is no id of every row`,
    );
  }
  throw new StreamError('SCHEMA_UNSUITABLE', `${output.output_id} has none of the fields of ${profile.id}`);
}
