/** The contract, fulfilled by the packed-batch addon: all of it. */
import test from 'ava';
import { nativeClient } from '../../../lib/kafka/native/native-client.ts';
import { contractTests } from './contract.ts';

contractTests(
  test,
  nativeClient,
  new URL('../../../lib/kafka/native/native-client.ts', import.meta.url).href,
  {
    offsetMetadata: true,
    otherIsolation: true,
    groupMetadata: true,
    binaryHeaders: true,
  },
);
