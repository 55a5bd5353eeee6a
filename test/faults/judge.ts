import { errnoNumber } from './arming.js';
import type { Cell, Row } from './cells.js';
import type { Outcome } from './operations.js';
import { type Tolerance, toleranceOf } from './tolerated.js';
import type { Traces } from './traces.js';

/** What the fixture says of a cell. */
export interface Result {
  readonly outcome: Outcome;
  readonly before: Traces;
  readonly after: Traces;
  /** How the next launch ended. */
  readonly next: Outcome;
}

/** Errors with two names. */
const SAME_NUMBER: Readonly<Record<string, string>> = {
  EOPNOTSUPP: 'ENOTSUP',
};

const IGNORED: Pick<Tolerance, 'how' | 'exit'> = { how: 'ignored' };

/** Compares what happened with what has to. `injected`: which calls strace made fail. */
export function judge(cell: Cell, result: Result, injected: readonly string[]): Row {
  const { site, errno } = cell;
  const { outcome, before, after, next } = result;
  const faults: string[] = [];
  // Whether a child that ends at once is still written to, is chance.
  const skipped = site.by === 'process/pump: #write' && injected.length === 0;
  if (!skipped && (injected.length !== 1 || injected[0] !== site.syscall)) {
    faults.push(`made to fail: ${injected.join(', ') || 'nothing'}`);
  }
  let text: string;
  const { error } = outcome;
  if (error !== null) {
    text = `error of ${error.step}`;
    // pthread_create(3) has no ENOMEM.
    const libc = site.by === 'pthread_create' && errno === 'ENOMEM' && error.code === 'EAGAIN';
    // Node has no name for some; where it makes the error it says so.
    const unnamed = `Unknown system error -${errnoNumber(errno)}`;
    const named = [errno, SAME_NUMBER[errno], unnamed].includes(error.code);
    if (!libc && (!named || error.errno !== -errnoNumber(errno))) {
      faults.push(`code ${error.code} ${error.errno}`);
    }
    // What comes up while a child is running is no failed launch, and named as Node does.
    const running = site.by.startsWith('process/pump');
    if ((error.step === undefined && !running) || error.syscall === undefined) {
      faults.push(error.text);
    }
    // As in Node, `spawn NAME`.
    const own = error.syscall?.startsWith('spawn');
    const syscall = site.by === 'pthread_create' ? site.by : site.syscall;
    if (!own && error.syscall !== syscall) faults.push(`syscall ${error.syscall}`);
    if (site.step !== null && error.step !== site.step) faults.push(`step ${error.step}`);
  } else {
    const tolerance = site.handled === false ? IGNORED : toleranceOf(cell);
    text = tolerance?.how ?? 'goes on';
    if (tolerance === undefined) faults.push('no error');
    const { exit = [0] } = tolerance ?? {};
    if (!exit.some((value) => value === outcome.exit))
      faults.push(`the target ends with ${outcome.exit}`);
  }
  faults.push(...differences(cell, before, after, error !== null));
  if (next.error !== null || next.exit !== 0) {
    faults.push(`the next launch: ${next.error?.text ?? next.exit}`);
  }
  return { ...cell, outcome: text, fault: faults.length === 0 ? null : faults.join('; ') };
}

function differences(
  { site, errno }: Cell,
  before: Traces,
  after: Traces,
  failed: boolean,
): string[] {
  const faults: string[] = [];
  const more = after.descriptors.filter((fd) => !before.descriptors.includes(fd));
  const fewer = before.descriptors.filter((fd) => !after.descriptors.includes(fd));
  // The kernel closes a descriptor whatever close(2) says; strace makes it not be called.
  if (site.syscall === 'close' && site.by !== 'child' && more.length === 1) more.pop();
  // A second waiter, which never ends, has a set of its own.
  const second = site.operation === 'first Watcher' && (!failed || site.step === 'join waiter');
  if (second && more.length === 1) more.pop();
  if (more.length > 0) faults.push(`left open: ${more}`);
  if (fewer.length > 0) faults.push(`closed: ${fewer}`);
  if (before.blocked !== after.blocked) faults.push(`signal mask ${after.blocked}`);
  // ECHILD says that another has reaped it, which here nobody has.
  const lost = site.syscall === 'waitid' && errno === 'ECHILD';
  if (before.children !== after.children && !lost) faults.push(`children ${after.children}`);
  return faults;
}
