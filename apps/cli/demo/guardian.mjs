/**
 * Stops the stack when its standard input ends: the demonstration is over, or the process that ran it has died.
 * argv: the path of `fp`.
 */
import { spawnSync } from 'node:child_process';

const [, , fp] = process.argv;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
process.stdin.resume();
process.stdin.on('end', stop).on('error', stop);

function stop() {
  const { status } = spawnSync(process.execPath, [fp, 'stack', 'down'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  process.exit(status ?? 1);
}
