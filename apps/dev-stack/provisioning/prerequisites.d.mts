export interface Tool {
  readonly name: string;
  readonly neededFor: string;
  readonly install: string;
  isPresent(): boolean;
}
export const COMPILE_TOOLS: readonly Tool[];
export const JAVA: Tool;
export const DOWNLOAD_TOOLS: readonly Tool[];
export function javaMajorVersion(text: string): number | undefined;
export function isNodeSupported(version: string): boolean;
export function missingTools(tools: readonly Tool[]): readonly Tool[];
export function describeMissing(tools: readonly Tool[]): string;
export function dockerAnswers(): boolean;
