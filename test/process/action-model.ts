import type { FileAction } from '../../src/index.js';

/** What file actions do, by their documentation alone: a table of names, and a directory. */
export interface Model {
  /** Descriptor to what it refers to; `given` if the child is to have it. */
  readonly table: Map<number, { readonly file: string; readonly given: boolean }>;
  cwd: string;
}

/** Where the model's process fails, with which error. */
export class ModelFailure extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export interface ModelFiles {
  readonly resolve: (cwd: string, path: string) => string;
  readonly exists: (path: string) => boolean;
  readonly isFolder: (path: string) => boolean;
}

/** Does the actions in their order. Throws ModelFailure at the first that fails. */
export function act(model: Model, actions: readonly FileAction[], files: ModelFiles): void {
  const { table } = model;
  const entry = (fd: number) => {
    const found = table.get(fd);
    if (found === undefined) throw new ModelFailure('EBADF');
    return found;
  };
  const enter = (path: string): void => {
    if (!files.isFolder(path)) throw new ModelFailure('ENOTDIR');
    model.cwd = path;
  };
  for (const action of actions) {
    switch (action.type) {
      case 'open': {
        const path = files.resolve(model.cwd, action.path);
        if (!files.exists(path)) throw new ModelFailure('ENOENT');
        table.set(action.fd, { file: path, given: true });
        break;
      }
      case 'close':
        table.delete(action.fd);
        break;
      case 'dup2':
        table.set(action.to, { file: entry(action.from).file, given: true });
        break;
      case 'chdir': {
        const path = files.resolve(model.cwd, action.path);
        if (!files.exists(path)) throw new ModelFailure('ENOENT');
        enter(path);
        break;
      }
      case 'fchdir':
        enter(entry(action.fd).file);
        break;
      case 'closeFrom':
        for (const fd of table.keys()) if (fd >= action.fd) table.delete(fd);
        break;
      case 'closeAllBut':
        for (const [fd, { file }] of table) {
          if (action.fds.includes(fd)) table.set(fd, { file, given: true });
          else table.delete(fd);
        }
        break;
      case 'tcsetpgrp':
        entry(action.fd);
        throw new ModelFailure('ENOTTY');
    }
  }
}
