import { existsSync } from 'node:fs';
import type { Architecture } from '../src/machine/syscalls.js';
import { MissingPackage, mustTool, TOOLCHAINS } from './toolchain.js';

/** Kernel headers that the constants and structs are in. */
const KERNEL_HEADERS = [
  ...['linux/types.h', 'linux/time.h', 'linux/signal.h', 'linux/errno.h', 'linux/fcntl.h'],
  ...['linux/memfd.h', 'linux/sched.h', 'linux/wait.h', 'linux/eventpoll.h', 'linux/prctl.h'],
  ...['linux/resource.h', 'linux/limits.h', 'linux/binfmts.h', 'linux/elf.h', 'linux/elf-em.h'],
  ...['linux/sched/types.h', 'linux/personality.h', 'linux/ioprio.h', 'linux/oom.h'],
  ...['linux/poll.h', 'asm/ioctls.h', 'asm/unistd.h', 'asm/siginfo.h', 'linux/stat.h'],
  ...['linux/filter.h', 'linux/seccomp.h', 'linux/audit.h', 'linux/net.h', 'linux/netlink.h'],
  ...['linux/capability.h', 'linux/securebits.h', 'linux/landlock.h', 'linux/magic.h'],
  ...['linux/mount.h', 'linux/sockios.h', 'linux/futex.h'],
];

/** Headers of the host's libc, for what the kernel does not export. */
const LIBC_HEADERS = [
  ...['elf.h', 'signal.h', 'sys/socket.h', 'unistd.h'],
  ...['sys/eventfd.h', 'sys/mount.h', 'net/if.h'],
];

/**
 * The kernel's own struct sigaction, which its exported headers have in part only: see
 * include/linux/signal_types.h. Which architectures have a restorer, they do say.
 */
const KERNEL_SIGACTION = `
struct kernel_sigaction {
  void *handler;
  unsigned long flags;
#ifdef SA_RESTORER
  void *restorer;
#endif
  unsigned long mask[8 / sizeof(unsigned long)];
};`;

/**
 * Lets the host's compiler evaluate constant expressions of C, as the kernel's asm-offsets does:
 * nothing is run. Values are those of an int: 32 bits, with sign. An expression that is a macro's name and not defined gives null.
 */
function evaluate(
  expressions: readonly string[],
  preamble: string,
  options: readonly string[],
): ReadonlyMap<string, number | null> {
  const lines = expressions.map((expression, i) => {
    // In halves: the operand of an instruction has no room for more.
    const halves = `"i"((int)((long long)(${expression}) >> 32)), "i"((int)(${expression}))`;
    const line = `__asm__ volatile("=> ${i} %c0 %c1" :: ${halves});`;
    return /^\w+$/.test(expression) ? `#ifdef ${expression}\n${line}\n#endif` : line;
  });
  const source = `${preamble}\nvoid constants(void) {\n${lines.join('\n')}\n}\n`;
  const assembly = mustTool('gcc', [...options, '-S', '-o', '-', '-x', 'c', '-'], 'gcc', source);
  const values = new Map<string, number | null>(
    expressions.map((expression) => [expression, null]),
  );
  for (const [, index, high, low] of assembly.matchAll(/^\s*=> (\d+) (-?\d+) (-?\d+)$/gm)) {
    const value = Number(high) * 2 ** 32 + (Number(low) >>> 0);
    values.set(expressions[Number(index)] as string, value);
  }
  return values;
}

/** Evaluates expressions with the kernel's headers of an architecture. */
export function kernelValues(
  architecture: Architecture,
  expressions: readonly string[],
): ReadonlyMap<string, number | null> {
  const { headers, include, compile } = TOOLCHAINS[architecture];
  for (const folder of include) {
    if (!existsSync(`${folder}/linux/types.h`) && !existsSync(`${folder}/asm/unistd.h`)) {
      throw new MissingPackage(`${folder}/linux`, headers);
    }
  }
  const includes = KERNEL_HEADERS.map((header) => `#include <${header}>`);
  // The unit of MAX_ARG_STRLEN, which is not exported: the smallest one of all these machines.
  const preamble = ['#define PAGE_SIZE 4096', ...includes, KERNEL_SIGACTION].join('\n');
  const folders = include.map((folder) => `-I${folder}`);
  return evaluate(expressions, preamble, [...compile, '-nostdinc', ...folders]);
}

/** The names of all system calls that an architecture's headers have. */
export function syscallMacros(architecture: Architecture): string[] {
  const { include, compile } = TOOLCHAINS[architecture];
  const folders = include.map((folder) => `-I${folder}`);
  const options = [...compile, '-nostdinc', ...folders, '-E', '-dM', '-x', 'c', '-'];
  const macros = mustTool('gcc', options, 'gcc', '#include <asm/unistd.h>\n');
  return [...macros.matchAll(/^#define (__(?:ARM_)?NR_[a-z_]\w*) /gm)].map(([, name]) =>
    String(name),
  );
}

/** Evaluates expressions with the headers of the host's libc. */
export function libcValues(expressions: readonly string[]): ReadonlyMap<string, number | null> {
  if (!existsSync('/usr/include/elf.h'))
    throw new MissingPackage('/usr/include/elf.h', 'libc6-dev');
  const includes = LIBC_HEADERS.map((header) => `#include <${header}>`);
  return evaluate(expressions, includes.join('\n'), ['-D_GNU_SOURCE']);
}
