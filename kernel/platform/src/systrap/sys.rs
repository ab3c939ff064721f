//! Host calls that only this platform makes, each as a safe function.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use bevor_abi::Errno;
use bevor_hostcall::HostFd;
use bevor_hostcall::fd::check;

use crate::defence::{Defence, Defences};

/// `struct seccomp_data` (seccomp(2)).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct SeccompData {
    pub(crate) nr: i32,
    pub(crate) arch: u32,
    pub(crate) instruction_pointer: u64,
    pub(crate) args: [u64; 6],
}

/// `struct seccomp_notif` (seccomp_unotify(2)).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct SeccompNotif {
    pub(crate) id: u64,
    pub(crate) pid: u32,
    pub(crate) flags: u32,
    pub(crate) data: SeccompData,
}

#[repr(C)]
struct SeccompNotifResp {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

#[repr(C)]
struct SeccompNotifAddfd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

const NOTIF_RECV: libc::c_ulong = 0xc050_2100;
const NOTIF_SEND: libc::c_ulong = 0xc018_2101;
const NOTIF_ADDFD: libc::c_ulong = 0x4018_2103;
const NOTIF_SET_FLAGS: libc::c_ulong = 0x4008_2104;
const ADDFD_FLAG_SETFD: u32 = 1;
const ADDFD_FLAG_SEND: u32 = 2;

/// Waits for a notification. `None`: interrupted, or the notifying thread has died meanwhile.
pub(crate) fn notif_recv(listener: &HostFd) -> Result<Option<SeccompNotif>, Errno> {
    let mut n = SeccompNotif::default();
    // SAFETY: the kernel fills exactly one struct seccomp_notif.
    match check(i64::from(unsafe { libc::ioctl(listener.raw(), NOTIF_RECV, &raw mut n) })) {
        Ok(_) => Ok(Some(n)),
        Err(Errno::EINTR | Errno::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether nobody is left who could notify.
pub(crate) fn notif_hung_up(listener: &HostFd) -> bool {
    bevor_hostcall::file::poll_one(listener, libc::POLLIN, 0).is_ok_and(|events| events & libc::POLLHUP != 0)
}

/// Lets the notifying thread return `val` (a raw result).
pub(crate) fn notif_send(listener: &HostFd, id: u64, val: i64) -> Result<(), Errno> {
    let (val, error) = if (-4095..0).contains(&val) { (0, i32::try_from(val).unwrap_or(-libc::EIO)) } else { (val, 0) };
    let resp = SeccompNotifResp { id, val, error, flags: 0 };
    // SAFETY: the kernel reads one struct seccomp_notif_resp.
    check(i64::from(unsafe { libc::ioctl(listener.raw(), NOTIF_SEND, &raw const resp) })).map(drop)
}

/// Installs `fd` in the notifying process, which returns its number there.
pub(crate) fn notif_addfd(listener: &HostFd, id: u64, fd: &HostFd) -> Result<(), Errno> {
    addfd(listener, id, fd, ADDFD_FLAG_SEND, 0)
}

/// Installs `fd` as number `at` in the notifying process, in place of what was there. The `last` one is returned there; each of the others
/// costs another sleep of both sides, for it is that process that installs it.
pub(crate) fn notif_addfd_at(listener: &HostFd, id: u64, fd: &HostFd, at: u32, last: bool) -> Result<(), Errno> {
    addfd(listener, id, fd, ADDFD_FLAG_SETFD | if last { ADDFD_FLAG_SEND } else { 0 }, at)
}

fn addfd(listener: &HostFd, id: u64, fd: &HostFd, flags: u32, newfd: u32) -> Result<(), Errno> {
    let srcfd = u32::try_from(fd.raw()).map_err(|_| Errno::EBADF)?;
    let add = SeccompNotifAddfd { id, flags, srcfd, newfd, newfd_flags: 0 };
    // SAFETY: the kernel reads one struct seccomp_notif_addfd.
    check(i64::from(unsafe { libc::ioctl(listener.raw(), NOTIF_ADDFD, &raw const add) })).map(drop)
}

/// Wake-ups through `listener` move the woken side to the waking CPU (Linux 6.6).
pub(crate) fn notif_set_sync(listener: &HostFd) -> Result<(), Errno> {
    // SAFETY: the argument is a plain flag word.
    check(i64::from(unsafe { libc::ioctl(listener.raw(), NOTIF_SET_FLAGS, 1u64) })).map(drop)
}

fn vm_copy(call: libc::c_long, pid: i32, local: *mut u8, len: usize, remote: u64) -> usize {
    let l = libc::iovec { iov_base: local.cast(), iov_len: len };
    let r = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(usize::try_from(remote).unwrap_or(0)), iov_len: len };
    // SAFETY: `local` is valid for `len` bytes (callers pass a slice); the remote side is checked by the kernel.
    let n = unsafe { libc::syscall(call, i64::from(pid), &raw const l, 1u64, &raw const r, 1u64, 0u64) };
    usize::try_from(n).unwrap_or(0)
}

/// Copies from another process (process_vm_readv(2)); bytes before the first fault. The call is made in pages, since the host
/// reports a partial iovec only at that granularity.
pub(crate) fn vm_read(pid: i32, addr: u64, dst: &mut [u8]) -> usize {
    if dst.is_empty() {
        return 0;
    }
    vm_copy(libc::SYS_process_vm_readv, pid, dst.as_mut_ptr(), dst.len(), addr)
}

/// Copies to another process (process_vm_writev(2)).
pub(crate) fn vm_write(pid: i32, addr: u64, src: &[u8]) -> usize {
    if src.is_empty() {
        return 0;
    }
    vm_copy(libc::SYS_process_vm_writev, pid, src.as_ptr().cast_mut(), src.len(), addr)
}

/// Sets a soft resource limit of another process (prlimit(2)); the hard one stays and is the most.
pub(crate) fn set_soft_limit(pid: i32, resource: u32, soft: u64) -> Result<(), Errno> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let none = std::ptr::null::<libc::rlimit64>();
    // SAFETY: the kernel writes one rlimit64.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, none, &raw mut limit) })?;
    limit.rlim_cur = soft.min(limit.rlim_max);
    let none = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: the kernel reads one rlimit64.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, none) }).map(drop)
}

/// Signals one thread of a process.
pub(crate) fn tgkill(tgid: i32, tid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_tgkill, tgid, tid, signal) }).map(drop)
}

/// Kills a process, all of its threads. (tgkill(2) would do nothing to a process whose first thread has exited.)
pub(crate) fn kill(pid: i32) -> Result<(), Errno> {
    if pid <= 0 {
        return Err(Errno::ESRCH);
    }
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::kill(pid, libc::SIGKILL) })).map(drop)
}

/// Waits for any child to exit without reaping it; its pid and wait status. ECHILD if there is none.
pub(crate) fn wait_any() -> Result<(i32, i32), Errno> {
    // SAFETY: zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
    // SAFETY: the kernel fills one siginfo_t.
    check(i64::from(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) }))?;
    // SAFETY: waitid has filled the SIGCHLD fields.
    Ok(unsafe { (info.si_pid(), info.si_status()) })
}

/// Reaps a child that has exited.
pub(crate) fn reap(pid: i32) {
    let Ok(id) = libc::id_t::try_from(pid) else { return };
    // SAFETY: zero is a valid siginfo_t, which the kernel fills.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, id, &raw mut info, libc::WEXITED | libc::__WALL);
    }
}

/// Sets the number of libc's heap arenas. Left to itself, libc opens a file to count the host's CPUs once it has eight, which a confined
/// sentry must not.
pub(crate) fn limit_arenas() {
    const M_ARENA_MAX: libc::c_int = -8;
    // SAFETY: a tuning parameter.
    unsafe { libc::mallopt(M_ARENA_MAX, 8) };
}

/// Gives memory that the heap does not need back to the host: what is freed in the middle stays with libc otherwise.
pub(crate) fn trim_heap() {
    // SAFETY: concerns free memory only.
    unsafe { libc::malloc_trim(0) };
}

/// How many CPUs the calling thread may run on.
pub(crate) fn allowed_cpus() -> usize {
    // SAFETY: a plain count of bits.
    usize::try_from(unsafe { libc::CPU_COUNT(all_cpus()) }).unwrap_or(1).max(1)
}

/// The CPUs of the process at its start: what `avoid_cpus` chooses from.
fn all_cpus() -> &'static libc::cpu_set_t {
    static ALL: std::sync::OnceLock<libc::cpu_set_t> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        // SAFETY: zero is an empty cpu_set_t, which the kernel then fills.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
            set
        }
    })
}

/// The calling thread's CPU.
pub(crate) fn current_cpu() -> u32 {
    // SAFETY: no memory is involved.
    u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

/// The calling thread's id.
pub(crate) fn current_tid() -> i32 {
    // SAFETY: no memory is involved.
    unsafe { libc::gettid() }
}

/// Lets thread `tid` of this process (0: the calling one) run anywhere but on these CPUs, unless no other is allowed.
pub(crate) fn avoid_cpus(tid: i32, taken: &[u32]) {
    let mut set = *all_cpus();
    for cpu in taken.iter().filter_map(|c| usize::try_from(*c).ok()).filter(|c| *c < 8 * size_of::<libc::cpu_set_t>()) {
        // SAFETY: the index is inside the set.
        unsafe { libc::CPU_CLR(cpu, &mut set) };
    }
    // SAFETY: reads one cpu_set_t. Without a CPU in it the call fails and changes nothing.
    unsafe { libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), &raw const set) };
}

/// Asks for a short time slice (0.1 ms, Linux 6.12) for the calling thread and those that it starts: under load it runs as soon as it has
/// something to do, and a stub that it wakes does not interrupt it, for no larger share of the CPU.
pub(crate) fn short_slice() {
    const SLICE_NS: u64 = 100_000;
    let mut attr = [0u8; 56];
    attr[..4].copy_from_slice(&56u32.to_le_bytes());
    // SAFETY: no memory is involved.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    attr[16..20].copy_from_slice(&nice.to_le_bytes());
    attr[24..32].copy_from_slice(&SLICE_NS.to_le_bytes());
    // SAFETY: reads one struct sched_attr of the size that stands in it. Older hosts refuse or ignore it.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, attr.as_ptr(), 0) };
}

/// CPU time of a process from its CPU clocks (user, total), nanoseconds; zeros once it is gone.
pub(crate) fn process_cpu_time(pid: i32) -> (u64, u64) {
    let read = |which: i32| {
        let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel fills one timespec.
        let ok = unsafe { libc::clock_gettime(((!pid) << 3) | which, &raw mut ts) } == 0;
        if ok { u64::try_from(ts.tv_sec * 1_000_000_000 + ts.tv_nsec).unwrap_or(0) } else { 0 }
    };
    // CPUCLOCK_SCHED is exact; the user share (CPUCLOCK_VIRT) comes in ticks.
    let total = read(2);
    (read(1).min(total), total)
}

/// Takes a copy of descriptor `fd` of child process `pid`.
pub(crate) fn take_fd(pid: i32, fd: RawFd) -> Result<HostFd, Errno> {
    // SAFETY: no memory is involved.
    let pidfd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let pidfd = RawFd::try_from(pidfd).map_err(|_| Errno::EBADF)?;
    // SAFETY: just opened, owned by nobody else.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: no memory is involved.
    let got = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, std::os::fd::AsRawFd::as_raw_fd(&pidfd), fd, 0) })?;
    let got = RawFd::try_from(got).map_err(|_| Errno::EBADF)?;
    // SAFETY: just received, owned by nobody else.
    Ok(HostFd::new(unsafe { OwnedFd::from_raw_fd(got) }))
}

/// 128 random bits for each of 16 one-shot claims.
pub(crate) fn nonces() -> Vec<(u64, u64)> {
    let mut b = [0u8; 256];
    // SAFETY: the buffer is as large as is said.
    let n = unsafe { libc::getrandom(b.as_mut_ptr().cast(), b.len(), 0) };
    assert_eq!(n, 256, "getrandom(2) never fails for up to 256 bytes once the pool is initialised");
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    b.chunks_exact(16).map(|c| (word(&c[..8]), word(&c[8..]))).collect()
}

/// Sets the size of a memfd and seals it against shrinking, growing and further seals.
pub(crate) fn size_and_seal(fd: &HostFd, len: usize, defences: &Defences) -> Result<(), Errno> {
    let len = libc::off_t::try_from(len).map_err(|_| Errno::EINVAL)?;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::ftruncate(fd.raw(), len) }))?;
    if !defences.has(Defence::Seals) {
        return Ok(());
    }
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::fcntl(fd.raw(), libc::F_ADD_SEALS, seals) })).map(drop)
}

/// Seals a memfd against all changes.
pub(crate) fn seal_for_good(fd: &HostFd, defences: &Defences) -> Result<(), Errno> {
    if !defences.has(Defence::Seals) {
        return Ok(());
    }
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::fcntl(fd.raw(), libc::F_ADD_SEALS, seals) })).map(drop)
}

/// Writes at an offset; bytes written.
pub(crate) fn pwrite(fd: &HostFd, offset: u64, bytes: &[u8]) -> usize {
    bevor_hostcall::file::pwrite(fd, bytes, offset).unwrap_or(0)
}

/// Reads at an offset; 0 bytes at the end and where that fails.
fn pread(fd: &HostFd, chunk: &mut [u8], at: usize) -> usize {
    u64::try_from(at).map_or(0, |at| bevor_hostcall::file::pread(fd, chunk, at).unwrap_or(0))
}

/// Reads a (proc) file of at most `limit` bytes line by line, until `stop` says so.
pub(crate) fn read_lines(fd: &HostFd, limit: usize, mut stop: impl FnMut(&[u8]) -> bool) {
    let mut chunk = vec![0u8; 4 << 10];
    let mut line = Vec::new();
    let mut at = 0;
    while at < limit {
        let n = pread(fd, &mut chunk, at);
        if n == 0 {
            return;
        }
        at += n;
        for byte in &chunk[..n] {
            if *byte != b'\n' {
                line.push(*byte);
            } else if stop(&line) {
                return;
            } else {
                line.clear();
            }
        }
    }
}

/// Reads a whole (proc) file of at most `limit` bytes.
pub(crate) fn read_whole(fd: &HostFd, limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 << 10);
    let mut chunk = vec![0u8; 16 << 10];
    while out.len() < limit {
        match pread(fd, &mut chunk, out.len()) {
            0 => break,
            n => out.extend_from_slice(&chunk[..n]),
        }
    }
    out
}
