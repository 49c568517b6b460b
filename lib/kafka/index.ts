export type { AclBinding, AclBindingFilter } from './acl.ts';
export * from './admin.ts';
export * from './client.ts';
export * from './defaults.ts';
export * from './kafka-error.ts';
export * from './murmur2.ts';
export { nativeClient } from './native/native-client.ts';
export * from './outgoing-batch.ts';
export * from './record-batch.ts';
