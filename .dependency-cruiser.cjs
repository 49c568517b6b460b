/** The import boundaries of the repository: see docs/contributor.md. */
module.exports = {
  forbidden: [
    { name: 'lib-imports-no-app', severity: 'error', from: { path: '^lib/' }, to: { path: '^apps/' } },
    {
      name: 'only-lib-kafka-imports-a-kafka-client',
      severity: 'error',
      from: { pathNot: '^lib/kafka/' },
      to: { path: 'node_modules/(kafkajs|node-rdkafka)(/|$)' },
    },
    {
      name: 'apps-import-only-the-public-surface',
      severity: 'error',
      from: { path: '^apps/' },
      to: { path: '^lib/', pathNot: '^lib/index\\.ts$' },
    },
    {
      name: 'no-circular',
      severity: 'error',
      // A stream gives tables and a table gives streams: these four classes name one another by nature.
      from: { pathNot: '^lib/topology/(k-stream|k-table|grouped-stream|grouped-table)\\.ts$' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.mjs', '.js'] },
  },
};
