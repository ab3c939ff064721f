//! What /proc tells, from the kernel's tasks.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bevor_abi::Errno;
use bevor_abi::process::RLIM_NLIMITS;
use bevor_core::creds::Credentials;
use bevor_core::kernel::Kernel;
use bevor_core::memory::Kind;
use bevor_core::num::to_usize;
use bevor_core::task::{ImageInfo, Task};
use bevor_core::vfs::{Caller, FdTable, FsContext, Path, WalkFlags, device_numbers, mount_flags};
use bevor_fs::proc::{ProcData, ProcFs, ProcMemory, ProcTask, SystemFile, TaskFile};
use bevor_platform::MemoryUse;

/// The machine's name and version, as uname(2) gives them.
const RELEASE: &str = "6.18.0";
const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC Bevor";
/// The longest command line or environment shown.
const MAX_STRINGS: u64 = 1 << 20;

/// Mounts a /proc for `kernel` at /proc of `fs`, if that directory exists.
///
/// # Errors
/// ENOENT, ENOTDIR.
pub fn mount_proc(kernel: &Arc<Kernel>, fs: &FsContext) -> Result<(), Errno> {
    let creds = Credentials::root();
    let caller = Caller { creds: &creds, pid: 1, tid: 1 };
    let at = fs.resolve(None, b"/proc", caller, WalkFlags::FOLLOW)?;
    let vfs = &fs.ns.vfs;
    let root = ProcFs::new(vfs, Arc::new(KernelData(Arc::downgrade(kernel))));
    let flags = mount_flags::NOSUID | mount_flags::NODEV | mount_flags::NOEXEC | mount_flags::RELATIME;
    fs.ns.attach(&vfs.new_mount(root, "proc", flags), &at)
}

/// Weak: the kernel's tasks hold the mounts.
struct KernelData(Weak<Kernel>);

impl KernelData {
    fn kernel(&self) -> Result<Arc<Kernel>, Errno> {
        self.0.upgrade().ok_or(Errno::ESRCH)
    }
}

/// CPUs that the sandbox may use. (The standard library's count opens files, which the sentry must not.)
/// CPUs that the sandbox may use.
pub(crate) fn cpus() -> u32 {
    let mut mask = [0; 128];
    match bevor_hostcall::host::get_affinity(0, &mut mask) {
        Ok(n) => mask[..n.min(128)].iter().map(|b| b.count_ones()).sum(),
        Err(_) => 1,
    }
}

/// Hundredths of a second.
fn ticks(ns: u64) -> u64 {
    ns / 10_000_000
}

impl ProcData for KernelData {
    fn pids(&self, first: i32, most: usize) -> Vec<i32> {
        self.kernel().map_or(Vec::new(), |k| k.tree.lock().pids(first, most))
    }
    fn task(&self, tid: i32) -> Option<Arc<dyn ProcTask>> {
        let task = self.kernel().ok()?.tree.lock().task(tid)?;
        Some(Arc::new(TaskData(task)))
    }
    fn system(&self, file: SystemFile) -> Result<Vec<u8>, Errno> {
        let kernel = self.kernel()?;
        let line = |bytes: &[u8]| {
            let mut out = bytes.to_vec();
            out.push(b'\n');
            out
        };
        Ok(match file {
            SystemFile::Hostname => line(&kernel.uts.lock().nodename),
            SystemFile::Domainname => line(&kernel.uts.lock().domainname),
            SystemFile::OsRelease => line(RELEASE.as_bytes()),
            SystemFile::KernelVersion => line(VERSION.as_bytes()),
            SystemFile::Version => format!("Linux version {RELEASE} (bevor) {VERSION}\n").into_bytes(),
            SystemFile::Uptime => {
                let up = ticks(kernel.timers.now().0 - kernel.boot_time.0);
                format!("{}.{:02} 0.00\n", up / 100, up % 100).into_bytes()
            }
            SystemFile::Loadavg => {
                let (tasks, last) = {
                    let tree = kernel.tree.lock();
                    (tree.task_count(), tree.last_pid())
                };
                format!("0.00 0.00 0.00 1/{tasks} {last}\n").into_bytes()
            }
            SystemFile::FileMax => format!("{}\n", files(&kernel).1).into_bytes(),
            SystemFile::FileNr => {
                let (open, most) = files(&kernel);
                format!("{open}\t0\t{most}\n").into_bytes()
            }
            SystemFile::Meminfo => meminfo(),
            SystemFile::Slabinfo => slabinfo(&kernel),
            SystemFile::Stat => stat(&kernel),
            SystemFile::Cpuinfo => {
                let mut out = String::new();
                for cpu in 0..cpus() {
                    let _ = writeln!(out, "processor\t: {cpu}\nvendor_id\t: Bevor\nmodel name\t: Bevor\n");
                }
                out.into_bytes()
            }
        })
    }
}

/// Open file descriptions, and how many there may be.
fn files(kernel: &Kernel) -> (u64, u64) {
    let memory = kernel.memory();
    let count = |bytes: u64| bytes / Kind::File.cost();
    (count(memory.objects_used(Kind::File)), count(memory.objects_ceiling(Kind::File)))
}

/// One line for each kind of object that is counted, and one for the bytes of files in memory. Kinds that are counted in bytes are
/// objects of one byte.
fn slabinfo(kernel: &Kernel) -> Vec<u8> {
    let memory = kernel.memory();
    let mut out = String::from("slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize>\n");
    let kinds = Kind::ALL.iter().map(|kind| (format!("{kind:?}"), memory.objects_used(*kind), kind.cost()));
    for (name, used, size) in kinds.chain([("FileMemory".to_owned(), memory.used(), 1)]) {
        let objects = used / size.max(1);
        let _ = writeln!(out, "{name:<17} {objects:>6} {objects:>6} {size:>6}");
    }
    out.into_bytes()
}

fn meminfo() -> Vec<u8> {
    let info = bevor_hostcall::host::sysinfo();
    let (total, free) = (info.total / 1024, info.free / 1024);
    let mut out = String::new();
    for (name, value) in [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Shmem", 0),
    ] {
        let _ = writeln!(out, "{:<16}{value:>8} kB", format!("{name}:"));
    }
    out.into_bytes()
}

fn stat(kernel: &Kernel) -> Vec<u8> {
    let mut out = String::from("cpu  0 0 0 0 0 0 0 0 0 0\n");
    for cpu in 0..cpus() {
        let _ = writeln!(out, "cpu{cpu} 0 0 0 0 0 0 0 0 0 0");
    }
    let up = kernel.timers.now().0 - kernel.boot_time.0;
    let boot = kernel.timers.realtime().saturating_sub(up) / 1_000_000_000;
    let _ = writeln!(out, "intr 0\nctxt 0\nbtime {boot}\nprocesses 0\nprocs_running 1\nprocs_blocked 0");
    out.into_bytes()
}

/// Strings on the application's stack.
fn strings(task: &Task, (addr, len): (u64, u64)) -> Vec<u8> {
    let Some(thread) = task.thread() else { return Vec::new() };
    let mut out = vec![0; to_usize(len.min(MAX_STRINGS))];
    let got = thread.space().read_memory(addr, &mut out);
    out.truncate(got);
    out
}

/// proc_pid_maps(5), proc_pid_smaps(5) without the host's counters.
fn maps(task: &Task, smaps: bool) -> Result<Vec<u8>, Errno> {
    let Some(thread) = task.thread() else { return Ok(Vec::new()) };
    let fs = Arc::clone(&task.fs.lock());
    let root = fs.root();
    let space = thread.space();
    let heap = space.brk_range().0;
    let mut out = Vec::new();
    for m in space.mappings()? {
        let mut name = m.label.into_bytes();
        let (mut dev, mut ino) = ((0, 0), 0);
        if m.inode != 0 {
            match fs.ns.vfs.mapped_file((m.dev, m.inode)) {
                Some(file) => {
                    (dev, ino) = (device_numbers(file.dev), file.ino);
                    name = file.text(&root);
                }
                // Shared anonymous memory.
                None => {
                    (dev, ino) = ((0, 1), m.inode);
                    name = b"/dev/zero (deleted)".to_vec();
                }
            }
        } else if name.is_empty() && heap != 0 && m.start == heap {
            name = b"[heap]".to_vec();
        }
        let perms = String::from_utf8_lossy(&m.perms);
        let mut line = format!("{:08x}-{:08x} {perms} {:08x} {:02x}:{:02x} {ino} ", m.start, m.end, m.offset, dev.0, dev.1);
        if !name.is_empty() {
            line = format!("{line:<73}");
        }
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(&name);
        out.push(b'\n');
        if smaps {
            let size = (m.end - m.start) / 1024;
            let fields = format!("Size: {size:18} kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n");
            out.extend_from_slice(fields.as_bytes());
        }
    }
    Ok(out)
}

/// An image as it was when a file of /proc that shows it was opened. Nothing here keeps the process or its program.
struct ImageData {
    task: Weak<Task>,
    image: Weak<ImageInfo>,
    auxv: Vec<u8>,
}

impl ImageData {
    fn is_current(&self, task: &Task) -> bool {
        !task.group.dead.load(Ordering::Acquire) && std::ptr::eq(Arc::as_ptr(&task.group.image.lock()), self.image.as_ptr())
    }
}

impl ProcMemory for ImageData {
    fn text(&self, file: TaskFile) -> Result<Vec<u8>, Errno> {
        if file == TaskFile::Auxv {
            return Ok(self.auxv.clone());
        }
        let (Some(task), Some(image)) = (self.task.upgrade(), self.image.upgrade()) else { return Ok(Vec::new()) };
        let text = match file {
            TaskFile::Environ => strings(&task, image.env),
            TaskFile::Maps => maps(&task, false)?,
            TaskFile::Smaps => maps(&task, true)?,
            _ => return Err(Errno::EIO),
        };
        // A new image is known before its memory is there: what was read is the old one's if that is still the image.
        Ok(if self.is_current(&task) { text } else { Vec::new() })
    }
}

struct TaskData(Arc<Task>);

impl TaskData {
    fn is_dead(&self) -> bool {
        self.0.group.dead.load(Ordering::Acquire)
    }

    fn state(&self) -> &'static str {
        if self.is_dead() {
            "Z (zombie)"
        } else if self.0.is_stopped() && !bevor_abi::mutated!("proc/stopped-state") {
            "T (stopped)"
        } else if self.0.is_running() {
            "R (running)"
        } else {
            "S (sleeping)"
        }
    }

    fn status(&self) -> Vec<u8> {
        let task = &self.0;
        let creds = task.creds();
        let ppid = task.kernel.tree.lock().parent_of(task.pid());
        let threads = bevor_abi::mutant!("proc/threads", task.group.threads().len(), 1);
        let size = task.files.lock().size();
        let umask = task.fs.lock().umask();
        let umask = bevor_abi::mutant!("proc/umask-decimal", format!("{umask:04o}"), umask.to_string());
        let groups: Vec<String> = creds.groups.iter().map(u32::to_string).collect();
        let (ignored, caught) = task.group.handlers().sets();
        let (ignored, caught) = bevor_abi::mutant!("proc/dispositions-swapped", (ignored, caught), (caught, ignored));
        let mut out = format!(
            "Name:\t{}\nUmask:\t{umask}\nState:\t{}\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{ppid}\nTracerPid:\t0\n",
            task.comm().escape_ascii(),
            self.state(),
            task.pid(),
            task.tid(),
        );
        let _ = writeln!(
            out,
            "Uid:\t{}\t{}\t{}\t{}",
            creds.uid,
            bevor_abi::mutant!("proc/saved-order", creds.euid, creds.suid),
            bevor_abi::mutant!("proc/saved-order", creds.suid, creds.euid),
            creds.fsuid
        );
        let _ = writeln!(
            out,
            "Gid:\t{}\t{}\t{}\t{}",
            creds.gid,
            bevor_abi::mutant!("proc/group-order", creds.egid, creds.sgid),
            bevor_abi::mutant!("proc/group-order", creds.sgid, creds.egid),
            creds.fsgid
        );
        let _ = writeln!(
            out,
            "FDSize:\t{}\nGroups:\t{} ",
            bevor_abi::mutant!("proc/fdsize", size.max(64).next_power_of_two(), size),
            groups.join(" ")
        );
        let _ = writeln!(out, "Threads:\t{threads}\nSigQ:\t0/63418");
        // Not in the array: its locks would be held until all of it is there.
        let own = task.pending.lock().set();
        for (name, set) in [
            ("SigPnd", bevor_abi::mutant!("proc/pending-swapped", own, task.shared_pending_set())),
            ("ShdPnd", bevor_abi::mutant!("proc/pending-swapped", task.shared_pending_set(), own)),
            ("SigBlk", task.sigmask()),
            ("SigIgn", ignored),
            ("SigCgt", caught),
            ("CapInh", creds.inheritable.0),
            ("CapPrm", creds.permitted.0),
            ("CapEff", creds.effective.0),
            ("CapBnd", creds.bounding.0),
            ("CapAmb", bevor_abi::mutant!("proc/caps-ambient", creds.ambient.0, creds.inheritable.0)),
        ] {
            let _ = writeln!(out, "{name}:\t{set:016x}");
        }
        let _ = writeln!(
            out,
            "NoNewPrivs:\t{}\nSeccomp:\t0",
            u8::from(creds.no_new_privs && !bevor_abi::mutated!("proc/no-new-privs"))
        );
        let _ = writeln!(out, "Cpus_allowed_list:\t{}", self.cpus_allowed());
        out.into_bytes()
    }

    /// What the host counts; nothing once the process is gone.
    fn memory_use(&self) -> MemoryUse {
        self.0.thread().and_then(|thread| thread.space().memory_use().ok()).unwrap_or_default()
    }

    /// proc_pid_statm(5), without the split by kind of memory.
    fn statm(&self) -> Vec<u8> {
        let memory = self.memory_use();
        format!("{} {} 0 0 0 0 0\n", memory.size / 4096, memory.resident).into_bytes()
    }

    /// The CPUs that the thread may use, as in `cpuset(7)`'s list format.
    fn cpus_allowed(&self) -> String {
        let mut mask = [0; 128];
        let host_tid = self.0.thread().and_then(|thread| thread.host_tid());
        let len = host_tid.map_or(0, |tid| bevor_hostcall::host::get_affinity(tid, &mut mask).unwrap_or(0));
        let set = |cpu: usize| mask[..len.min(128)].get(cpu / 8).is_some_and(|byte| byte >> (cpu % 8) & 1 != 0);
        let mut ranges: Vec<String> = Vec::new();
        let mut cpu = 0;
        while cpu < len * 8 {
            let start = cpu;
            while set(cpu) {
                cpu += 1;
            }
            match cpu - start {
                0 => cpu += 1,
                1 => ranges.push(start.to_string()),
                _ => ranges.push(format!("{start}-{}", cpu - 1)),
            }
        }
        ranges.join(",")
    }

    /// proc_pid_stat(5): fields that the sentry does not know are 0.
    fn stat(&self) -> Vec<u8> {
        let task = &self.0;
        let (ppid, pgid, sid) = {
            let tree = task.kernel.tree.lock();
            tree.process(task.pid()).map_or((0, 0, 0), |p| {
                bevor_abi::mutant!("proc/session-swapped", (p.parent, p.pgid, p.sid), (p.parent, p.sid, p.pgid))
            })
        };
        let cpu = if task.tid() == task.pid() { task.group.cpu_time() } else { task.cpu_time() };
        let threads = task.group.threads().len();
        let nice = task.sched.lock().nice;
        let nice = bevor_abi::mutant!("proc/nice-sign", nice, -nice);
        let start = ticks(task.start_time.0.saturating_sub(task.kernel.boot_time.0));
        let MemoryUse { minor_faults, major_faults, size, resident } = self.memory_use();
        let mut out = format!(
            "{} ({}) {} {ppid} {pgid} {sid} 0 -1 0 {minor_faults} 0 {major_faults} 0 {} {} 0 0 {} {nice} {threads} 0 {start} \
             {size} {resident} 18446744073709551615",
            task.tid(),
            task.comm().escape_ascii(),
            &self.state()[..1],
            ticks(cpu.user),
            ticks(cpu.system),
            20 + nice,
        );
        // Fields 26 to 52.
        out.push_str(&" 0".repeat(27));
        out.push('\n');
        out.into_bytes()
    }

    fn limits(&self) -> Vec<u8> {
        const NAMES: [(&str, &str); RLIM_NLIMITS] = [
            ("Max cpu time", "seconds"),
            ("Max file size", "bytes"),
            ("Max data size", "bytes"),
            ("Max stack size", "bytes"),
            ("Max core file size", "bytes"),
            ("Max resident set", "bytes"),
            ("Max processes", "processes"),
            ("Max open files", "files"),
            ("Max locked memory", "bytes"),
            ("Max address space", "bytes"),
            ("Max file locks", "locks"),
            ("Max pending signals", "signals"),
            ("Max msgqueue size", "bytes"),
            ("Max nice priority", ""),
            ("Max realtime priority", ""),
            ("Max realtime timeout", "us"),
        ];
        let show = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
        let mut out = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
        let limits = *self.0.group.rlimits.lock();
        for ((name, unit), limit) in NAMES.iter().zip(limits) {
            let _ = writeln!(
                out,
                "{name:<25} {:<20} {:<20} {unit:<10}",
                show(bevor_abi::mutant!("proc/limits-hard", limit.cur, limit.max)),
                show(limit.max)
            );
        }
        out.into_bytes()
    }
}

impl ProcTask for TaskData {
    fn pid(&self) -> i32 {
        self.0.pid()
    }
    fn tids(&self) -> Vec<i32> {
        let mut tids: Vec<i32> = self.0.group.threads().iter().map(|t| t.tid()).collect();
        tids.sort_unstable();
        tids
    }
    fn creds(&self) -> Arc<Credentials> {
        self.0.creds()
    }
    fn dumpable(&self) -> Option<bool> {
        (!self.is_dead()).then(|| self.0.group.dumpable.load(Ordering::SeqCst) == 1)
    }
    fn memory(&self) -> Option<Arc<dyn ProcMemory>> {
        if self.is_dead() {
            return None;
        }
        let image = Arc::clone(&self.0.group.image.lock());
        let auxv = image.auxv.clone();
        Some(Arc::new(ImageData { task: Arc::downgrade(&self.0), image: Arc::downgrade(&image), auxv }))
    }
    fn fs(&self) -> Option<Arc<FsContext>> {
        (!self.is_dead()).then(|| Arc::clone(&self.0.fs.lock()))
    }
    fn files(&self) -> Option<Arc<FdTable>> {
        (!self.is_dead()).then(|| Arc::clone(&self.0.files.lock()))
    }
    fn exe(&self) -> Option<Path> {
        if self.is_dead() {
            return None;
        }
        self.0.group.image.lock().exe.as_ref().map(|e| e.path().clone())
    }
    fn text(&self, file: TaskFile) -> Result<Vec<u8>, Errno> {
        Ok(match file {
            TaskFile::Auxv | TaskFile::Environ | TaskFile::Maps | TaskFile::Smaps => return Err(Errno::EIO),
            TaskFile::Cgroup => b"0::/\n".to_vec(),
            TaskFile::Cmdline => {
                let image = Arc::clone(&self.0.group.image.lock());
                let text = strings(&self.0, image.args);
                // Not another image's memory at the place of this one's arguments.
                if Arc::ptr_eq(&image, &self.0.group.image.lock()) { text } else { Vec::new() }
            }
            TaskFile::Comm => {
                let mut name = self.0.comm();
                name.push(b'\n');
                name
            }
            TaskFile::UidMap | TaskFile::GidMap => b"         0          0 4294967295\n".to_vec(),
            TaskFile::Limits => self.limits(),
            TaskFile::OomScore | TaskFile::OomScoreAdj => b"0\n".to_vec(),
            TaskFile::Personality => format!("{:08x}\n", self.0.personality.load(Ordering::Relaxed)).into_bytes(),
            TaskFile::Stat => self.stat(),
            TaskFile::Statm => self.statm(),
            TaskFile::Status => self.status(),
            TaskFile::Wchan => b"0".to_vec(),
        })
    }
    fn write(&self, file: TaskFile, data: &[u8]) -> Result<(), Errno> {
        match file {
            TaskFile::Comm => {
                // With its newline, if one was written.
                *self.0.name.lock() = bevor_core::task::task_name(data);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }
}
