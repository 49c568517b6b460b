/** Which tools this machine has, found by asking them; what to install when one is missing. */
import { spawnSync } from 'node:child_process';

const ANSWER_TIMEOUT_MS = 10_000;
const OLDEST_JAVA = 17;
const OLDEST_NODE = /** @type {const} */ ([20, 12]);

/**
 * @typedef {object} Tool
 * @property {string} name
 * @property {string} neededFor
 * @property {string} install what to install, in a reader's words
 * @property {() => boolean} isPresent
 */

/** @param {string} command @param {readonly string[]} args */
function answer(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: ANSWER_TIMEOUT_MS });
  return result.status === 0 ? `${result.stdout}${result.stderr}` : undefined;
}

/**
 * The major version in `java -version`'s answer: `openjdk version "17.0.15"` is 17, `java version "1.8.0_292"` is 8.
 *
 * @param {string} text
 * @returns {number | undefined}
 */
export function javaMajorVersion(text) {
  const match = /version "(?:1\.)?(\d+)/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

/** @param {string} version as in `process.versions.node` */
export function isNodeSupported(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
}

/** @type {readonly Tool[]} */
export const COMPILE_TOOLS = [
  {
    name: 'C/C++ compiler',
    neededFor: 'the native Kafka client',
    install: 'gcc and g++ (Debian: build-essential; macOS: xcode-select --install)',
    isPresent: () => ['c++', 'g++', 'clang++'].some((name) => answer(name, ['--version']) !== undefined),
  },
  {
    name: 'make',
    neededFor: 'the native Kafka client',
    install: 'make (Debian: build-essential; macOS: xcode-select --install)',
    isPresent: () => answer('make', ['--version']) !== undefined,
  },
  {
    name: 'python3',
    neededFor: 'node-gyp, which compiles the native Kafka client',
    install: 'python3',
    isPresent: () => answer('python3', ['--version']) !== undefined,
  },
];

/** @type {Tool} */
export const JAVA = {
  name: `java >= ${OLDEST_JAVA}`,
  neededFor: 'running Apache Kafka and Apicurio Registry',
  install: `a Java ${OLDEST_JAVA} or newer runtime (Debian: openjdk-17-jre-headless; macOS: brew install openjdk@17)`,
  isPresent: () => (javaMajorVersion(answer('java', ['-version']) ?? '') ?? 0) >= OLDEST_JAVA,
};

/** @type {readonly Tool[]} */
export const DOWNLOAD_TOOLS = [
  {
    name: 'mvn',
    neededFor: 'downloading Apache Kafka and Apicurio Registry',
    install: 'Apache Maven (Debian: maven; macOS: brew install maven)',
    isPresent: () => answer('mvn', ['--version']) !== undefined,
  },
  {
    name: 'go',
    neededFor: 'building MinIO',
    install: 'Go 1.24 or newer (https://go.dev/dl; macOS: brew install go)',
    isPresent: () => answer('go', ['version']) !== undefined,
  },
];

/** @param {readonly Tool[]} tools */
export function missingTools(tools) {
  return tools.filter((tool) => !tool.isPresent());
}

/** @param {readonly Tool[]} tools */
export function describeMissing(tools) {
  return tools.map((tool) => `  - ${tool.name}, for ${tool.neededFor}: install ${tool.install}`).join('\n');
}

/** True if a Docker engine answers and has the compose plugin. */
export function dockerAnswers() {
  return (
    answer('docker', ['info', '--format', '{{.ServerVersion}}']) !== undefined &&
    answer('docker', ['compose', 'version']) !== undefined
  );
}
