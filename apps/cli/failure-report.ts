/** An error as its reader needs it: what failed and why in one line; the stack and the chain of causes if asked for. */

/** @param verbose the whole stack instead of the message */
export function describeFailure(error: unknown, verbose: boolean): string {
  if (!(error instanceof Error)) return String(error);
  if (verbose)
    return [
      error.stack ?? error.message,
      ...causes(error).map((cause) => `caused by ${cause.stack ?? cause.message}`),
    ].join('\n');
  const code = 'code' in error && typeof error.code === 'string' ? ` [${error.code}]` : '';
  return `${readable(error)}${code}${directCause(error)}`;
}

function readable(error: Error): string {
  // Node gives a refused connection to several addresses an AggregateError with an empty message.
  if (error.message === '' && error instanceof AggregateError) {
    return error.errors.map((each) => (each instanceof Error ? each.message : String(each))).join('; ');
  }
  return error.message === '' ? error.name : error.message;
}

/** The innermost cause, unless the message says it already. */
function directCause(error: Error): string {
  const innermost = causes(error).at(-1);
  if (innermost === undefined) return '';
  const text = readable(innermost);
  return error.message.includes(text) ? '' : `: ${text}`;
}

function causes(error: Error): Error[] {
  const chain: Error[] = [];
  let cause = error.cause;
  while (cause instanceof Error && !chain.includes(cause)) {
    chain.push(cause);
    cause = cause.cause;
  }
  return chain;
}
