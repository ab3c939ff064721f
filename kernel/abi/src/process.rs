//! Processes: flags and structures of clone(2), wait4(2), prctl(2), getrlimit(2) and their kin.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! constants {
    ($($name:ident : $type:ty = $value:expr;)*) => { $(#[allow(missing_docs)] pub const $name: $type = $value;)* };
}

constants! {
    CSIGNAL: u64 = 0xff;
    CLONE_VM: u64 = 0x100;
    CLONE_FS: u64 = 0x200;
    CLONE_FILES: u64 = 0x400;
    CLONE_SIGHAND: u64 = 0x800;
    CLONE_PIDFD: u64 = 0x1000;
    CLONE_PTRACE: u64 = 0x2000;
    CLONE_VFORK: u64 = 0x4000;
    CLONE_PARENT: u64 = 0x8000;
    CLONE_THREAD: u64 = 0x1_0000;
    CLONE_NEWNS: u64 = 0x2_0000;
    CLONE_SYSVSEM: u64 = 0x4_0000;
    CLONE_SETTLS: u64 = 0x8_0000;
    CLONE_PARENT_SETTID: u64 = 0x10_0000;
    CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
    CLONE_DETACHED: u64 = 0x40_0000;
    CLONE_UNTRACED: u64 = 0x80_0000;
    CLONE_CHILD_SETTID: u64 = 0x100_0000;
    CLONE_NEWCGROUP: u64 = 0x200_0000;
    CLONE_NEWUTS: u64 = 0x400_0000;
    CLONE_NEWIPC: u64 = 0x800_0000;
    CLONE_NEWUSER: u64 = 0x1000_0000;
    CLONE_NEWPID: u64 = 0x2000_0000;
    CLONE_NEWNET: u64 = 0x4000_0000;
    CLONE_IO: u64 = 0x8000_0000;
    CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    CLONE_NEWTIME: u64 = 0x80;
    WNOHANG: i32 = 1;
    WUNTRACED: i32 = 2;
    WSTOPPED: i32 = 2;
    WEXITED: i32 = 4;
    WCONTINUED: i32 = 8;
    WNOWAIT: i32 = 0x0100_0000;
    WNOTHREAD: i32 = 0x2000_0000;
    WALL: i32 = 0x4000_0000;
    WCLONE: i32 = i32::MIN;
    P_ALL: i32 = 0;
    P_PID: i32 = 1;
    P_PGID: i32 = 2;
    P_PIDFD: i32 = 3;
    RLIMIT_CPU: usize = 0;
    RLIMIT_FSIZE: usize = 1;
    RLIMIT_DATA: usize = 2;
    RLIMIT_STACK: usize = 3;
    RLIMIT_CORE: usize = 4;
    RLIMIT_RSS: usize = 5;
    RLIMIT_NPROC: usize = 6;
    RLIMIT_NOFILE: usize = 7;
    RLIMIT_MEMLOCK: usize = 8;
    RLIMIT_AS: usize = 9;
    RLIMIT_LOCKS: usize = 10;
    RLIMIT_SIGPENDING: usize = 11;
    RLIMIT_MSGQUEUE: usize = 12;
    RLIMIT_NICE: usize = 13;
    RLIMIT_RTPRIO: usize = 14;
    RLIMIT_RTTIME: usize = 15;
    RLIM_NLIMITS: usize = 16;
    RLIM_INFINITY: u64 = u64::MAX;
}

/// All CLONE_NEW* flags.
pub const CLONE_NEW_ANY: u64 =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;

/// `struct clone_args` (clone3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)]
pub struct CloneArgs {
    pub flags: u64,
    pub pidfd: u64,
    pub child_tid: u64,
    pub parent_tid: u64,
    pub exit_signal: u64,
    pub stack: u64,
    pub stack_size: u64,
    pub tls: u64,
    pub set_tid: u64,
    pub set_tid_size: u64,
    pub cgroup: u64,
}

/// `struct rlimit64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rlimit {
    /// The soft limit.
    pub cur: u64,
    /// The ceiling of the soft limit.
    pub max: u64,
}

/// `struct timeval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timeval {
    /// Seconds.
    pub sec: i64,
    /// Microseconds.
    pub usec: i64,
}

/// `struct rusage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Rusage {
    pub utime: Timeval,
    pub stime: Timeval,
    pub maxrss: i64,
    pub ixrss: i64,
    pub idrss: i64,
    pub isrss: i64,
    pub minflt: i64,
    pub majflt: i64,
    pub nswap: i64,
    pub inblock: i64,
    pub oublock: i64,
    pub msgsnd: i64,
    pub msgrcv: i64,
    pub nsignals: i64,
    pub nvcsw: i64,
    pub nivcsw: i64,
}
