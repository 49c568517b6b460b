export class TapCounter {
  constructor(print: (line: string) => void);
  push(line: string): void;
  result(exit: number | string | null): { readonly passed: number; readonly failed: number };
}
