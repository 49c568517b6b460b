/**
 * The one check of an output locator: schema, path template, names and order of its tokens, agreement of tokens and
 * pins, content digest. A locator is how an output is passed on by reference, so each can only ever be read as one
 * output of one world.
 */
import {
  artifactProblems,
  OUTPUT_CATALOGUE,
  sourceLocatorDigest,
  type OutputDefinition,
  type SourcePart,
  type WorldKey,
} from '../rails/index.ts';
import type { ReasonCode } from './reason-codes.ts';
import type { OutputLocator } from './run-artifacts.ts';

export interface LocatorFault {
  readonly code: ReasonCode;
  readonly detail: string;
}

export interface LocatorExpectation {
  /** The world the locator must be of. */
  readonly world: WorldKey;
  /** The parts that its digest must cover; leave out to check all but the digest's value. */
  readonly parts?: readonly SourcePart[];
}

const TOKEN = /^([a-z_]+)=(.+)$/;

/** The tokens of an output's path, in the order its template has them. */
export function pathTokens(output: OutputDefinition): readonly (keyof WorldKey)[] {
  return [...output.path_template.matchAll(/\/([a-z_]+)=\{\1\}/g)].map((match) => match[1] as keyof WorldKey);
}

/** The first fault of a locator, in the order above; undefined when there is none. */
export function locatorFault(locator: unknown, expected: LocatorExpectation): LocatorFault | undefined {
  const problems = artifactProblems('output_locator', locator);
  if (problems.length > 0) return fault('LOCATOR_SCHEMA_INVALID', problems.join('; '));
  const {
    output_id: outputId,
    path,
    content_digest: digest,
    ...pins
  } = locator as Partial<OutputLocator> & {
    readonly output_id: string;
    readonly path: string;
  };
  const output = OUTPUT_CATALOGUE.get(outputId);
  if (output === undefined) return fault('UNKNOWN_OUTPUT_ID', `the output catalogue has no ${outputId}`);

  return (
    templateFault(output, path) ??
    tokenFault(output, path, pins) ??
    worldFault(pins, expected.world) ??
    digestFault(digest?.hex, expected.parts)
  );
}

/** The fixed steps of the path, with tokens left out, are the template's. */
function templateFault(output: OutputDefinition, path: string): LocatorFault | undefined {
  const fixed = (text: string): string[] => text.split('/').filter((step) => !step.includes('='));
  const steps = path.split('/');
  const wanted = fixed(output.path_template);
  const found = fixed(path);
  const upwards = steps.some((step) => step === '' || step === '.' || step === '..');
  if (!upwards && wanted.join('/') === found.join('/')) return undefined;
  return fault('LOCATOR_TEMPLATE_MISMATCH', `${path} does not fit ${output.path_template}`);
}

function tokenFault(
  output: OutputDefinition,
  path: string,
  pins: Readonly<Partial<Record<string, string>>>,
): LocatorFault | undefined {
  const wanted: readonly string[] = pathTokens(output);
  const tokens = path.split('/').flatMap((step) => {
    const match = TOKEN.exec(step);
    return match === null ? [] : [{ name: match[1]!, value: match[2]! }];
  });
  const names = tokens.map((token) => token.name);
  const unknown = names.find((name) => !wanted.includes(name));
  if (unknown !== undefined) {
    return fault(
      'LOCATOR_TOKEN_UNKNOWN',
      `${path}: ${output.output_id} has no token ${unknown}; it has ${wanted.join(', ')}`,
    );
  }
  if (names.join() !== wanted.join()) {
    return fault(
      'LOCATOR_TOKEN_ORDER',
      `${path} has the tokens ${names.join(', ')}; expected ${wanted.join(', ')}`,
    );
  }
  const wrong = tokens.find(({ name, value }) => pins[name] !== value);
  if (wrong === undefined) return undefined;
  return fault(
    'LOCATOR_PIN_MISMATCH',
    `${path} says ${wrong.name} ${wrong.value}, the locator's pin is ${String(pins[wrong.name])}`,
  );
}

function worldFault(
  pins: Readonly<Partial<Record<string, string>>>,
  world: WorldKey,
): LocatorFault | undefined {
  for (const [name, value] of Object.entries(world)) {
    if (pins[name] !== undefined && pins[name] !== value) {
      return fault('LOCATOR_PIN_MISMATCH', `${name} is ${pins[name]}, the world has ${String(value)}`);
    }
  }
  return undefined;
}

function digestFault(
  digest: string | undefined,
  parts: readonly SourcePart[] | undefined,
): LocatorFault | undefined {
  if (digest === undefined) return fault('INSTANCE_DIGEST_MISSING', 'the locator has no content digest');
  if (parts === undefined) return undefined;
  const actual = sourceLocatorDigest(parts);
  if (digest === actual) return undefined;
  return fault(
    'LOCATOR_DIGEST_MISMATCH',
    `content digest is ${digest}, the ${parts.length} parts give ${actual}`,
  );
}

function fault(code: ReasonCode, detail: string): LocatorFault {
  return { code, detail };
}
