import { openSync, readFileSync, readSync } from 'node:fs';
import type { RawCall } from './arming.js';

/*
 * What a launch might leave behind, read without a system call that the matrix makes fail: the
 * files of /proc are opened once, and read with pread64 and getdents64.
 */

export interface Traces {
  readonly descriptors: readonly number[];
  readonly children: string;
  readonly blocked: string;
}

/** Gives what looks at this thread. `scratch` is memory that system calls can write to. */
export function observer(
  call: RawCall,
  scratch: { readonly bytes: Uint8Array; readonly address: number },
): () => Traces {
  const [folder, status, children] = [
    '/proc/self/fd',
    '/proc/thread-self/status',
    '/proc/thread-self/children',
  ].map((path) => openSync(path, 'r')) as [number, number, number];
  const buffer = Buffer.alloc(65536);
  const text = (fd: number): string =>
    buffer.toString('latin1', 0, readSync(fd, buffer, 0, 65536, 0));

  const descriptors = (): number[] => {
    const found: number[] = [];
    call('lseek', folder, 0, 0);
    for (;;) {
      const size = call('getdents64', folder, scratch.address, scratch.bytes.length);
      if (size <= 0) break;
      const view = new DataView(scratch.bytes.buffer, scratch.bytes.byteOffset, size);
      // struct linux_dirent64: two words of 64 bits, the length, the type, the name.
      for (let at = 0; at < size; at += view.getUint16(at + 16, true)) {
        const end = scratch.bytes.indexOf(0, at + 19);
        const name = new TextDecoder('latin1').decode(scratch.bytes.subarray(at + 19, end));
        if (!name.startsWith('.')) found.push(Number(name));
      }
    }
    return found.sort((a, b) => a - b);
  };
  return () => ({
    descriptors: descriptors(),
    children: text(children).trim(),
    blocked: /^SigBlk:\s*(\w+)/m.exec(text(status))?.[1] ?? '',
  });
}

/** How many mappings this process has once all garbage is gone. Needs --expose-gc. */
export function mappings(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return readFileSync('/proc/self/maps', 'latin1').trimEnd().split('\n').length;
}
