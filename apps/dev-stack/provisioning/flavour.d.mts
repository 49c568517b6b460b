import type { Tool } from './prerequisites.mjs';

export type Flavour = 'native' | 'compose';
export interface Machine {
  dockerAnswers(): boolean;
  missingForNative(): readonly Tool[];
}
export function chooseFlavour(
  requested: string | undefined,
  machine?: Machine,
): { readonly flavour: Flavour; readonly reason: string };
