#!/usr/bin/env node
/** `fp`: runs the working tree's TypeScript directly, so that a stale build cannot run. */
try {
  await import('tsx/esm/api').then(({ register }) => register());
} catch (error) {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  process.stderr.write('fp: the dependencies are not installed: run `make setup` first\n');
  process.exit(1);
}
process.setSourceMapsEnabled(true);
const { main } = await import('./main.ts');
await main(process.argv.slice(2));
