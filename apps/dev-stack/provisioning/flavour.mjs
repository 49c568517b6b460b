/** Containers or plain processes: what was asked for, else what this machine can do. */
import { DOWNLOAD_TOOLS, JAVA, describeMissing, dockerAnswers, missingTools } from './prerequisites.mjs';
import { DOWNLOADED_PRODUCTS, isProvided } from './software.mjs';

/** @typedef {'native' | 'compose'} Flavour */

/**
 * @typedef {object} Machine what the choice depends on
 * @property {() => boolean} dockerAnswers
 * @property {() => readonly import('./prerequisites.mjs').Tool[]} missingForNative
 */

/** @type {Machine} */
const THIS_MACHINE = { dockerAnswers, missingForNative };

/** Downloading tools are not needed once everything is in the cache. */
function missingForNative() {
  const downloaded = [...DOWNLOADED_PRODUCTS, /** @type {const} */ ('minio-admin')].every((product) =>
    isProvided(product),
  );
  return missingTools(downloaded ? [JAVA] : [JAVA, ...DOWNLOAD_TOOLS]);
}

/**
 * @param {string | undefined} requested the variable STACK or a flag: `native`, `compose`, or nothing
 * @param {Machine} [machine]
 * @returns {{ flavour: Flavour, reason: string }}
 * @throws Error that names what to install, if the flavour asked for, or either one, is not possible
 */
export function chooseFlavour(requested, machine = THIS_MACHINE) {
  if (requested === 'compose') {
    if (machine.dockerAnswers()) return { flavour: 'compose', reason: 'asked for' };
    throw new Error(
      'containers were asked for (STACK=compose or --docker), but no Docker engine with the compose plugin answers: start Docker, or use STACK=native',
    );
  }
  if (requested !== undefined && requested !== '' && requested !== 'native') {
    throw new Error(`STACK is "${requested}": give "compose" or "native", or leave it out`);
  }
  if (requested !== 'native' && machine.dockerAnswers()) {
    return { flavour: 'compose', reason: 'a Docker engine answers' };
  }
  const missing = machine.missingForNative();
  if (missing.length === 0) {
    return {
      flavour: 'native',
      reason: requested === 'native' ? 'asked for' : 'no Docker engine answers, and Java is here',
    };
  }
  const alternative =
    requested === 'native' ? '' : '\nor start Docker (with the compose plugin) to use containers instead';
  throw new Error(
    `the servers cannot run on this machine yet; missing:\n${describeMissing(missing)}${alternative}`,
  );
}
