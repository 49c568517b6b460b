/** What can go wrong with a stack, as one typed list; every message names the way out. */

export type StackErrorCode =
  | 'INVALID_STACK_NAME'
  | 'INVALID_PORT'
  | 'PORT_IN_USE'
  | 'PORTS_CHANGED_WHILE_RUNNING'
  | 'FLAVOUR_CHANGED_WHILE_RUNNING'
  | 'TOOLS_MISSING'
  | 'SERVER_DIED'
  | 'SERVER_NOT_HEALTHY'
  | 'SERVER_WILL_NOT_STOP'
  | 'PREPARATION_FAILED'
  | 'STACK_NOT_RUNNING'
  | 'UNKNOWN_SERVER';

export class StackError extends Error {
  override readonly name = 'StackError';

  constructor(
    readonly code: StackErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
