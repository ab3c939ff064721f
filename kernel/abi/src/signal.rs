//! Signals (signal(7), sigaction(2), include/uapi/asm-generic/{signal,siginfo}.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! signals {
    ($($name:ident = $value:literal),* $(,)?) => {
        $(#[allow(missing_docs)] pub const $name: i32 = $value;)*
        /// Standard signals with their names, in ascending order.
        pub const NAMES: &[(i32, &str)] = &[$(($value, stringify!($name))),*];
    };
}

signals! {
    SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9,
    SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15, SIGSTKFLT = 16, SIGCHLD = 17,
    SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22, SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25,
    SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29, SIGPWR = 30, SIGSYS = 31,
}

/// The first real-time signal of the kernel.
pub const SIGRTMIN: i32 = 32;
/// The number of signals (the highest one).
pub const NSIG: i32 = 64;

macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident : $type:ty = $value:expr;)*) => { $($(#[$doc])* #[allow(missing_docs)] pub const $name: $type = $value;)* };
}

constants! {
    /// Handler value: the default action.
    SIG_DFL: u64 = 0;
    /// Handler value: ignore.
    SIG_IGN: u64 = 1;
    SIG_BLOCK: i32 = 0;
    SIG_UNBLOCK: i32 = 1;
    SIG_SETMASK: i32 = 2;
    SA_NOCLDSTOP: u64 = 1;
    SA_NOCLDWAIT: u64 = 2;
    SA_SIGINFO: u64 = 4;
    SA_UNSUPPORTED: u64 = 0x400;
    SA_EXPOSE_TAGBITS: u64 = 0x800;
    SA_RESTORER: u64 = 0x0400_0000;
    SA_ONSTACK: u64 = 0x0800_0000;
    SA_RESTART: u64 = 0x1000_0000;
    SA_NODEFER: u64 = 0x4000_0000;
    SA_RESETHAND: u64 = 0x8000_0000;
    SI_USER: i32 = 0;
    SI_KERNEL: i32 = 0x80;
    SI_QUEUE: i32 = -1;
    SI_TIMER: i32 = -2;
    SI_TKILL: i32 = -6;
    CLD_EXITED: i32 = 1;
    CLD_KILLED: i32 = 2;
    CLD_DUMPED: i32 = 3;
    CLD_TRAPPED: i32 = 4;
    CLD_STOPPED: i32 = 5;
    CLD_CONTINUED: i32 = 6;
    SS_ONSTACK: u32 = 1;
    SS_DISABLE: u32 = 2;
    SS_AUTODISARM: u32 = 0x8000_0000;
    MINSIGSTKSZ: u64 = 2048;
    SIGEV_SIGNAL: i32 = 0;
    SIGEV_NONE: i32 = 1;
    SIGEV_THREAD: i32 = 2;
    SIGEV_THREAD_ID: i32 = 4;
}

/// The bit of `signo` (1..=64) in a 64-bit mask; 0 for any other number.
#[must_use]
pub const fn bit(signo: i32) -> u64 {
    if signo >= 1 && signo <= NSIG { 1 << (signo - 1) } else { 0 }
}

/// Signals that cannot be blocked, caught or ignored.
pub const UNBLOCKABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);
/// Signals whose default action is to stop.
pub const STOP_SET: u64 = bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
/// Signals whose default action is to do nothing.
pub const IGNORE_SET: u64 = bit(SIGCONT) | bit(SIGCHLD) | bit(SIGWINCH) | bit(SIGURG);
/// Signals whose default action is to dump core.
pub const CORE_SET: u64 = bit(SIGQUIT)
    | bit(SIGILL)
    | bit(SIGTRAP)
    | bit(SIGABRT)
    | bit(SIGFPE)
    | bit(SIGSEGV)
    | bit(SIGBUS)
    | bit(SIGSYS)
    | bit(SIGXCPU)
    | bit(SIGXFSZ);
/// Signals that a processor exception raises: delivered before all others.
pub const SYNCHRONOUS_SET: u64 = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGFPE) | bit(SIGSYS);

/// The name of a signal: `SIGINT`, `SIGRT_5`.
#[must_use]
pub fn name(signo: i32) -> String {
    match NAMES.iter().find(|(n, _)| *n == signo) {
        Some((_, name)) => (*name).to_owned(),
        None if (SIGRTMIN..=NSIG).contains(&signo) => format!("SIGRT_{}", signo - SIGRTMIN),
        None => signo.to_string(),
    }
}

/// `struct sigaction` as rt_sigaction(2) takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KernelSigaction {
    /// Handler address, `SIG_DFL` or `SIG_IGN`.
    pub handler: u64,
    /// SA_*.
    pub flags: u64,
    /// Return trampoline.
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: u64,
}
