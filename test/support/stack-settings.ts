/** The servers under test, from the environment that `fp stack exec` sets. */

/** Throws an error that names the variable when it is not set. */
export function stackSetting(name: string): string {
  const value = process.env[name] ?? '';
  if (value === '') {
    throw new Error(`${name} is not set: run the tests with \`make test\`, or load \`fp stack env\``);
  }
  return value;
}
