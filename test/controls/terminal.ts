import { constants, openSync } from 'node:fs';
import { engine } from '../../src/process/engine.js';

/** ioctl_tty(2). */
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;

/** A new terminal: what a program sees of it, and the other side. */
export function openTerminal(): { readonly master: number; readonly terminal: number } {
  const { kernel } = engine();
  const { memory, scratchAt, scratchAddress } = kernel;
  const how = constants.O_RDWR | constants.O_NOCTTY;
  const master = openSync('/dev/ptmx', how);
  memory.setWord(scratchAt, 0);
  if (kernel.call('ioctl', master, TIOCSPTLCK, scratchAddress) !== 0) throw new Error('locked');
  if (kernel.call('ioctl', master, TIOCGPTN, scratchAddress) !== 0) throw new Error('no number');
  return { master, terminal: openSync(`/dev/pts/${memory.int32(scratchAt)}`, how) };
}
