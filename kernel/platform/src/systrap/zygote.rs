//! Starting the zygote, the process that every stub is forked from.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use bevor_abi::Errno;
use bevor_hostcall::fd::{check, memfd};
use bevor_hostcall::{HostFd, SharedMemory};
use bevor_stub::layout as l;
use bevor_stub::layout::{boot, channel as at};

use super::filter;
use super::place::Ground;
use super::sys;
use crate::api::SpaceLayout;
use crate::defence::Defences;

/// How the zygote's process is set up.
#[derive(Clone, Debug, Default)]
pub struct ZygoteOptions {
    /// The stubs' own user and group id; `None` keeps the caller's.
    pub uid: Option<u32>,
    /// What [`vdso_extent`] has said, for a caller that has no `/proc` any more.
    pub vdso_extent: Option<VdsoExtent>,
    /// Nobody looks at every call: sched_yield(2) may go to the host from unpatched sites, too.
    pub native_yield: bool,
    /// What protects the platform from stubs.
    pub defences: Defences,
}

/// A running zygote, not yet in use.
pub struct Zygote {
    pub(crate) pid: i32,
    pub(crate) fd: HostFd,
    pub(crate) memory: std::sync::Arc<SharedMemory>,
    pub(crate) listener: HostFd,
    pub(crate) ground: Ground,
    pub(crate) defences: Defences,
}

/// The mappings of the vDSO and its data, each by its start, seen from the vDSO's first byte, and its length: the same in all processes.
#[derive(Clone, Debug, Default)]
pub struct VdsoExtent(Vec<(i64, u64)>);

fn xsave_layout() -> (u64, u32) {
    use std::arch::x86_64::{__cpuid_count, _xgetbv};
    // The baseline x86-64 CPU of this platform has XSAVE (checked in `supported`).
    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: the CPU has XSAVE and the OS has enabled it.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: `supported` has checked OSXSAVE.
    let enabled = unsafe { xcr0() };
    // AMX tiles need a permission of their own, which applications do not get here.
    let mask = enabled & !0x6_0000;
    let mut size = 576u32;
    for bit in 2..63u32 {
        if mask & (1 << bit) != 0 {
            let leaf = __cpuid_count(0xd, bit);
            size = size.max(leaf.eax + leaf.ebx);
        }
    }
    (mask, size)
}

/// What the host must have.
fn supported() -> Result<(), Errno> {
    let hwcap2 = auxv(libc::AT_HWCAP2);
    // HWCAP2_FSGSBASE: the stub keeps its thread pointer in GS.
    if hwcap2 & 2 == 0 || !std::arch::is_x86_feature_detected!("xsave") { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

fn auxv(key: libc::c_ulong) -> u64 {
    // SAFETY: reads the process's own auxiliary vector.
    unsafe { libc::getauxval(key) }
}

/// Offsets of functions in the vDSO image, looked up in this process's own mapping of it (the same image in every process).
struct Vdso {
    base: *const u8,
}

impl Vdso {
    fn read<T: Copy>(&self, off: u64) -> Option<T> {
        let off = usize::try_from(off).ok()?;
        // The kernel maps two pages or more; stay inside the first two.
        if off.checked_add(size_of::<T>())? > 8192 {
            return None;
        }
        // SAFETY: inside the vDSO's mapping, which lives as long as the process; any alignment is allowed.
        Some(unsafe { self.base.add(off).cast::<T>().read_unaligned() })
    }

    fn is_name(&self, off: u64, name: &[u8]) -> bool {
        name.iter().chain(&[0]).enumerate().all(|(i, b)| self.read::<u8>(off + u64::try_from(i).unwrap_or(0)) == Some(*b))
    }

    /// Looks `name` up in the dynamic symbol table.
    fn symbol(&self, name: &[u8]) -> Option<u64> {
        let phoff: u64 = self.read(32)?;
        let phnum: u16 = self.read(56)?;
        let (mut dynamic, mut load) = (None, 0u64);
        for i in 0..u64::from(phnum) {
            let ph = phoff + 56 * i;
            match self.read::<u32>(ph)? {
                1 => load = self.read::<u64>(ph + 16)?,
                2 => dynamic = Some(self.read::<u64>(ph + 16)?),
                _ => {}
            }
        }
        let mut at = dynamic?.checked_sub(load)?;
        let (mut strtab, mut symtab) = (None, None);
        loop {
            let tag: u64 = self.read(at)?;
            let value: u64 = self.read(at + 8)?;
            match tag {
                0 => break,
                5 => strtab = Some(value.wrapping_sub(load)),
                6 => symtab = Some(value.wrapping_sub(load)),
                _ => {}
            }
            at += 16;
        }
        let (strtab, symtab) = (strtab?, symtab?);
        // The tables lie back to back, symbols first.
        for i in 1..strtab.checked_sub(symtab)? / 24 {
            let sym = symtab + 24 * i;
            let name_off: u32 = self.read(sym)?;
            if self.is_name(strtab + u64::from(name_off), name) {
                return self.read::<u64>(sym + 8)?.checked_sub(load);
            }
        }
        None
    }
}

fn write_boot(memory: &SharedMemory, options: &ZygoteOptions) {
    let put32 = |field: usize, v: u32| memory.write(at::DATA + field, &v.to_le_bytes());
    let put64 = |field: usize, v: u64| memory.write(at::DATA + field, &v.to_le_bytes());
    let (mask, size) = xsave_layout();
    put64(boot::XSAVE_MASK, mask);
    put32(boot::XSAVE_SIZE, size);
    let program = filter::assemble(&options.defences, options.native_yield);
    put32(boot::BPF_LEN, u32::try_from(program.len()).unwrap_or(0));
    for (i, insn) in program.iter().enumerate() {
        put64(boot::BPF + 8 * i, insn.to_word());
    }
    let base = usize::try_from(auxv(libc::AT_SYSINFO_EHDR)).unwrap_or(0);
    if base != 0 {
        let vdso = Vdso { base: std::ptr::with_exposed_provenance(base) };
        for (field, name) in [
            (boot::VDSO_CLOCK_GETTIME, &b"__vdso_clock_gettime"[..]),
            (boot::VDSO_GETTIMEOFDAY, b"__vdso_gettimeofday"),
            (boot::VDSO_TIME, b"__vdso_time"),
            (boot::VDSO_GETCPU, b"__vdso_getcpu"),
        ] {
            put64(field, vdso.symbol(name).unwrap_or(0));
        }
    }
}

/// Host processes and threads that the stubs may be in all, where the caller's limit is no lower.
const HOST_PROCESSES: u64 = 32_768;

/// The child between fork and exec: only async-signal-safe calls, no allocation.
fn become_stub(program: RawFd, slab: RawFd, uid: Option<u32>) -> ! {
    // SAFETY: plain system calls on descriptors that this process has; on failure the child ends at once. The raw calls are used
    // for the ids because the libc functions would try to reach other threads.
    unsafe {
        let high = libc::fcntl(program, libc::F_DUPFD_CLOEXEC, 10);
        let slab_high = libc::fcntl(slab, libc::F_DUPFD_CLOEXEC, 10);
        libc::syscall(libc::SYS_close_range, 0, 2, 0);
        if libc::dup2(slab_high, 3) != 3 {
            libc::_exit(125);
        }
        libc::syscall(libc::SYS_close_range, 4, u32::MAX, 4 /* CLOSE_RANGE_CLOEXEC */);
        let core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const core);
        // Of the stubs' user in the sandbox's user namespace: also those that a program makes behind the kernel's back.
        let mut processes = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NPROC, &raw mut processes) == 0 {
            let most = HOST_PROCESSES.min(processes.rlim_cur).min(processes.rlim_max);
            processes = libc::rlimit { rlim_cur: most, rlim_max: most };
            libc::setrlimit(libc::RLIMIT_NPROC, &raw const processes);
        }
        if let Some(uid) = uid
            && (libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) != 0
                || libc::syscall(libc::SYS_setresgid, uid, uid, uid) != 0
                || libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0)
        {
            libc::_exit(124);
        }
        // A mask left by the runtime must not reach the application, nor ignored signals.
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        let empty: [*const libc::c_char; 1] = [std::ptr::null()];
        let name = [c"bevor-stub".as_ptr(), std::ptr::null()];
        libc::syscall(libc::SYS_execveat, high, c"".as_ptr(), name.as_ptr(), empty.as_ptr(), libc::AT_EMPTY_PATH);
        libc::_exit(126)
    }
}

impl Zygote {
    /// Starts the zygote as a child of the calling process, which must be single-threaded and about to become the sentry
    /// (process 1 of the sandbox's pid namespace), before it gives up execve.
    ///
    /// # Errors
    /// EOPNOTSUPP if the CPU lacks FSGSBASE or XSAVE; otherwise the failed host call's errno (EPERM if seccomp user notification
    /// or pidfd_getfd(2) is refused).
    pub fn spawn(options: ZygoteOptions) -> Result<Self, Errno> {
        supported()?;
        let program = stub_memfd()?;
        let fd = memfd(c"bevor-slab")?;
        sys::size_and_seal(&fd, l::SLAB_SIZE, &options.defences)?;
        let memory = SharedMemory::map(&fd, 0, l::SLAB_SIZE, true)?;
        write_boot(&memory, &options);
        // SAFETY: the child makes only async-signal-safe calls before it execs or exits.
        let pid = check(i64::from(unsafe { libc::fork() }))?;
        if pid == 0 {
            become_stub(program.raw(), fd.raw(), options.uid);
        }
        let pid = i32::try_from(pid).map_err(|_| Errno::EINVAL)?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while memory.atomic_u32(at::REQ_SEQ).load(std::sync::atomic::Ordering::Acquire) == 0 {
            let mut status = 0;
            // SAFETY: the kernel fills one int.
            if unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == pid {
                return Err(Errno::ENOEXEC);
            }
            if Instant::now() > deadline {
                let _ = sys::kill(pid);
                return Err(Errno::ETIMEDOUT);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        let word = |field: usize| {
            let mut b = [0; 8];
            memory.read(field, &mut b);
            u64::from_le_bytes(b)
        };
        let listener = word(at::ARGS).cast_signed();
        if listener < 0 {
            return Err(Errno::from_raw_result(listener).unwrap_or(Errno::EPERM));
        }
        let listener = sys::take_fd(pid, RawFd::try_from(listener).map_err(|_| Errno::EBADF)?)?;
        // Hosts before 6.6 work without; hand-offs then cost a cross-CPU wake-up.
        let _ = sys::notif_set_sync(&listener);
        sys::short_slice();
        let layout = SpaceLayout {
            stack_top: word(at::ARGS + 16),
            stack_bottom: word(at::ARGS + 16) - (2 << 20),
            vdso: word(at::ARGS + 8),
            reserved: (0, 0),
        };
        let VdsoExtent(vdso) = options.vdso_extent.map_or_else(vdso_extent, Ok)?;
        let mut ground = Ground { plain: layout, vdso, mmap_base: 0 };
        // The highest page that was free: nothing is there but, with some hosts, the vDSO.
        let (low, high) = ground.vdso(&layout);
        let free = word(at::ARGS + 24);
        ground.mmap_base = if low == free + 4096 { high } else { free + 4096 };
        Ok(Self { pid, fd, memory, listener, ground, defences: options.defences })
    }
}

/// Where the vDSO and its data lie, from this process's `/proc`.
///
/// # Errors
/// EIO if that cannot be read.
pub fn vdso_extent() -> Result<VdsoExtent, Errno> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|_| Errno::EIO)?;
    let base = auxv(libc::AT_SYSINFO_EHDR);
    let mut pieces = Vec::new();
    for line in maps.lines().filter(|l| l.ends_with("[vdso]") || l.contains("[vvar")) {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let parse = |text: &str| u64::from_str_radix(text, 16).ok();
        if let Some((start, end)) = range.and_then(|(a, b)| Some((parse(a)?, parse(b)?))) {
            pieces.push((start.wrapping_sub(base).cast_signed(), end.saturating_sub(start)));
        }
    }
    Ok(VdsoExtent(pieces))
}

/// The stub program as a sealed memory file.
fn stub_memfd() -> Result<HostFd, Errno> {
    let fd = memfd(c"bevor-stub")?;
    let elf = bevor_stub::STUB_ELF;
    // SAFETY: the buffer is the whole embedded program.
    let n = check(i64::try_from(unsafe { libc::write(fd.raw(), elf.as_ptr().cast(), elf.len()) }).unwrap_or(-1))?;
    if usize::try_from(n) != Ok(elf.len()) {
        return Err(Errno::EIO);
    }
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::fcntl(fd.raw(), libc::F_ADD_SEALS, seals) }))?;
    Ok(fd)
}
