import { type SharedObject, sharedObject, type TableEntry } from '../elf/shared-object.js';
import type { Machine } from '../machine/machine.js';

const imported = (name: string, weak = true): TableEntry => ({ kind: 'import', name, weak });
const state = (name: string): TableEntry => ({ kind: 'state', name });

/** A pthread_mutex_t takes at most 48 bytes on the machines here; all zero is unlocked. */
const MUTEX_WORDS = Array.from({ length: 12 }, (_, i) => state(`lock+${i}`));

const table = (build: number): readonly TableEntry[] => [
  { kind: 'value', name: 'build', value: build },
  { kind: 'entry', name: 'run' },
  imported('napi_create_function', false),
  imported('napi_get_cb_info', false),
  imported('napi_get_arraybuffer_info', false),
  imported('napi_add_env_cleanup_hook', false),
  imported('environ'),
  imported('calloc'),
  imported('free'),
  imported('memcpy'),
  imported('strlen'),
  imported('pthread_create'),
  imported('pthread_mutex_lock'),
  imported('pthread_mutex_unlock'),
  // The epoll descriptor of the process's waiter thread, plus one; 0 while there is no thread.
  state('waiter'),
  state('lock'),
  ...MUTEX_WORDS,
];

/** Names of the words of the table, in order. */
export const TABLE_NAMES: readonly string[] = table(0).map(({ name }) => name);

/** Emits the binding for a machine. The build id in its table is a hash of all the rest. */
export function bindingImage(machine: Machine): SharedObject & { readonly build: number } {
  const draft = sharedObject(machine, 'napi_register_module_v1', table(0));
  let build = 0x811c9dc5;
  for (const byte of draft.bytes) build = Math.imul(build ^ byte, 0x01000193) >>> 0;
  return { ...sharedObject(machine, 'napi_register_module_v1', table(build)), build };
}

/** Name of the file that the package ships for a machine. */
export function bindingFileName(machine: Machine): string {
  return `safeexec-linux-${machine.name}.node`;
}
