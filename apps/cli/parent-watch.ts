/** A service started by another `fp` process stops when that process is gone, however it went, unless told to stay. */
export function stopWithParent(): void {
  if (process.channel === undefined) return;
  const stop = (): void => void process.kill(process.pid, 'SIGTERM');
  process.once('disconnect', stop);
  process.once('message', (message) => {
    if (message !== 'stay') return;
    process.off('disconnect', stop);
    process.disconnect();
  });
  // Watching must not keep a service alive that has finished.
  process.channel.unref();
}
