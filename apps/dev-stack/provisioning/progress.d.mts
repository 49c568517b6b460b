export interface Progress {
  line(part: string, message: string): void;
  during<T>(part: string, message: string, work: () => Promise<T>): Promise<T>;
}
export function createProgress(write?: (text: string) => void): Progress;
