/** Waiting for a consumer group to have settled. */
import type { Admin } from '../../lib/index.ts';
import { eventually, type Patience } from './eventually.ts';

/** Resolves when exactly this many members share the group's partitions, none of them without any. */
export async function sharedBy(
  admin: Admin,
  groupId: string,
  members: number,
  patience: Patience = {},
): Promise<void> {
  let seen = '';
  await eventually(
    `${members} members share ${groupId}`,
    async () => {
      const [group] = await admin.describeGroups([groupId]);
      seen = JSON.stringify(group);
      return (
        group?.state === 'Stable' &&
        group.members.length === members &&
        group.members.every(({ assignment }) =>
          Object.values(assignment ?? {}).some((partitions) => partitions.length > 0),
        )
      );
    },
    patience,
    () => seen,
  );
}
