export default {
  extensions: { ts: 'module' },
  // Processes, not worker threads: tsx registers per process, and the native addon's handles belong to one.
  workerThreads: false,
  nodeArguments: ['--import=tsx'],
  files: ['test/**/*.test.ts'],
  timeout: '5m',
};
