import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';

const [DIRECTORY, FILE, LINK] = [0o040755, 0o100755, 0o120777];

/** A root file system in memory, as kernels unpack it at their start: a cpio archive, "newc". */
export class RootArchive {
  readonly #parts: Buffer[] = [];

  directory(path: string): void {
    this.#add(path, DIRECTORY, Buffer.alloc(0));
  }

  file(path: string, content: string | Buffer): void {
    this.#add(path, FILE, Buffer.from(content));
  }

  link(path: string, target: string): void {
    this.#add(path, LINK, Buffer.from(target));
  }

  /** All that is in a folder of this machine, but for what `keep` does not want. */
  tree(path: string, folder: string, keep: (path: string) => boolean = () => true): void {
    this.directory(path);
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const [to, from] = [`${path}/${entry.name}`, join(folder, entry.name)];
      if (!keep(from)) continue;
      if (entry.isDirectory()) this.tree(to, from, keep);
      else if (entry.isSymbolicLink()) this.link(to, readlinkSync(from));
      else if (statSync(from).isFile()) this.file(to, readFileSync(from));
    }
  }

  bytes(): Buffer {
    return Buffer.concat([...this.#parts, entry('TRAILER!!!', 0, 0, Buffer.alloc(0))]);
  }

  #add(path: string, mode: number, content: Buffer): void {
    this.#parts.push(entry(path, mode, this.#parts.length + 1, content));
  }
}

/** Thirteen numbers of eight digits, the path, the content; both filled up to words. */
function entry(path: string, mode: number, inode: number, content: Buffer): Buffer {
  const name = Buffer.from(`${path}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  const start = Buffer.concat([Buffer.from(header), name]);
  const fill = (size: number): Buffer => Buffer.alloc(-size & 3);
  return Buffer.concat([start, fill(start.length), content, fill(content.length)]);
}
