import { type ParseArgsConfig, parseArgs } from 'node:util';

/** A command line that cannot be meant: the message goes to stderr, and the exit code is 2. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;

/** The values of `options`, as parseArgs gives them. */
type Values<T extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; strict: true; allowPositionals: false }>
>['values'];

/** Parses a command line that has options only. */
export function parseOptions<T extends Options>(argv: readonly string[], options: T): Values<T> {
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? oneLine(error.message) : String(error));
  }
}

/** Splits a command line at the end of its options: at `--`, or before the first other word. */
export function splitCommand(
  argv: readonly string[],
  options: Options,
): { readonly own: readonly string[]; readonly command: readonly string[] } {
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  const end = tokens.find(({ kind }) => kind !== 'option');
  if (end === undefined) return { own: argv, command: [] };
  const from = end.kind === 'option-terminator' ? end.index + 1 : end.index;
  return { own: argv.slice(0, end.index), command: argv.slice(from) };
}

/** Node's message, without its advice on positional arguments, which is of no use here. */
function oneLine(message: string): string {
  return message.replace(/(')\. To specify a positional.*/s, '$1').replaceAll('\n', ' ');
}
