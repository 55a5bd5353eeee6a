/** Whether the long forms of tests are wanted: `npm run soak`. */
export const soak = process.env.SAFEEXEC_SOAK === '1';

/** How often, or how many: in a run of all tests, and in `npm run soak`. */
export function amount(usual: number, long: number): number {
  return soak ? long : usual;
}

/** How often a property is tried. */
export function runs(count: number): number {
  return amount(count, 30 * count);
}
