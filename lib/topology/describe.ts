/** A topology as text, as a Mermaid flowchart and as JSON. */
import type { NodeSpec, Subtopology, Topology } from './graph.ts';

export interface NodeDescription {
  readonly name: string;
  readonly kind: 'source' | 'operator' | 'sink';
  /** The operator's word in the DSL; `source` and `sink` for the ends. */
  readonly type: string;
  readonly topics: readonly string[];
  readonly stores: readonly string[];
  readonly children: readonly string[];
}

export interface TopologyDescription {
  readonly subtopologies: readonly {
    readonly id: number;
    readonly nodes: readonly NodeDescription[];
    readonly stores: readonly string[];
  }[];
}

export type DescriptionFormat = 'text' | 'mermaid' | 'json';

/** Describes a topology; equal topologies give equal text, so a diff of it is a diff of the topology. */
export function describe(topology: Topology, format: DescriptionFormat = 'text'): string {
  const description = describeGraph(topology);
  if (format === 'json') return JSON.stringify(description, null, 2);
  return format === 'mermaid' ? mermaid(description) : text(description);
}

export function describeGraph(topology: Topology): TopologyDescription {
  return {
    subtopologies: topology.subtopologies.map((part: Subtopology) => ({
      id: part.id,
      nodes: part.nodes.map((node) => describeNode(topology, node)),
      stores: part.stores.map((store) => store.name),
    })),
  };
}

function describeNode(topology: Topology, node: NodeSpec): NodeDescription {
  return {
    name: node.name,
    kind: node.kind,
    type: node.kind === 'operator' ? node.type : node.kind,
    topics: node.kind === 'source' ? [node.topic] : node.kind === 'sink' ? node.topics : [],
    stores: node.kind === 'operator' ? node.stores.map((store) => store.name) : [],
    children: topology.childrenOf(node.name).map((child) => child.name),
  };
}

function text(description: TopologyDescription): string {
  const lines: string[] = [];
  for (const part of description.subtopologies) {
    lines.push(`subtopology ${part.id}`);
    for (const node of part.nodes) {
      const details = [
        ...(node.topics.length > 0 ? [`topics: ${node.topics.join(', ')}`] : []),
        ...(node.stores.length > 0 ? [`stores: ${node.stores.join(', ')}`] : []),
      ];
      lines.push(`  ${node.type} ${node.name}${details.length > 0 ? ` (${details.join('; ')})` : ''}`);
      if (node.children.length > 0) lines.push(`    --> ${node.children.join(', ')}`);
    }
  }
  return lines.join('\n');
}

function mermaid(description: TopologyDescription): string {
  const lines = ['flowchart LR'];
  const id = (name: string): string => name.replace(/[^A-Za-z0-9]/g, '_');
  for (const part of description.subtopologies) {
    lines.push(`  subgraph subtopology_${part.id}`);
    for (const node of part.nodes) lines.push(`    ${id(node.name)}["${node.name}"]`);
    for (const store of part.stores) lines.push(`    store_${id(store)}[("${store}")]`);
    lines.push('  end');
    for (const node of part.nodes) {
      for (const child of node.children) lines.push(`  ${id(node.name)} --> ${id(child)}`);
      for (const store of node.stores) lines.push(`  ${id(node.name)} <--> store_${id(store)}`);
      for (const topic of node.topics) {
        const [from, to] =
          node.kind === 'source'
            ? [`topic_${id(topic)}`, id(node.name)]
            : [id(node.name), `topic_${id(topic)}`];
        lines.push(`  topic_${id(topic)}(["${topic}"])`, `  ${from} --> ${to}`);
      }
    }
  }
  return lines.join('\n');
}
