//! The system call table: one line per number. Dispatch, tracing and the published catalogue derive from it.
//!
//! A line reads `number name support "arguments" => handler, "note";`. The arguments' letters: `d` signed, `u` unsigned, `z` size,
//! `x` hexadecimal, `o` octal, `g` flags, `f` descriptor, `s` string, `p` pointer, `S` signal.

use crate::handler::{RawHandler, raw};
use crate::syscalls::*;

/// How much of a call is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// All of it, as far as Bevor means to.
    Full,
    /// Some of it; the note says what.
    Partial,
    /// ENOSYS.
    None,
}

/// One call.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Number.
    pub nr: u32,
    /// Name.
    pub name: &'static str,
    /// Declared support.
    pub support: Support,
    /// One letter per argument.
    pub args: &'static str,
    /// The handler in the sentry; `None` also for calls that only the stub answers.
    pub handler: Option<RawHandler>,
    /// What a reader of the catalogue should know.
    pub note: &'static str,
}

macro_rules! support {
    (full) => {
        Support::Full
    };
    (partial) => {
        Support::Partial
    };
    (none) => {
        Support::None
    };
}

macro_rules! handler {
    () => {
        None
    };
    ($path:path) => {
        Some(raw!($path))
    };
}

macro_rules! table {
    ($($nr:literal $name:ident $support:ident $args:literal $(=> $handler:path)? $(, $note:literal)?;)*) => {
        /// Every call, in ascending order of numbers.
        pub static TABLE: &[Entry] = &[$(Entry {
            nr: $nr,
            name: stringify!($name),
            support: support!($support),
            args: $args,
            handler: handler!($($handler)?),
            note: concat!("" $(, $note)?),
        }),*];
    };
}

/// One more than the highest number, rounded up to whole words of bits.
pub const SLOTS: usize = 512;

static INDEX: [Option<&Entry>; SLOTS] = index();

const fn index() -> [Option<&'static Entry>; SLOTS] {
    let mut out = [None; SLOTS];
    let mut i = 0;
    while i < TABLE.len() {
        out[TABLE[i].nr as usize] = Some(&TABLE[i]);
        i += 1;
    }
    out
}

/// The entry of a number in rax.
#[must_use]
pub fn find(nr: u64) -> Option<&'static Entry> {
    INDEX.get(bevor_core::num::to_usize(nr)).copied().flatten()
}

table! {
    0 read full "fpz" => io::read;
    1 write full "fpz" => io::write;
    2 open full "sgo" => open::open;
    3 close full "f" => open::close;
    4 stat full "sp" => stat::stat;
    5 fstat full "fp" => stat::fstat;
    6 lstat full "sp" => stat::lstat;
    7 poll full "pud" => poll::poll;
    8 lseek full "fdd" => io::lseek;
    9 mmap partial "xzggfx" => mm::mmap, "huge pages are refused";
    10 mprotect full "xzg" => local::mprotect;
    11 munmap full "xz" => local::munmap;
    12 brk full "x" => local::brk;
    13 rt_sigaction full "Sppz" => signal::rt_sigaction;
    14 rt_sigprocmask full "dppz" => signal::rt_sigprocmask;
    15 rt_sigreturn full "", "answered by the stub";
    16 ioctl full "fgx" => fdctl::ioctl;
    17 pread64 full "fpzu" => io::pread64;
    18 pwrite64 full "fpzu" => io::pwrite64;
    19 readv full "fpu" => io::readv;
    20 writev full "fpu" => io::writev;
    21 access full "so" => stat::access;
    22 pipe full "p" => open::pipe;
    23 select full "dpppp" => poll::select;
    24 sched_yield full "" => local::sched_yield;
    25 mremap full "xzzgx" => local::mremap;
    26 msync full "xzg" => local::msync;
    27 mincore full "xzp" => local::mincore;
    28 madvise partial "xzd" => local::madvise, "the advice that the filter lets through";
    29 shmget none "xxxxxx";
    30 shmat none "xxxxxx";
    31 shmctl none "xxxxxx";
    32 dup full "f" => fdctl::dup;
    33 dup2 full "ff" => fdctl::dup2;
    34 pause full "" => process::pause;
    35 nanosleep full "pp" => time::nanosleep;
    36 getitimer full "dp" => time::getitimer;
    37 alarm full "u" => time::alarm;
    38 setitimer full "dpp" => time::setitimer;
    39 getpid full "" => process::getpid;
    40 sendfile partial "ffpz" => transfer::sendfile, "moves data through the sentry in steps of 64 KiB";
    41 socket partial "dgd" => socket::socket, "AF_UNIX only";
    42 connect full "fpu" => socket::connect;
    43 accept full "fpp" => socket::accept;
    44 sendto full "fpzgpu" => socket::sendto;
    45 recvfrom full "fpzgpp" => socket::recvfrom;
    46 sendmsg full "fpg" => socket::sendmsg;
    47 recvmsg full "fpg" => socket::recvmsg;
    48 shutdown full "fd" => socket::shutdown;
    49 bind full "fpu" => socket::bind;
    50 listen full "fd" => socket::listen;
    51 getsockname full "fpp" => socket::getsockname;
    52 getpeername full "fpp" => socket::getpeername;
    53 socketpair full "dgdp" => socket::socketpair;
    54 setsockopt full "fddpu" => socket::setsockopt;
    55 getsockopt full "fddpp" => socket::getsockopt;
    56 clone partial "gxppx" => process::clone, "no namespaces, no CLONE_PIDFD";
    57 fork full "" => process::fork;
    58 vfork full "" => process::vfork;
    59 execve full "spp" => exec::execve;
    60 exit full "d" => process::exit;
    61 wait4 partial "dpgp" => process::wait4, "rusage holds CPU times only";
    62 kill full "dS" => signal::kill;
    63 uname full "p" => system::uname;
    64 semget none "xxxxxx";
    65 semop none "xxxxxx";
    66 semctl none "xxxxxx";
    67 shmdt none "xxxxxx";
    68 msgget none "xxxxxx";
    69 msgsnd none "xxxxxx";
    70 msgrcv none "xxxxxx";
    71 msgctl none "xxxxxx";
    72 fcntl full "fdx" => fdctl::fcntl;
    73 flock full "fg" => fdctl::flock;
    74 fsync full "f" => attr::fsync;
    75 fdatasync full "f" => attr::fdatasync;
    76 truncate full "su" => attr::truncate;
    77 ftruncate full "fu" => attr::ftruncate;
    78 getdents full "fpz" => dir::getdents;
    79 getcwd full "pz" => stat::getcwd;
    80 chdir full "s" => dir::chdir;
    81 fchdir full "f" => dir::fchdir;
    82 rename full "ss" => dir::rename;
    83 mkdir full "so" => dir::mkdir;
    84 rmdir full "s" => dir::rmdir;
    85 creat full "so" => open::creat;
    86 link full "ss" => dir::link;
    87 unlink full "s" => dir::unlink;
    88 symlink full "ss" => dir::symlink;
    89 readlink full "spz" => stat::readlink;
    90 chmod full "so" => attr::chmod;
    91 fchmod full "fo" => attr::fchmod;
    92 chown full "sdd" => attr::chown;
    93 fchown full "fdd" => attr::fchown;
    94 lchown full "sdd" => attr::lchown;
    95 umask full "o" => attr::umask;
    96 gettimeofday full "pp" => time::gettimeofday;
    97 getrlimit full "dp" => resource::getrlimit;
    98 getrusage partial "dp" => resource::getrusage, "context switches are 0; memory and faults are the caller's only";
    99 sysinfo full "p" => system::sysinfo;
    100 times full "p" => time::times;
    101 ptrace none "ddxx";
    102 getuid full "" => ids::getuid;
    103 syslog full "dpd" => system::syslog;
    104 getgid full "" => ids::getgid;
    105 setuid full "d" => ids::setuid;
    106 setgid full "d" => ids::setgid;
    107 geteuid full "" => ids::geteuid;
    108 getegid full "" => ids::getegid;
    109 setpgid full "dd" => process::setpgid;
    110 getppid full "" => process::getppid;
    111 getpgrp full "" => process::getpgrp;
    112 setsid full "" => process::setsid;
    113 setreuid full "dd" => ids::setreuid;
    114 setregid full "dd" => ids::setregid;
    115 getgroups full "dp" => ids::getgroups;
    116 setgroups full "dp" => ids::setgroups;
    117 setresuid full "ddd" => ids::setresuid;
    118 getresuid full "ppp" => ids::getresuid;
    119 setresgid full "ddd" => ids::setresgid;
    120 getresgid full "ppp" => ids::getresgid;
    121 getpgid full "d" => process::getpgid;
    122 setfsuid full "d" => ids::setfsuid;
    123 setfsgid full "d" => ids::setfsgid;
    124 getsid full "d" => process::getsid;
    125 capget full "pp" => ids::capget;
    126 capset full "pp" => ids::capset;
    127 rt_sigpending full "pz" => signal::rt_sigpending;
    128 rt_sigtimedwait full "pppz" => signal::rt_sigtimedwait;
    129 rt_sigqueueinfo full "dSp" => signal::rt_sigqueueinfo;
    130 rt_sigsuspend full "pz" => signal::rt_sigsuspend;
    131 sigaltstack full "pp" => local::sigaltstack;
    132 utime full "sp" => attr::utime;
    133 mknod full "sox" => dir::mknod;
    134 uselib none "xxxxxx";
    135 personality partial "g" => process::personality, "ADDR_NO_RANDOMIZE has effect";
    136 ustat none "xxxxxx";
    137 statfs full "sp" => stat::statfs;
    138 fstatfs full "fp" => stat::fstatfs;
    139 sysfs none "xxxxxx";
    140 getpriority full "dd" => resource::getpriority;
    141 setpriority partial "ddd" => resource::setpriority, "recorded; the host schedules";
    142 sched_setparam partial "dp" => resource::sched_setparam, "recorded; the host schedules";
    143 sched_getparam full "dp" => resource::sched_getparam;
    144 sched_setscheduler partial "ddp" => resource::sched_setscheduler, "recorded; the host schedules";
    145 sched_getscheduler full "d" => resource::sched_getscheduler;
    146 sched_get_priority_max full "d" => resource::sched_get_priority_max;
    147 sched_get_priority_min full "d" => resource::sched_get_priority_min;
    148 sched_rr_get_interval full "dp" => resource::sched_rr_get_interval;
    149 mlock full "xz" => local::mlock;
    150 munlock full "xz" => local::munlock;
    151 mlockall none "g";
    152 munlockall none "";
    153 vhangup none "xxxxxx";
    154 modify_ldt none "xxxxxx";
    155 pivot_root none "xxxxxx";
    156 _sysctl none "xxxxxx";
    157 prctl partial "dxxxx" => prctl::prctl, "PDEATHSIG, DUMPABLE, KEEPCAPS, NAME, CAPBSET, SECUREBITS, TIMERSLACK, CHILD_SUBREAPER, NO_NEW_PRIVS, CAP_AMBIENT";
    158 arch_prctl full "gx" => local::arch_prctl;
    159 adjtimex none "xxxxxx";
    160 setrlimit partial "dp" => resource::setrlimit, "recorded; AS, DATA, NOFILE, FSIZE, NPROC, STACK, SIGPENDING, NICE and RTPRIO are enforced";
    161 chroot full "s" => dir::chroot;
    162 sync full "" => attr::sync;
    163 acct none "xxxxxx";
    164 settimeofday none "xxxxxx";
    165 mount none "sssxp";
    166 umount2 none "sg";
    167 swapon none "xxxxxx";
    168 swapoff none "xxxxxx";
    169 reboot none "xxxxxx";
    170 sethostname full "sd" => system::sethostname;
    171 setdomainname full "sd" => system::setdomainname;
    172 iopl none "xxxxxx";
    173 ioperm none "xxxxxx";
    174 create_module none "xxxxxx";
    175 init_module none "xxxxxx";
    176 delete_module none "xxxxxx";
    177 get_kernel_syms none "xxxxxx";
    178 query_module none "xxxxxx";
    179 quotactl none "xxxxxx";
    180 nfsservctl none "xxxxxx";
    181 getpmsg none "xxxxxx";
    182 putpmsg none "xxxxxx";
    183 afs_syscall none "xxxxxx";
    184 tuxcall none "xxxxxx";
    185 security none "xxxxxx";
    186 gettid full "" => process::gettid;
    187 readahead none "fuz";
    188 setxattr full "sspzg" => xattr::setxattr;
    189 lsetxattr full "sspzg" => xattr::lsetxattr;
    190 fsetxattr full "fspzg" => xattr::fsetxattr;
    191 getxattr full "sspz" => xattr::getxattr;
    192 lgetxattr full "sspz" => xattr::lgetxattr;
    193 fgetxattr full "fspz" => xattr::fgetxattr;
    194 listxattr full "spz" => xattr::listxattr;
    195 llistxattr full "spz" => xattr::llistxattr;
    196 flistxattr full "fpz" => xattr::flistxattr;
    197 removexattr full "ss" => xattr::removexattr;
    198 lremovexattr full "ss" => xattr::lremovexattr;
    199 fremovexattr full "fs" => xattr::fremovexattr;
    200 tkill full "dS" => signal::tkill;
    201 time full "p" => time::time;
    202 futex partial "pgdpxd" => local::futex, "no priority inheritance";
    203 sched_setaffinity full "dzp" => resource::sched_setaffinity;
    204 sched_getaffinity full "dzp" => resource::sched_getaffinity;
    205 set_thread_area none "xxxxxx";
    206 io_setup none "xxxxxx";
    207 io_destroy none "xxxxxx";
    208 io_getevents none "xxxxxx";
    209 io_submit none "xxxxxx";
    210 io_cancel none "xxxxxx";
    211 get_thread_area none "xxxxxx";
    212 lookup_dcookie none "xxxxxx";
    213 epoll_create full "d" => anon::epoll_create;
    214 epoll_ctl_old none "xxxxxx";
    215 epoll_wait_old none "xxxxxx";
    216 remap_file_pages none "xxxxxx";
    217 getdents64 full "fpz" => dir::getdents64;
    218 set_tid_address full "p" => process::set_tid_address;
    219 restart_syscall full "" => signal::restart_syscall, "continued inside the kernel";
    220 semtimedop none "xxxxxx";
    221 fadvise64 full "fuzd" => attr::fadvise64;
    222 timer_create partial "dpp" => time::timer_create, "no CPU clocks of threads";
    223 timer_settime full "dgpp" => time::timer_settime;
    224 timer_gettime full "dp" => time::timer_gettime;
    225 timer_getoverrun full "d" => time::timer_getoverrun;
    226 timer_delete full "d" => time::timer_delete;
    227 clock_settime none "dp";
    228 clock_gettime full "dp" => time::clock_gettime;
    229 clock_getres full "dp" => time::clock_getres;
    230 clock_nanosleep full "dgpp" => time::clock_nanosleep;
    231 exit_group full "d" => process::exit_group;
    232 epoll_wait full "fpdd" => anon::epoll_wait;
    233 epoll_ctl full "fdfp" => anon::epoll_ctl;
    234 tgkill full "ddS" => signal::tgkill;
    235 utimes full "sp" => attr::utimes;
    236 vserver none "xxxxxx";
    237 mbind none "xxxxxx";
    238 set_mempolicy none "xxxxxx";
    239 get_mempolicy none "xxxxxx";
    240 mq_open none "xxxxxx";
    241 mq_unlink none "xxxxxx";
    242 mq_timedsend none "xxxxxx";
    243 mq_timedreceive none "xxxxxx";
    244 mq_notify none "xxxxxx";
    245 mq_getsetattr none "xxxxxx";
    246 kexec_load none "xxxxxx";
    247 waitid partial "ddpgp" => process::waitid, "rusage holds CPU times only";
    248 add_key none "xxxxxx";
    249 request_key none "xxxxxx";
    250 keyctl none "xxxxxx";
    251 ioprio_set none "xxxxxx";
    252 ioprio_get none "xxxxxx";
    253 inotify_init none "";
    254 inotify_add_watch none "fsg";
    255 inotify_rm_watch none "fd";
    256 migrate_pages none "xxxxxx";
    257 openat full "fsgo" => open::openat;
    258 mkdirat full "fso" => dir::mkdirat;
    259 mknodat full "fsox" => dir::mknodat;
    260 fchownat full "fsddg" => attr::fchownat;
    261 futimesat full "fsp" => attr::futimesat;
    262 newfstatat full "fspg" => stat::newfstatat;
    263 unlinkat full "fsg" => dir::unlinkat;
    264 renameat full "fsfs" => dir::renameat;
    265 linkat full "fsfsg" => dir::linkat;
    266 symlinkat full "sfs" => dir::symlinkat;
    267 readlinkat full "fspz" => stat::readlinkat;
    268 fchmodat full "fso" => attr::fchmodat;
    269 faccessat full "fso" => stat::faccessat;
    270 pselect6 full "dppppp" => poll::pselect6;
    271 ppoll full "puppz" => poll::ppoll;
    272 unshare none "g";
    273 set_robust_list full "pz" => process::set_robust_list;
    274 get_robust_list full "dpp" => process::get_robust_list;
    275 splice partial "fpfpzg" => transfer::splice, "copies; SPLICE_F_MOVE and SPLICE_F_GIFT have no effect";
    276 tee full "ffzg" => transfer::tee;
    277 sync_file_range full "fuug" => attr::sync_file_range;
    278 vmsplice none "fpug";
    279 move_pages none "xxxxxx";
    280 utimensat full "fspg" => attr::utimensat;
    281 epoll_pwait full "fpddpz" => anon::epoll_pwait;
    282 signalfd partial "fpz" => pidfd::signalfd, "serves the task that made it";
    283 timerfd_create full "dg" => anon::timerfd_create;
    284 eventfd full "u" => anon::eventfd;
    285 fallocate full "fguu" => attr::fallocate;
    286 timerfd_settime full "fgpp" => anon::timerfd_settime;
    287 timerfd_gettime full "fp" => anon::timerfd_gettime;
    288 accept4 full "fppg" => socket::accept4;
    289 signalfd4 partial "fpzg" => pidfd::signalfd4, "serves the task that made it";
    290 eventfd2 full "ug" => anon::eventfd2;
    291 epoll_create1 full "g" => anon::epoll_create1;
    292 dup3 full "ffg" => fdctl::dup3;
    293 pipe2 full "pg" => open::pipe2;
    294 inotify_init1 none "g";
    295 preadv full "fpuu" => io::preadv;
    296 pwritev full "fpuu" => io::pwritev;
    297 rt_tgsigqueueinfo full "ddSp" => signal::rt_tgsigqueueinfo;
    298 perf_event_open none "xxxxxx";
    299 recvmmsg partial "fpugp" => socket::recvmmsg, "the timeout is checked but not applied";
    300 fanotify_init none "xxxxxx";
    301 fanotify_mark none "xxxxxx";
    302 prlimit64 partial "ddpp" => resource::prlimit64, "as setrlimit";
    303 name_to_handle_at none "xxxxxx";
    304 open_by_handle_at none "xxxxxx";
    305 clock_adjtime none "xxxxxx";
    306 syncfs full "f" => attr::syncfs;
    307 sendmmsg full "fpug" => socket::sendmmsg;
    308 setns none "fg";
    309 getcpu full "ppp" => local::getcpu;
    310 process_vm_readv none "dpupuu";
    311 process_vm_writev none "dpupuu";
    312 kcmp none "xxxxxx";
    313 finit_module none "xxxxxx";
    314 sched_setattr none "xxxxxx";
    315 sched_getattr none "xxxxxx";
    316 renameat2 full "fsfsg" => dir::renameat2;
    317 seccomp none "dgp";
    318 getrandom full "pzg" => system::getrandom;
    319 memfd_create full "sg" => anon::memfd_create;
    320 kexec_file_load none "xxxxxx";
    321 bpf none "xxxxxx";
    322 execveat full "fsppg" => exec::execveat;
    323 userfaultfd none "xxxxxx";
    324 membarrier full "dgd" => local::membarrier;
    325 mlock2 full "xzg" => local::mlock2;
    326 copy_file_range partial "fpfpzg" => transfer::copy_file_range, "copies; never shares blocks";
    327 preadv2 full "fpuuxg" => io::preadv2;
    328 pwritev2 full "fpuuxg" => io::pwritev2;
    329 pkey_mprotect none "xxxxxx";
    330 pkey_alloc none "xxxxxx";
    331 pkey_free none "xxxxxx";
    332 statx full "fsggp" => stat::statx;
    333 io_pgetevents none "xxxxxx";
    334 rseq full "pugx" => local::rseq;
    424 pidfd_send_signal full "fSpg" => pidfd::pidfd_send_signal;
    425 io_uring_setup none "xxxxxx";
    426 io_uring_enter none "xxxxxx";
    427 io_uring_register none "xxxxxx";
    428 open_tree none "xxxxxx";
    429 move_mount none "xxxxxx";
    430 fsopen none "xxxxxx";
    431 fsconfig none "xxxxxx";
    432 fsmount none "xxxxxx";
    433 fspick none "xxxxxx";
    434 pidfd_open partial "dg" => pidfd::pidfd_open, "no PIDFD_THREAD for threads that lead no process";
    435 clone3 partial "pz" => process::clone3, "no namespaces, no CLONE_PIDFD, no set_tid";
    436 close_range full "uug" => open::close_range;
    437 openat2 full "fspz" => open::openat2;
    438 pidfd_getfd full "ffg" => pidfd::pidfd_getfd;
    439 faccessat2 full "fsog" => stat::faccessat2;
    440 process_madvise none "xxxxxx";
    441 epoll_pwait2 full "fpdppz" => anon::epoll_pwait2;
    442 mount_setattr none "xxxxxx";
    443 quotactl_fd none "xxxxxx";
    444 landlock_create_ruleset none "xxxxxx";
    445 landlock_add_rule none "xxxxxx";
    446 landlock_restrict_self none "xxxxxx";
    447 memfd_secret none "xxxxxx";
    448 process_mrelease none "xxxxxx";
    449 futex_waitv none "xxxxxx";
    450 set_mempolicy_home_node none "xxxxxx";
    451 cachestat none "xxxxxx";
    452 fchmodat2 full "fsog" => attr::fchmodat2;
    453 map_shadow_stack none "xxxxxx";
    454 futex_wake none "xxxxxx";
    455 futex_wait none "xxxxxx";
    456 futex_requeue none "xxxxxx";
    457 statmount none "xxxxxx";
    458 listmount none "xxxxxx";
    459 lsm_get_self_attr none "xxxxxx";
    460 lsm_set_self_attr none "xxxxxx";
    461 lsm_list_modules none "xxxxxx";
    462 mseal none "xxxxxx";
    463 setxattrat none "xxxxxx";
    464 getxattrat none "xxxxxx";
    465 listxattrat none "xxxxxx";
    466 removexattrat none "xxxxxx";
    467 open_tree_attr none "xxxxxx";
    468 file_getattr none "xxxxxx";
    469 file_setattr none "xxxxxx";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_abi_has_its_line() {
        let lines: Vec<(u32, &str)> = TABLE.iter().map(|e| (e.nr, e.name)).collect();
        assert_eq!(lines, bevor_abi::sysno::ALL);
    }

    #[test]
    fn support_agrees_with_the_handlers() {
        for entry in TABLE {
            let stub = entry.note == "answered by the stub";
            match entry.support {
                Support::Full => assert!(entry.handler.is_some() || stub, "{}", entry.name),
                Support::Partial => assert!(entry.handler.is_some() && !entry.note.is_empty(), "{}", entry.name),
                Support::None => assert!(entry.handler.is_none() || !entry.note.is_empty(), "{}", entry.name),
            }
        }
    }

    #[test]
    fn numbers_are_found_and_large_ones_are_not() {
        assert_eq!(find(39).map(|e| e.name), Some("getpid"));
        assert!(find(400).is_none() && find(u64::MAX).is_none());
    }
}
