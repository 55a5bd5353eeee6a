/**
 * What runs a plan. `image`: a helper image in an address space of its own. `direct`: the new
 * process itself, while it still shares the parent's memory.
 */
export type Executor = 'image' | 'direct';

export const EXECUTORS: readonly Executor[] = ['image', 'direct'];
