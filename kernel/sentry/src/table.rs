//! The system call table: one line per number. Dispatch, tracing and the published catalogue derive from it.
//!
//! A line reads `number name "arguments" => handler, "note";`. The arguments' letters: `d` signed, `u` unsigned, `z` size,
//! `x` hexadecimal, `o` octal, `g` flags, `f` descriptor, `s` string, `p` pointer, `S` signal.

use crate::handler::{RawHandler, raw};
use crate::syscalls::*;

/// One call.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Number.
    pub nr: u32,
    /// Name.
    pub name: &'static str,
    /// One letter per argument.
    pub args: &'static str,
    /// The handler in the sentry; `None` also for calls that only the stub answers.
    pub handler: Option<RawHandler>,
    /// What a reader of the catalogue should know.
    pub note: &'static str,
}

/// The note of a call that never reaches the sentry.
const BY_STUB: &str = "answered by the stub";

impl Entry {
    /// Whether anything but ENOSYS is behind the number. How much of the call agrees with Linux, only the published table says.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.handler.is_some() || self.note == BY_STUB
    }
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
    ($($nr:literal $name:ident $args:literal $(=> $handler:path)? $(, $note:literal)?;)*) => {
        /// Every call, in ascending order of numbers.
        pub static TABLE: &[Entry] = &[$(Entry {
            nr: $nr,
            name: stringify!($name),
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
    0 read "fpz" => io::read;
    1 write "fpz" => io::write;
    2 open "sgo" => open::open;
    3 close "f" => open::close;
    4 stat "sp" => stat::stat;
    5 fstat "fp" => stat::fstat;
    6 lstat "sp" => stat::lstat;
    7 poll "pud" => poll::poll;
    8 lseek "fdd" => io::lseek;
    9 mmap "xzggfx" => mm::mmap, "huge pages are refused";
    10 mprotect "xzg" => local::mprotect;
    11 munmap "xz" => local::munmap;
    12 brk "x" => local::brk;
    13 rt_sigaction "Sppz" => signal::rt_sigaction;
    14 rt_sigprocmask "dppz" => signal::rt_sigprocmask;
    15 rt_sigreturn "", "answered by the stub";
    16 ioctl "fgx" => fdctl::ioctl;
    17 pread64 "fpzu" => io::pread64;
    18 pwrite64 "fpzu" => io::pwrite64;
    19 readv "fpu" => io::readv;
    20 writev "fpu" => io::writev;
    21 access "so" => stat::access;
    22 pipe "p" => open::pipe;
    23 select "dpppp" => poll::select;
    24 sched_yield "" => local::sched_yield;
    25 mremap "xzzgx" => local::mremap;
    26 msync "xzg" => local::msync;
    27 mincore "xzp" => local::mincore;
    28 madvise "xzd" => local::madvise, "the advice that the filter lets through";
    29 shmget "xxxxxx";
    30 shmat "xxxxxx";
    31 shmctl "xxxxxx";
    32 dup "f" => fdctl::dup;
    33 dup2 "ff" => fdctl::dup2;
    34 pause "" => process::pause;
    35 nanosleep "pp" => time::nanosleep;
    36 getitimer "dp" => time::getitimer;
    37 alarm "u" => time::alarm;
    38 setitimer "dpp" => time::setitimer;
    39 getpid "" => process::getpid;
    40 sendfile "ffpz" => transfer::sendfile, "moves data through the sentry in steps of 64 KiB";
    41 socket "dgd" => socket::socket, "AF_UNIX only";
    42 connect "fpu" => socket::connect;
    43 accept "fpp" => socket::accept;
    44 sendto "fpzgpu" => socket::sendto;
    45 recvfrom "fpzgpp" => socket::recvfrom;
    46 sendmsg "fpg" => socket::sendmsg;
    47 recvmsg "fpg" => socket::recvmsg;
    48 shutdown "fd" => socket::shutdown;
    49 bind "fpu" => socket::bind;
    50 listen "fd" => socket::listen;
    51 getsockname "fpp" => socket::getsockname;
    52 getpeername "fpp" => socket::getpeername;
    53 socketpair "dgdp" => socket::socketpair;
    54 setsockopt "fddpu" => socket::setsockopt;
    55 getsockopt "fddpp" => socket::getsockopt;
    56 clone "gxppx" => process::clone, "no namespaces, no CLONE_PIDFD";
    57 fork "" => process::fork;
    58 vfork "" => process::vfork;
    59 execve "spp" => exec::execve;
    60 exit "d" => process::exit;
    61 wait4 "dpgp" => process::wait4, "rusage holds CPU times only";
    62 kill "dS" => signal::kill;
    63 uname "p" => system::uname;
    64 semget "xxxxxx";
    65 semop "xxxxxx";
    66 semctl "xxxxxx";
    67 shmdt "xxxxxx";
    68 msgget "xxxxxx";
    69 msgsnd "xxxxxx";
    70 msgrcv "xxxxxx";
    71 msgctl "xxxxxx";
    72 fcntl "fdx" => fdctl::fcntl;
    73 flock "fg" => fdctl::flock;
    74 fsync "f" => attr::fsync;
    75 fdatasync "f" => attr::fdatasync;
    76 truncate "su" => attr::truncate;
    77 ftruncate "fu" => attr::ftruncate;
    78 getdents "fpz" => dir::getdents;
    79 getcwd "pz" => stat::getcwd;
    80 chdir "s" => dir::chdir;
    81 fchdir "f" => dir::fchdir;
    82 rename "ss" => dir::rename;
    83 mkdir "so" => dir::mkdir;
    84 rmdir "s" => dir::rmdir;
    85 creat "so" => open::creat;
    86 link "ss" => dir::link;
    87 unlink "s" => dir::unlink;
    88 symlink "ss" => dir::symlink;
    89 readlink "spz" => stat::readlink;
    90 chmod "so" => attr::chmod;
    91 fchmod "fo" => attr::fchmod;
    92 chown "sdd" => attr::chown;
    93 fchown "fdd" => attr::fchown;
    94 lchown "sdd" => attr::lchown;
    95 umask "o" => attr::umask;
    96 gettimeofday "pp" => time::gettimeofday;
    97 getrlimit "dp" => resource::getrlimit;
    98 getrusage "dp" => resource::getrusage, "context switches are 0; memory and faults are the caller's only";
    99 sysinfo "p" => system::sysinfo;
    100 times "p" => time::times;
    101 ptrace "ddxx";
    102 getuid "" => ids::getuid;
    103 syslog "dpd" => system::syslog;
    104 getgid "" => ids::getgid;
    105 setuid "d" => ids::setuid;
    106 setgid "d" => ids::setgid;
    107 geteuid "" => ids::geteuid;
    108 getegid "" => ids::getegid;
    109 setpgid "dd" => process::setpgid;
    110 getppid "" => process::getppid;
    111 getpgrp "" => process::getpgrp;
    112 setsid "" => process::setsid;
    113 setreuid "dd" => ids::setreuid;
    114 setregid "dd" => ids::setregid;
    115 getgroups "dp" => ids::getgroups;
    116 setgroups "dp" => ids::setgroups;
    117 setresuid "ddd" => ids::setresuid;
    118 getresuid "ppp" => ids::getresuid;
    119 setresgid "ddd" => ids::setresgid;
    120 getresgid "ppp" => ids::getresgid;
    121 getpgid "d" => process::getpgid;
    122 setfsuid "d" => ids::setfsuid;
    123 setfsgid "d" => ids::setfsgid;
    124 getsid "d" => process::getsid;
    125 capget "pp" => ids::capget;
    126 capset "pp" => ids::capset;
    127 rt_sigpending "pz" => signal::rt_sigpending;
    128 rt_sigtimedwait "pppz" => signal::rt_sigtimedwait;
    129 rt_sigqueueinfo "dSp" => signal::rt_sigqueueinfo;
    130 rt_sigsuspend "pz" => signal::rt_sigsuspend;
    131 sigaltstack "pp" => local::sigaltstack;
    132 utime "sp" => attr::utime;
    133 mknod "sox" => dir::mknod;
    134 uselib "xxxxxx";
    135 personality "g" => process::personality, "ADDR_NO_RANDOMIZE has effect";
    136 ustat "xxxxxx";
    137 statfs "sp" => stat::statfs;
    138 fstatfs "fp" => stat::fstatfs;
    139 sysfs "xxxxxx";
    140 getpriority "dd" => resource::getpriority;
    141 setpriority "ddd" => resource::setpriority, "recorded; the host schedules";
    142 sched_setparam "dp" => resource::sched_setparam, "recorded; the host schedules";
    143 sched_getparam "dp" => resource::sched_getparam;
    144 sched_setscheduler "ddp" => resource::sched_setscheduler, "recorded; the host schedules";
    145 sched_getscheduler "d" => resource::sched_getscheduler;
    146 sched_get_priority_max "d" => resource::sched_get_priority_max;
    147 sched_get_priority_min "d" => resource::sched_get_priority_min;
    148 sched_rr_get_interval "dp" => resource::sched_rr_get_interval;
    149 mlock "xz" => local::mlock;
    150 munlock "xz" => local::munlock;
    151 mlockall "g";
    152 munlockall "";
    153 vhangup "xxxxxx";
    154 modify_ldt "xxxxxx";
    155 pivot_root "xxxxxx";
    156 _sysctl "xxxxxx";
    157 prctl "dxxxx" => prctl::prctl, "PDEATHSIG, DUMPABLE, KEEPCAPS, NAME, CAPBSET, SECUREBITS, TIMERSLACK, CHILD_SUBREAPER, NO_NEW_PRIVS, CAP_AMBIENT";
    158 arch_prctl "gx" => local::arch_prctl;
    159 adjtimex "xxxxxx";
    160 setrlimit "dp" => resource::setrlimit, "recorded; AS, DATA, NOFILE, FSIZE, NPROC, STACK, SIGPENDING, NICE and RTPRIO are enforced";
    161 chroot "s" => dir::chroot;
    162 sync "" => attr::sync;
    163 acct "xxxxxx";
    164 settimeofday "xxxxxx";
    165 mount "sssxp";
    166 umount2 "sg";
    167 swapon "xxxxxx";
    168 swapoff "xxxxxx";
    169 reboot "xxxxxx";
    170 sethostname "sd" => system::sethostname;
    171 setdomainname "sd" => system::setdomainname;
    172 iopl "xxxxxx";
    173 ioperm "xxxxxx";
    174 create_module "xxxxxx";
    175 init_module "xxxxxx";
    176 delete_module "xxxxxx";
    177 get_kernel_syms "xxxxxx";
    178 query_module "xxxxxx";
    179 quotactl "xxxxxx";
    180 nfsservctl "xxxxxx";
    181 getpmsg "xxxxxx";
    182 putpmsg "xxxxxx";
    183 afs_syscall "xxxxxx";
    184 tuxcall "xxxxxx";
    185 security "xxxxxx";
    186 gettid "" => process::gettid;
    187 readahead "fuz";
    188 setxattr "sspzg" => xattr::setxattr;
    189 lsetxattr "sspzg" => xattr::lsetxattr;
    190 fsetxattr "fspzg" => xattr::fsetxattr;
    191 getxattr "sspz" => xattr::getxattr;
    192 lgetxattr "sspz" => xattr::lgetxattr;
    193 fgetxattr "fspz" => xattr::fgetxattr;
    194 listxattr "spz" => xattr::listxattr;
    195 llistxattr "spz" => xattr::llistxattr;
    196 flistxattr "fpz" => xattr::flistxattr;
    197 removexattr "ss" => xattr::removexattr;
    198 lremovexattr "ss" => xattr::lremovexattr;
    199 fremovexattr "fs" => xattr::fremovexattr;
    200 tkill "dS" => signal::tkill;
    201 time "p" => time::time;
    202 futex "pgdpxd" => local::futex, "no priority inheritance";
    203 sched_setaffinity "dzp" => resource::sched_setaffinity;
    204 sched_getaffinity "dzp" => resource::sched_getaffinity;
    205 set_thread_area "xxxxxx";
    206 io_setup "xxxxxx";
    207 io_destroy "xxxxxx";
    208 io_getevents "xxxxxx";
    209 io_submit "xxxxxx";
    210 io_cancel "xxxxxx";
    211 get_thread_area "xxxxxx";
    212 lookup_dcookie "xxxxxx";
    213 epoll_create "d" => anon::epoll_create;
    214 epoll_ctl_old "xxxxxx";
    215 epoll_wait_old "xxxxxx";
    216 remap_file_pages "xxxxxx";
    217 getdents64 "fpz" => dir::getdents64;
    218 set_tid_address "p" => process::set_tid_address;
    219 restart_syscall "" => signal::restart_syscall, "continued inside the kernel";
    220 semtimedop "xxxxxx";
    221 fadvise64 "fuzd" => attr::fadvise64;
    222 timer_create "dpp" => time::timer_create, "no CPU clocks of threads";
    223 timer_settime "dgpp" => time::timer_settime;
    224 timer_gettime "dp" => time::timer_gettime;
    225 timer_getoverrun "d" => time::timer_getoverrun;
    226 timer_delete "d" => time::timer_delete;
    227 clock_settime "dp";
    228 clock_gettime "dp" => time::clock_gettime;
    229 clock_getres "dp" => time::clock_getres;
    230 clock_nanosleep "dgpp" => time::clock_nanosleep;
    231 exit_group "d" => process::exit_group;
    232 epoll_wait "fpdd" => anon::epoll_wait;
    233 epoll_ctl "fdfp" => anon::epoll_ctl;
    234 tgkill "ddS" => signal::tgkill;
    235 utimes "sp" => attr::utimes;
    236 vserver "xxxxxx";
    237 mbind "xxxxxx";
    238 set_mempolicy "xxxxxx";
    239 get_mempolicy "xxxxxx";
    240 mq_open "xxxxxx";
    241 mq_unlink "xxxxxx";
    242 mq_timedsend "xxxxxx";
    243 mq_timedreceive "xxxxxx";
    244 mq_notify "xxxxxx";
    245 mq_getsetattr "xxxxxx";
    246 kexec_load "xxxxxx";
    247 waitid "ddpgp" => process::waitid, "rusage holds CPU times only";
    248 add_key "xxxxxx";
    249 request_key "xxxxxx";
    250 keyctl "xxxxxx";
    251 ioprio_set "xxxxxx";
    252 ioprio_get "xxxxxx";
    253 inotify_init "";
    254 inotify_add_watch "fsg";
    255 inotify_rm_watch "fd";
    256 migrate_pages "xxxxxx";
    257 openat "fsgo" => open::openat;
    258 mkdirat "fso" => dir::mkdirat;
    259 mknodat "fsox" => dir::mknodat;
    260 fchownat "fsddg" => attr::fchownat;
    261 futimesat "fsp" => attr::futimesat;
    262 newfstatat "fspg" => stat::newfstatat;
    263 unlinkat "fsg" => dir::unlinkat;
    264 renameat "fsfs" => dir::renameat;
    265 linkat "fsfsg" => dir::linkat;
    266 symlinkat "sfs" => dir::symlinkat;
    267 readlinkat "fspz" => stat::readlinkat;
    268 fchmodat "fso" => attr::fchmodat;
    269 faccessat "fso" => stat::faccessat;
    270 pselect6 "dppppp" => poll::pselect6;
    271 ppoll "puppz" => poll::ppoll;
    272 unshare "g";
    273 set_robust_list "pz" => process::set_robust_list;
    274 get_robust_list "dpp" => process::get_robust_list;
    275 splice "fpfpzg" => transfer::splice, "copies; SPLICE_F_MOVE and SPLICE_F_GIFT have no effect";
    276 tee "ffzg" => transfer::tee;
    277 sync_file_range "fuug" => attr::sync_file_range;
    278 vmsplice "fpug";
    279 move_pages "xxxxxx";
    280 utimensat "fspg" => attr::utimensat;
    281 epoll_pwait "fpddpz" => anon::epoll_pwait;
    282 signalfd "fpz" => pidfd::signalfd, "serves the task that made it";
    283 timerfd_create "dg" => anon::timerfd_create;
    284 eventfd "u" => anon::eventfd;
    285 fallocate "fguu" => attr::fallocate;
    286 timerfd_settime "fgpp" => anon::timerfd_settime;
    287 timerfd_gettime "fp" => anon::timerfd_gettime;
    288 accept4 "fppg" => socket::accept4;
    289 signalfd4 "fpzg" => pidfd::signalfd4, "serves the task that made it";
    290 eventfd2 "ug" => anon::eventfd2;
    291 epoll_create1 "g" => anon::epoll_create1;
    292 dup3 "ffg" => fdctl::dup3;
    293 pipe2 "pg" => open::pipe2;
    294 inotify_init1 "g";
    295 preadv "fpuu" => io::preadv;
    296 pwritev "fpuu" => io::pwritev;
    297 rt_tgsigqueueinfo "ddSp" => signal::rt_tgsigqueueinfo;
    298 perf_event_open "xxxxxx";
    299 recvmmsg "fpugp" => socket::recvmmsg, "the timeout is checked but not applied";
    300 fanotify_init "xxxxxx";
    301 fanotify_mark "xxxxxx";
    302 prlimit64 "ddpp" => resource::prlimit64, "as setrlimit";
    303 name_to_handle_at "xxxxxx";
    304 open_by_handle_at "xxxxxx";
    305 clock_adjtime "xxxxxx";
    306 syncfs "f" => attr::syncfs;
    307 sendmmsg "fpug" => socket::sendmmsg;
    308 setns "fg";
    309 getcpu "ppp" => local::getcpu;
    310 process_vm_readv "dpupuu";
    311 process_vm_writev "dpupuu";
    312 kcmp "xxxxxx";
    313 finit_module "xxxxxx";
    314 sched_setattr "xxxxxx";
    315 sched_getattr "xxxxxx";
    316 renameat2 "fsfsg" => dir::renameat2;
    317 seccomp "dgp";
    318 getrandom "pzg" => system::getrandom;
    319 memfd_create "sg" => anon::memfd_create;
    320 kexec_file_load "xxxxxx";
    321 bpf "xxxxxx";
    322 execveat "fsppg" => exec::execveat;
    323 userfaultfd "xxxxxx";
    324 membarrier "dgd" => local::membarrier;
    325 mlock2 "xzg" => local::mlock2;
    326 copy_file_range "fpfpzg" => transfer::copy_file_range, "copies; never shares blocks";
    327 preadv2 "fpuuxg" => io::preadv2;
    328 pwritev2 "fpuuxg" => io::pwritev2;
    329 pkey_mprotect "xxxxxx";
    330 pkey_alloc "xxxxxx";
    331 pkey_free "xxxxxx";
    332 statx "fsggp" => stat::statx;
    333 io_pgetevents "xxxxxx";
    334 rseq "pugx" => local::rseq;
    424 pidfd_send_signal "fSpg" => pidfd::pidfd_send_signal;
    425 io_uring_setup "xxxxxx";
    426 io_uring_enter "xxxxxx";
    427 io_uring_register "xxxxxx";
    428 open_tree "xxxxxx";
    429 move_mount "xxxxxx";
    430 fsopen "xxxxxx";
    431 fsconfig "xxxxxx";
    432 fsmount "xxxxxx";
    433 fspick "xxxxxx";
    434 pidfd_open "dg" => pidfd::pidfd_open, "no PIDFD_THREAD for threads that lead no process";
    435 clone3 "pz" => process::clone3, "no namespaces, no CLONE_PIDFD, no set_tid";
    436 close_range "uug" => open::close_range;
    437 openat2 "fspz" => open::openat2;
    438 pidfd_getfd "ffg" => pidfd::pidfd_getfd;
    439 faccessat2 "fsog" => stat::faccessat2;
    440 process_madvise "xxxxxx";
    441 epoll_pwait2 "fpdppz" => anon::epoll_pwait2;
    442 mount_setattr "xxxxxx";
    443 quotactl_fd "xxxxxx";
    444 landlock_create_ruleset "xxxxxx";
    445 landlock_add_rule "xxxxxx";
    446 landlock_restrict_self "xxxxxx";
    447 memfd_secret "xxxxxx";
    448 process_mrelease "xxxxxx";
    449 futex_waitv "xxxxxx";
    450 set_mempolicy_home_node "xxxxxx";
    451 cachestat "xxxxxx";
    452 fchmodat2 "fsog" => attr::fchmodat2;
    453 map_shadow_stack "xxxxxx";
    454 futex_wake "xxxxxx";
    455 futex_wait "xxxxxx";
    456 futex_requeue "xxxxxx";
    457 statmount "xxxxxx";
    458 listmount "xxxxxx";
    459 lsm_get_self_attr "xxxxxx";
    460 lsm_set_self_attr "xxxxxx";
    461 lsm_list_modules "xxxxxx";
    462 mseal "xxxxxx";
    463 setxattrat "xxxxxx";
    464 getxattrat "xxxxxx";
    465 listxattrat "xxxxxx";
    466 removexattrat "xxxxxx";
    467 open_tree_attr "xxxxxx";
    468 file_getattr "xxxxxx";
    469 file_setattr "xxxxxx";
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
    fn a_note_is_of_a_call_that_is_answered() {
        for entry in TABLE.iter().filter(|e| e.handler.is_none()) {
            assert!(matches!(entry.note, "" | BY_STUB), "{}: {}", entry.name, entry.note);
        }
        assert!(find(15).is_some_and(Entry::answered) && find(0).is_some_and(Entry::answered));
        assert!(find(29).is_some_and(|e| !e.answered()));
    }

    #[test]
    fn numbers_are_found_and_large_ones_are_not() {
        assert_eq!(find(39).map(|e| e.name), Some("getpid"));
        assert!(find(400).is_none() && find(u64::MAX).is_none());
    }
}
