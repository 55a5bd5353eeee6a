/** Layouts of the kernel's structs that programs or their callers read and write; bytes. */
export interface StructLayouts {
  /** struct epoll_event: `data` is where the user's 64 bits are. */
  readonly epollEvent: { readonly size: number; readonly data: number };
  /** siginfo_t as waitid(2) fills it in. */
  readonly siginfo: {
    readonly size: number;
    readonly code: number;
    readonly pid: number;
    readonly status: number;
  };
  /** struct rusage of the raw waitid: two timevals, then fourteen longs. */
  readonly rusage: { readonly size: number };
  /** The kernel's struct sigaction; the handler is its first word. */
  readonly sigaction: { readonly size: number };
}

/** Size of the kernel's sigset_t: one bit a signal, 64 of them, on every machine here. */
export const SIGSET_SIZE = 8;

export const layouts64: StructLayouts = {
  epollEvent: { size: 16, data: 8 },
  siginfo: { size: 128, code: 8, pid: 16, status: 24 },
  rusage: { size: 144 },
  sigaction: { size: 32 },
};

export const layouts32: StructLayouts = {
  epollEvent: { size: 16, data: 8 },
  siginfo: { size: 128, code: 8, pid: 12, status: 20 },
  rusage: { size: 72 },
  sigaction: { size: 20 },
};
