// Compares the constants, syscall numbers and struct layouts of the sources with the kernel
// headers that Debian ships for each architecture, and the rest with the headers of the libc.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as elfConstants from '../src/elf/constants.js';
import { InternalError } from '../src/errors.js';
import { MACHINES } from '../src/machine/index.js';
import type { Machine } from '../src/machine/machine.js';
import { syscallNames, syscallNumber } from '../src/machine/syscall-table.js';
import {
  ARCHITECTURES,
  type Architecture,
  headerName,
  SYSCALL_NAMES,
  syscallNumbers,
} from '../src/machine/syscalls.js';
import * as planConstants from '../src/plan/constants.js';
import { auditArchitecture } from '../src/seccomp/compile.js';
import { kernelValues, libcValues, syscallMacros } from './headers.js';
import { LAYOUTS } from './layouts.js';
import { runCheck } from './toolchain.js';

type Complain = (difference: string) => void;

/** Constants that the kernel's headers do not have everywhere: where else they are. */
const ELSEWHERE: Readonly<Record<string, { libc: string } | { source: string }>> = {
  AF_UNIX: { libc: 'PF_LOCAL' },
  SOCK_STREAM: { libc: 'SOCK_STREAM+0' },
  SOCK_DGRAM: { libc: 'SOCK_DGRAM+0' },
  EFD_CLOEXEC: { libc: 'EFD_CLOEXEC+0' },
  EFD_NONBLOCK: { libc: 'EFD_NONBLOCK+0' },
  IFNAMSIZ: { libc: 'IFNAMSIZ' },
  IFF_UP: { libc: 'IFF_UP+0' },
  MNT_DETACH: { libc: 'MNT_DETACH+0' },
  SOCK_TYPE_MASK: { source: 'include/linux/net.h, which is not exported' },
  SOCK_CLOEXEC: { libc: 'SOCK_CLOEXEC+0' },
  X_OK: { libc: 'X_OK' },
  AF_INET: { libc: 'AF_INET' },
  AF_INET6: { libc: 'AF_INET6' },
  AF_NETLINK: { libc: 'AF_NETLINK' },
  MAX_ERRNO: { source: 'include/linux/err.h, which is not exported' },
  SEEK_CUR: { libc: 'SEEK_CUR' },
  SIGNAL_LIMIT: { libc: '__SIGRTMAX' },
  DF_1_NODELETE: { libc: 'DF_1_NODELETE' },
  LANDLOCK_RULE_NET_PORT: { source: 'include/uapi/linux/landlock.h of Linux 6.7' },
  LANDLOCK_ACCESS_FS_TRUNCATE: { source: 'include/uapi/linux/landlock.h of Linux 6.2' },
  LANDLOCK_ACCESS_FS_IOCTL_DEV: { source: 'include/uapi/linux/landlock.h of Linux 6.10' },
  LANDLOCK_ACCESS_NET_BIND_TCP: { source: 'include/uapi/linux/landlock.h of Linux 6.7' },
  LANDLOCK_ACCESS_NET_CONNECT_TCP: { source: 'include/uapi/linux/landlock.h of Linux 6.7' },
  LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET: { source: 'include/uapi/linux/landlock.h of Linux 6.12' },
  LANDLOCK_SCOPE_SIGNAL: { source: 'include/uapi/linux/landlock.h of Linux 6.12' },
  LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF: {
    source: 'include/uapi/linux/landlock.h of Linux 6.15',
  },
  LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON: { source: 'include/uapi/linux/landlock.h of Linux 6.15' },
  LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF: {
    source: 'include/uapi/linux/landlock.h of Linux 6.15',
  },
  LANDLOCK_RULE_PATH_BENEATH: { source: 'an enumerator of include/uapi/linux/landlock.h' },
  MFD_EXEC: { source: 'include/uapi/linux/memfd.h of Linux 6.3, memfd_create(2)' },
};

/**
 * System calls that are younger than these headers, Linux 6.1: the numbers are those of the tables
 * of Linux 6.19 (arch/x86/entry/syscalls, scripts/syscall.tbl). Above 450 all architectures agree.
 */
const YOUNGER =
  'cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount ' +
  'lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat ' +
  'removexattrat open_tree_attr file_getattr file_setattr listns uprobe uretprobe riscv_hwprobe';

/** What asm/unistd.h counts with, and is no system call. */
const NO_SYSCALLS = new Set(['__NR_syscalls', '__NR_arch_specific_syscall']);

/** Constants whose name in the headers is another. */
const HEADER_NAMES: Readonly<Record<string, string>> = {
  SIGNAL_LIMIT: '_NSIG',
  CLONE_ARGS_SIZE: 'CLONE_ARGS_SIZE_VER2',
  SCHED_OTHER: 'SCHED_NORMAL',
  // No macros but enumerators.
  ...Object.fromEntries(
    ['NONE', 'RT', 'BE', 'IDLE'].map((name) => [`IOPRIO_CLASS_${name}`, `IOPRIO_CLASS_${name}+0`]),
  ),
  IOPRIO_WHO_PROCESS: 'IOPRIO_WHO_PROCESS+0',
  IOPRIO_WHO_PGRP: 'IOPRIO_WHO_PGRP+0',
  ADDR_NO_RANDOMIZE: 'ADDR_NO_RANDOMIZE+0',
  // Enumerators: as expressions, for they are no macros.
  FSCONFIG_SET_STRING: 'FSCONFIG_SET_STRING+0',
  FSCONFIG_CMD_CREATE: 'FSCONFIG_CMD_CREATE+0',
};

/** Constants that are this project's own choice. */
const OWN_CHOICE = new Set(['SEGMENT_ALIGNMENT']);

/** Per architecture: its number, flags it must and may have, and relocations that will do. */
const ELF: Readonly<
  Record<
    Architecture,
    { machine: string; must: string; may: string; address: string[]; relative: string }
  >
> = {
  x64: {
    ...{ machine: 'EM_X86_64', must: '0+0', may: '0+0' },
    ...{ address: ['R_X86_64_GLOB_DAT', 'R_X86_64_64'], relative: 'R_X86_64_RELATIVE' },
  },
  ia32: {
    ...{ machine: 'EM_386', must: '0+0', may: '0+0' },
    ...{ address: ['R_386_GLOB_DAT', 'R_386_32'], relative: 'R_386_RELATIVE' },
  },
  arm: {
    ...{ machine: 'EM_ARM', must: 'EF_ARM_EABI_VER5', may: 'EF_ARM_ABI_FLOAT_HARD' },
    ...{ address: ['R_ARM_GLOB_DAT', 'R_ARM_ABS32'], relative: 'R_ARM_RELATIVE' },
  },
  arm64: {
    ...{ machine: 'EM_AARCH64', must: '0+0', may: '0+0' },
    ...{ address: ['R_AARCH64_GLOB_DAT', 'R_AARCH64_ABS64'], relative: 'R_AARCH64_RELATIVE' },
  },
  riscv64: {
    ...{ machine: 'EM_RISCV', must: 'EF_RISCV_FLOAT_ABI_DOUBLE', may: '0+0' },
    ...{ address: ['R_RISCV_64'], relative: 'R_RISCV_RELATIVE' },
  },
};

function checkConstants(complain: Complain): string[] {
  const constants = Object.entries({ ...planConstants, ...elfConstants })
    .filter(([name]) => !OWN_CHOICE.has(name))
    .map(([name, value]) => ({ name, value, header: HEADER_NAMES[name] ?? name }));
  const libc = libcValues(Object.values(ELSEWHERE).flatMap((to) => ('libc' in to ? to.libc : [])));
  const unchecked = new Set<string>();
  for (const architecture of ARCHITECTURES) {
    const values = kernelValues(
      architecture,
      constants.map(({ header }) => header),
    );
    for (const { name, value, header } of constants) {
      let found = values.get(header) ?? null;
      const elsewhere = ELSEWHERE[name];
      if (found === null && elsewhere !== undefined) {
        if ('source' in elsewhere) {
          unchecked.add(`${name} is not in these headers, source: ${elsewhere.source}`);
          continue;
        }
        found = libc.get(elsewhere.libc) ?? null;
      }
      if (found === null) complain(`${architecture}: no header has ${header}`);
      else if (found !== value) complain(`${architecture}: ${name} is ${found}, not ${value}`);
    }
  }
  return [`${constants.length} constants on ${ARCHITECTURES.length} architectures`, ...unchecked];
}

function checkSyscalls(architecture: Architecture, complain: Complain): string {
  const number = syscallNumbers(architecture);
  const macro = (name: string): string => `__NR_${headerName(name, architecture)}`;
  const values = kernelValues(architecture, SYSCALL_NAMES.map(macro));
  for (const name of SYSCALL_NAMES) {
    const found = values.get(macro(name)) ?? null;
    let ours: number | null = null;
    try {
      ours = number(name);
    } catch (error) {
      if (!(error instanceof InternalError)) throw error;
    }
    if (ours !== found) complain(`${architecture}: ${macro(name)} is ${found}, not ${ours}`);
  }
  return `${architecture}: ${SYSCALL_NAMES.length} syscall numbers`;
}

/** The table that policies are read by has all that the headers have, and nothing else. */
function checkSyscallTable(architecture: Architecture, complain: Complain): string {
  const names = [...syscallNames(architecture).values()];
  const younger = new Set(YOUNGER.split(' '));
  const macros = syscallMacros(architecture).filter((macro) => !NO_SYSCALLS.has(macro));
  const values = kernelValues(architecture, macros);
  const found = new Set<string>();
  for (const macro of macros) {
    const name = macro.replace(/^__(ARM_)?NR_/, '');
    found.add(name);
    const ours = syscallNumber(name, architecture) ?? null;
    if (ours !== values.get(macro)) {
      complain(`${architecture}: ${macro} is ${values.get(macro)}, not ${ours}`);
    }
  }
  for (const name of names) {
    if (!found.has(name) && !younger.has(name)) complain(`${architecture}: no header has ${name}`);
  }
  return `${architecture}: ${names.length} numbers of the syscall table`;
}

const AUDIT_ARCHITECTURES: Readonly<Record<Architecture, string>> = {
  x64: 'AUDIT_ARCH_X86_64',
  ia32: 'AUDIT_ARCH_I386',
  arm: 'AUDIT_ARCH_ARM',
  arm64: 'AUDIT_ARCH_AARCH64',
  riscv64: 'AUDIT_ARCH_RISCV64',
};

function checkMachine(machine: Machine, complain: Complain): string {
  const { name, elf, relocations } = machine;
  const values = kernelValues(
    name,
    LAYOUTS.map(([, , expression]) => expression),
  );
  const compare = (what: string, ours: number, found: number | null | undefined): void => {
    if (ours !== found) complain(`${name}: ${what} is ${found}, not ${ours}`);
  };
  for (const [what, ours, expression] of LAYOUTS)
    compare(what, ours(machine), values.get(expression));

  const audit = AUDIT_ARCHITECTURES[name];
  compare(audit, auditArchitecture(machine), kernelValues(name, [audit]).get(audit));

  const { machine: number, must, may, address, relative } = ELF[name];
  // Sums: an enumerator of libc's would be no macro.
  const sum = (term: string): string => `(${term})+0`;
  const libc = libcValues([number, must, may, relative, ...address].map(sum));
  const value = (term: string): number => libc.get(sum(term)) as number;
  compare('the ELF machine', elf.machine, value(number));
  const required = value(must);
  if ((elf.flags & required) !== required || elf.flags & ~(required | value(may))) {
    complain(`${name}: the ELF flags ${elf.flags} are not ${must}, with or without ${may}`);
  }
  compare('the relative relocation', relocations.relative, value(relative));
  if (!address.map(value).includes(relocations.address)) {
    complain(`${name}: the relocation of an address is none of ${address.join(', ')}`);
  }
  return `${name}: ${LAYOUTS.length} sizes and offsets, ELF machine, flags and relocations`;
}

/** Constants of the kernel must stand where this script compares them. */
function checkStrays(complain: Complain): string {
  const folder = fileURLToPath(new URL('../../src', import.meta.url));
  const compared = new Set(['plan/constants.ts', 'elf/constants.ts']);
  const found: { name: string; file: string }[] = [];
  for (const file of readdirSync(folder, { recursive: true }) as string[]) {
    if (!file.endsWith('.ts') || compared.has(file)) continue;
    const text = readFileSync(join(folder, file), 'utf8');
    for (const [, name] of text.matchAll(/\bconst ([A-Z_][A-Z0-9_]*)(?:: \w+)? = /g)) {
      found.push({ name: name as string, file });
    }
  }
  const names = [...new Set(found.map(({ name }) => name))];
  const kernel = kernelValues('x64', names);
  const libc = libcValues(names);
  for (const { name, file } of found) {
    if ((kernel.get(name) ?? libc.get(name) ?? null) !== null) {
      complain(
        `src/${file}: ${name} is a constant of the headers: it belongs to plan/constants.ts`,
      );
    }
  }
  return `${found.length} other constants of the sources are no constants of the headers`;
}

runCheck((_, complain) => [
  ...checkConstants(complain),
  ...ARCHITECTURES.map((architecture) => checkSyscalls(architecture, complain)),
  ...ARCHITECTURES.map((architecture) => checkSyscallTable(architecture, complain)),
  ...Object.values(MACHINES).map((machine) => checkMachine(machine, complain)),
  checkStrays(complain),
]);
