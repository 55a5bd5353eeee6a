import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { F_SETFD } from '../../src/plan/constants.js';
import { engine } from '../../src/process/engine.js';

const F_DUPFD_CLOEXEC = 1030;

/** Files, each open in this process by a descriptor of its own: two of them on high numbers. */
export class OpenFiles {
  readonly folder = mkdtempSync(join(tmpdir(), 'safeexec-test-'));
  /** Descriptor to path. */
  readonly paths = new Map<number, string>();

  constructor(count = 6, high: readonly number[] = [400, 900]) {
    const { kernel } = engine();
    for (let i = 0; i < count; i++) this.#add(i, openSync(this.path(`parent-${i}`), 'w+'));
    for (const floor of high) {
      const fd = openSync(this.path(`parent-${floor}`), 'w+');
      this.#add(floor, kernel.call('fcntl', fd, F_DUPFD_CLOEXEC, floor));
      closeSync(fd);
    }
  }

  /** Every second one would reach any child, as those do that native libraries open. */
  #add(i: number, fd: number): void {
    if (i % 2 === 0) engine().kernel.call('fcntl', fd, F_SETFD, 0);
    this.paths.set(fd, this.path(`parent-${i}`));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  create(name: string): string {
    writeFileSync(this.path(name), '');
    return this.path(name);
  }

  get descriptors(): number[] {
    return [...this.paths.keys()];
  }

  close(): void {
    for (const fd of this.descriptors) closeSync(fd);
    rmSync(this.folder, { recursive: true });
  }
}
