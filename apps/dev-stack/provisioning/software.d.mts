import type { Progress } from './progress.mjs';

export type Product = 'kafka' | 'apicurio-registry' | 'minio' | 'minio-admin' | 'postgresql';
export const DOWNLOADED_PRODUCTS: readonly ['kafka', 'apicurio-registry', 'minio'];
export function isProvided(product: Product, root?: string): boolean;
export function provideSoftware(
  product: Product,
  progress: Progress,
  options?: { readonly root?: string },
): Promise<string>;
