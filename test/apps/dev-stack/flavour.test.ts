import test from 'ava';
import { composeVariables, parseContainers } from '../../../apps/dev-stack/compose-stack.ts';
import { DEFAULT_PORTS } from '../../../apps/dev-stack/ports.ts';
import { chooseFlavour } from '../../../apps/dev-stack/provisioning/flavour.mjs';
import {
  isNodeSupported,
  javaMajorVersion,
  type Tool,
} from '../../../apps/dev-stack/provisioning/prerequisites.mjs';
import { brokerProperties } from '../../../apps/dev-stack/servers/kafka.ts';
import { readFileSync } from 'node:fs';

const java: Tool = { name: 'java >= 17', neededFor: 'Kafka', install: 'a Java 17', isPresent: () => false };
const machine = (docker: boolean, ...missing: Tool[]) => ({
  dockerAnswers: () => docker,
  missingForNative: () => missing,
});

test('containers are chosen where an engine answers, processes elsewhere, each with its reason', (t) => {
  t.deepEqual(chooseFlavour(undefined, machine(true)), {
    flavour: 'compose',
    reason: 'a Docker engine answers',
  });
  t.is(chooseFlavour(undefined, machine(false)).flavour, 'native');
  t.is(chooseFlavour('', machine(false)).flavour, 'native');
});

test('STACK forces either', (t) => {
  t.deepEqual(chooseFlavour('native', machine(true)), { flavour: 'native', reason: 'asked for' });
  t.deepEqual(chooseFlavour('compose', machine(true, java)), { flavour: 'compose', reason: 'asked for' });
});

test('with neither possible the message names what to install', (t) => {
  t.throws(() => chooseFlavour(undefined, machine(false, java)), {
    message: /java >= 17[\s\S]*a Java 17[\s\S]*start Docker/,
  });
  t.throws(() => chooseFlavour('compose', machine(false)), { message: /no Docker engine/ });
  t.throws(() => chooseFlavour('podman', machine(true)), { message: /STACK is "podman"/ });
});

test('Java versions are read in the old and the new form', (t) => {
  t.is(javaMajorVersion('openjdk version "17.0.15" 2025-04-15'), 17);
  t.is(javaMajorVersion('java version "1.8.0_292"'), 8);
  t.is(javaMajorVersion('openjdk version "21" 2023-09-19'), 21);
  t.is(javaMajorVersion('command not found'), undefined);
});

test('Node 20.12 is the oldest that will do', (t) => {
  t.deepEqual(['18.20.0', '20.11.1', '20.12.0', '22.0.0'].map(isNodeSupported), [false, false, true, true]);
});

test('the compose file reads only variables that are passed to it or have a default', (t) => {
  const text = readFileSync(new URL('../../../compose/docker-compose.yml', import.meta.url), 'utf8');
  const credentials = {
    ...{ minioRootUser: 'a', minioRootPassword: 'b', s3AccessKey: 'c', s3SecretKey: 'd' },
    ...{
      oracleS3AccessKey: 'e',
      oracleS3SecretKey: 'f',
      postgresSuperuserPassword: 'g',
      postgresPassword: 'h',
    },
  };
  const passed = Object.keys(composeVariables(DEFAULT_PORTS, credentials));
  const read = [...text.matchAll(/(?<!\$)\$\{([A-Z0-9_]+)\}/g)].map((match) => match[1]!);
  t.deepEqual([...new Set(read)].sort(), passed.sort());
});

test('container states are read from one object per line and from one array', (t) => {
  const kafka = { Service: 'kafka', State: 'running', Health: 'healthy' };
  const minio = { Service: 'minio', State: 'running', Health: 'starting' };
  const expected = [
    { server: 'kafka', state: 'running', healthy: true },
    { server: 'minio', state: 'running', healthy: false },
  ];
  t.deepEqual(parseContainers(`${JSON.stringify(kafka)}\n${JSON.stringify(minio)}\n`), expected);
  t.deepEqual(parseContainers(JSON.stringify([kafka, minio])), expected);
  t.deepEqual(parseContainers(''), []);
});

test('the broker listens on loopback alone and creates no topic by itself', (t) => {
  const properties = brokerProperties({ kafka: 1111, 'kafka-controller': 2222 }, '/data');
  t.true(properties.includes('listeners=PLAINTEXT://127.0.0.1:1111,CONTROLLER://127.0.0.1:2222\n'));
  t.true(properties.includes('auto.create.topics.enable=false\n'));
});
