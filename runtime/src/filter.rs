//! The host calls that a running sentry may make: at most 45, and none that opens, connects, executes or makes a kernel
//! object on behalf of a guest.

use bevor_hostcall::seccomp::{AllowList, FilterError};

const PROT_EXEC: u32 = 4;
/// The flags with which libc starts a thread; any other clone(2) is a process or a namespace.
const THREAD: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;

/// ioctl(2) requests: seccomp user notification (linux/seccomp.h), and what a terminal or pipe on stdio is asked.
const IOCTLS: [u32; 11] = [
    0xc050_2100, // SECCOMP_IOCTL_NOTIF_RECV
    0xc018_2101, // SECCOMP_IOCTL_NOTIF_SEND
    0x4008_2102, // SECCOMP_IOCTL_NOTIF_ID_VALID
    0x4018_2103, // SECCOMP_IOCTL_NOTIF_ADDFD
    0x4008_2104, // SECCOMP_IOCTL_NOTIF_SET_FLAGS
    0x5401,      // TCGETS
    0x5402,      // TCSETS
    0x5403,      // TCSETSW
    0x5404,      // TCSETSF
    0x5413,      // TIOCGWINSZ
    0x541b,      // FIONREAD
];

/// The sentry's filter: 45 calls, and two answered with ENOSYS: clone3, so that libc falls back on clone, and set_robust_list, whose
/// result libc ignores (nothing here shares robust mutexes).
pub(crate) fn sentry() -> Result<AllowList, FilterError> {
    AllowList::default()
        .allow(&[
            // Files that were donated or are memory.
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_preadv2,
            libc::SYS_pwritev2,
            libc::SYS_close,
            libc::SYS_fstat,
            libc::SYS_lseek,
            libc::SYS_memfd_create,
            libc::SYS_ftruncate,
            libc::SYS_fallocate,
            libc::SYS_fsync,
            // Sockets that exist: the gofer and the command.
            libc::SYS_sendmsg,
            libc::SYS_recvmsg,
            // Its own memory.
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_madvise,
            libc::SYS_brk,
            // Stub processes.
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_sched_setaffinity,
            libc::SYS_sysinfo,
            libc::SYS_tgkill,
            libc::SYS_waitid,
            // Its own threads.
            libc::SYS_futex,
            libc::SYS_gettid,
            libc::SYS_sched_yield,
            libc::SYS_poll,
            libc::SYS_clock_gettime,
            libc::SYS_sched_getaffinity,
            libc::SYS_rt_sigprocmask,
            libc::SYS_sigaltstack,
            // From the handler of bus errors.
            libc::SYS_rt_sigreturn,
            libc::SYS_rseq,
            libc::SYS_restart_syscall,
            libc::SYS_getrandom,
            libc::SYS_exit,
            libc::SYS_exit_group,
        ])
        .allow_without(libc::SYS_mmap, 2, PROT_EXEC)?
        .allow_without(libc::SYS_mprotect, 2, PROT_EXEC)?
        .allow_values(libc::SYS_kill, 1, &[libc::SIGKILL.unsigned_abs()])?
        // Memory limits of stubs.
        .allow_values(libc::SYS_prlimit64, 1, &[libc::RLIMIT_AS, libc::RLIMIT_DATA])?
        .allow_values(libc::SYS_clone, 0, &[THREAD.unsigned_abs()])?
        .allow_values(libc::SYS_prctl, 0, &[libc::PR_SET_NAME.unsigned_abs()])?
        .allow_values(libc::SYS_ioctl, 1, &IOCTLS)?
        .allow_values(
            libc::SYS_fcntl,
            1,
            &[
                libc::F_DUPFD_CLOEXEC.unsigned_abs(),
                // Debug builds of the standard library ask whether what they close was open.
                libc::F_GETFD.unsigned_abs(),
                libc::F_GETFL.unsigned_abs(),
                libc::F_SETFL.unsigned_abs(),
                libc::F_ADD_SEALS.unsigned_abs(),
                libc::F_GET_SEALS.unsigned_abs(),
            ],
        )
        .map(|list| list.not_implemented(libc::SYS_clone3).not_implemented(libc::SYS_set_robust_list))
}
