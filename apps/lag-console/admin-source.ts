/** The console's view of a cluster, through the admin client. */
import type { Admin } from '../../lib/index.ts';
import type { ClusterSource, GroupState } from './cluster-sampler.ts';

/** Topics and groups change rarely; offsets are asked for each time. */
const LISTING_MS = 5_000;

export class AdminSource implements ClusterSource {
  readonly #admin: Admin;
  readonly #prefix: string;
  #topics: { readonly at: number; readonly counts: ReadonlyMap<string, number> } | undefined;
  #groups: { readonly at: number; readonly ids: readonly string[] } | undefined;

  /** Shows topics and groups whose names begin with `prefix`; an empty one shows all but Kafka's own. */
  constructor(admin: Admin, prefix: string) {
    this.#admin = admin;
    this.#prefix = prefix;
  }

  async topics(): Promise<ReadonlyMap<string, number>> {
    if (this.#topics === undefined || Date.now() - this.#topics.at > LISTING_MS) {
      const names = (await this.#admin.listTopics()).filter((name) => this.#shown(name));
      const described = names.length === 0 ? [] : await this.#admin.describeTopics(names);
      this.#topics = {
        at: Date.now(),
        counts: new Map(described.map((each) => [each.name, each.partitions])),
      };
    }
    return this.#topics.counts;
  }

  async groups(): Promise<readonly GroupState[]> {
    if (this.#groups === undefined || Date.now() - this.#groups.at > LISTING_MS) {
      this.#groups = {
        at: Date.now(),
        ids: (await this.#admin.listGroups()).filter((id) => this.#shown(id)),
      };
    }
    const { ids } = this.#groups;
    if (ids.length === 0) return [];
    const described = await this.#admin.describeGroups(ids);
    return Promise.all(
      described.map(async (group) => ({
        group: group.groupId,
        state: group.state,
        members: group.members.map((member) => ({
          memberId: member.memberId,
          clientId: member.clientId,
          host: member.clientHost.replace(/^\//, ''),
          partitions: Object.entries(member.assignment ?? {}).flatMap(([topic, partitions]) =>
            partitions.map((partition) => ({ topic, partition })),
          ),
        })),
        committed: (await this.#admin.groupOffsets(group.groupId)).filter(({ offset }) => offset >= 0),
      })),
    );
  }

  #shown(name: string): boolean {
    return this.#prefix === '' ? !name.startsWith('__') : name.startsWith(this.#prefix);
  }
}
