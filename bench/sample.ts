/** Sorted values of one kind. */
export class Sample {
  readonly values: readonly number[];

  constructor(values: readonly number[]) {
    this.values = values.toSorted((a, b) => a - b);
  }

  quantile(part: number): number {
    const { values } = this;
    return values[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN;
  }

  get median(): number {
    return this.quantile(0.5);
  }

  /** For the JSON: what shows how far the median can be trusted. */
  get summary(): {
    count: number;
    p10: number;
    p25: number;
    p50: number;
    p75: number;
    p90: number;
  } {
    const [p10, p25, p50, p75, p90] = [0.1, 0.25, 0.5, 0.75, 0.9].map((part) =>
      Number(this.quantile(part).toPrecision(4)),
    ) as [number, number, number, number, number];
    return { count: this.values.length, p10, p25, p50, p75, p90 };
  }
}

/** Takes one sample: some figures by name, in the unit that the caller wants. */
export type Take<Figures> = () => Promise<Figures> | Figures;

/** All samples of a kind, by the names of their figures. */
export type Samples<Figures> = { readonly [Name in keyof Figures]: Sample };

export interface Schedule {
  /** Milliseconds for all samples together. */
  readonly budget: number;
  /** Samples of each kind in a row, of which the first sixth, at least one, is dropped. */
  readonly block: number;
  /** Samples of each kind that are taken and forgotten before. */
  readonly warmUp: number;
  /** Samples of each kind at the least, whatever the budget. */
  readonly atLeast?: number;
}

/**
 * Samples of two kinds in turns, A A A B B B A A A …, so that what else the machine does hits
 * both. Turns are blocks because fork leaves the pages of this process write-protected, and what
 * comes next pays for each when it writes there: the first samples after a change of kind bear the
 * other one's debt.
 */
export async function alternate<Figures extends { readonly [Name in keyof Figures]: number }>(
  kinds: readonly [Take<Figures>, Take<Figures>],
  { budget, block, warmUp, atLeast = 1 }: Schedule,
): Promise<[Samples<Figures>, Samples<Figures>]> {
  const end = performance.now() + budget;
  // Not beyond half of the time: what is slow to start is not helped by being started often.
  const warm = performance.now() + budget / 2;
  for (const take of kinds) {
    for (let i = 0; i < warmUp && performance.now() < warm; i++) await take();
  }
  const settling = Math.max(1, Math.floor(block / 6));
  const taken: [Figures[], Figures[]] = [[], []];
  while (performance.now() < end || taken[1].length < atLeast) {
    for (const [kind, take] of kinds.entries()) {
      for (let i = 0; i < block; i++) {
        const figures = await take();
        if (block === 1 || i >= settling) (taken[kind] as Figures[]).push(figures);
      }
    }
  }
  return taken.map((list) => {
    const names = Object.keys(list[0] as Figures) as (keyof Figures)[];
    return Object.fromEntries(
      names.map((name) => [name, new Sample(list.map((figures) => figures[name] as number))]),
    );
  }) as [Samples<Figures>, Samples<Figures>];
}
