/** An environment in which the local profile is complete. */
export const ENVIRONMENT = {
  KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:9092',
  SCHEMA_REGISTRY_URL: 'http://127.0.0.1:8080/apis/ccompat/v7',
  POSTGRES_DSN: 'postgres://user:pg-secret@127.0.0.1:5432/platform',
  S3_ENDPOINT: 'http://127.0.0.1:9000',
  S3_ACCESS_KEY: 'reader',
  S3_SECRET_KEY: 'reader-secret',
} as const;
