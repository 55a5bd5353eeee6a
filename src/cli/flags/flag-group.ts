import type { ControlOptions } from '../../controls/index.js';

/** The flags of a group of control options. */
export interface FlagGroup {
  /** As util.parseArgs() wants them. */
  readonly options: Readonly<
    Record<string, { readonly type: 'string' | 'boolean'; readonly multiple?: boolean }>
  >;
  /** Lines of help, each with two blanks in front, and a heading. */
  readonly help: string;
  /** Throws UsageError, or leaves it to the option's own check. */
  read(values: FlagValues): ControlOptions;
}

/** What was given: of each flag its value, or a list of them. */
export type FlagValues = Readonly<Record<string, string | boolean | string[] | undefined>>;
