//! /proc. What it tells about tasks and the machine comes from [`ProcData`], which the kernel above implements.

mod files;
mod mounts;

use std::any::Any;
use std::sync::Arc;

use bevor_abi::fs::{Timespec, o};
use bevor_abi::{Errno, Fd};
use bevor_core::creds::{Credentials, TraceIds};
use bevor_core::num::to_u64;
use bevor_core::vfs::{
    Attr, Caller, DirEntry, FdTable, File, FileKind, FileOps, FsContext, Inode, InodeOps, LinkTarget, Path, SetAttr, SuperBlock,
    Vfs,
};

use crate::util::emit_dots;
use files::TextFile;

/// Files of /proc/PID that the kernel renders.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskFile {
    Auxv,
    Cgroup,
    Cmdline,
    Comm,
    Environ,
    GidMap,
    Limits,
    Maps,
    OomScore,
    OomScoreAdj,
    Personality,
    Smaps,
    Stat,
    Statm,
    Status,
    UidMap,
    Wchan,
}

impl TaskFile {
    /// Whether it shows an image's memory: it opens for those who may look into the process only, and stays bound to that image.
    fn of_memory(self) -> bool {
        matches!(self, Self::Auxv | Self::Environ | Self::Maps | Self::Smaps)
    }
}

/// Files of /proc proper that the kernel renders.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SystemFile {
    Cpuinfo,
    Loadavg,
    Meminfo,
    /// What the kernel keeps for guests, kind by kind.
    Slabinfo,
    Stat,
    Uptime,
    Version,
    /// sys/kernel/hostname
    Hostname,
    /// sys/kernel/domainname
    Domainname,
    /// sys/kernel/osrelease
    OsRelease,
    /// sys/kernel/version
    KernelVersion,
    /// sys/fs/file-max
    FileMax,
    /// sys/fs/file-nr
    FileNr,
}

/// One task as /proc shows it. Everything is a snapshot; a task that is gone answers ESRCH.
pub trait ProcTask: Send + Sync {
    /// Thread group id.
    fn pid(&self) -> i32;
    /// Thread ids of its group, ascending.
    fn tids(&self) -> Vec<i32>;
    /// Credentials: decide who owns the files here.
    fn creds(&self) -> Arc<Credentials>;
    /// Whether the task is dumpable; `None` for a zombie. Unless it is, root owns the files here. Asked after [`ProcTask::creds`].
    fn dumpable(&self) -> Option<bool>;
    /// The memory of its image now; `None` for a zombie. Asked before the check of who may look into it.
    fn memory(&self) -> Option<Arc<dyn ProcMemory>>;
    /// Root, working directory; `None` for a zombie.
    fn fs(&self) -> Option<Arc<FsContext>>;
    /// Descriptors; `None` for a zombie.
    fn files(&self) -> Option<Arc<FdTable>>;
    /// The executable; `None` for a zombie.
    fn exe(&self) -> Option<Path>;
    /// A file's text.
    ///
    /// # Errors
    /// ESRCH if the task is gone; EACCES.
    fn text(&self, file: TaskFile) -> Result<Vec<u8>, Errno>;
    /// Writes to `Comm`, `OomScoreAdj`.
    ///
    /// # Errors
    /// EINVAL, EACCES, ESRCH.
    fn write(&self, _file: TaskFile, _data: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
}

/// One image's memory: an open file stays bound to it, whatever the process executes later.
pub trait ProcMemory: Send + Sync {
    /// Text of `Auxv`, `Environ`, `Maps`, `Smaps`; empty once the process has another image or none.
    ///
    /// # Errors
    /// EIO and the like.
    fn text(&self, file: TaskFile) -> Result<Vec<u8>, Errno>;
}

/// What /proc shows.
pub trait ProcData: Send + Sync {
    /// Thread group ids from `first` on, ascending, at most `most`.
    fn pids(&self, first: i32, most: usize) -> Vec<i32>;
    /// The task of this id: any thread, for /proc/TID works too.
    fn task(&self, tid: i32) -> Option<Arc<dyn ProcTask>>;
    /// A file's text.
    ///
    /// # Errors
    /// EIO and the like.
    fn system(&self, file: SystemFile) -> Result<Vec<u8>, Errno>;
    /// A random UUID (sys/kernel/random/uuid), and the one of this boot.
    fn boot_id(&self) -> String {
        "00000000-0000-4000-8000-000000000000".to_owned()
    }
}

/// A /proc file system.
pub struct ProcFs {
    sb: Arc<SuperBlock>,
    vfs: Arc<Vfs>,
    data: Arc<dyn ProcData>,
}

/// An entry of a fixed directory.
#[derive(Clone, Copy)]
enum Fixed {
    Dir(&'static [(&'static [u8], Fixed)]),
    System(SystemFile, u32),
    Text(&'static [u8], u32),
    Link(&'static [u8]),
    Filesystems,
    Uuid,
    BootId,
}

const KERNEL: &[(&[u8], Fixed)] = &[
    (b"cap_last_cap", Fixed::Text(b"40\n", 0o444)),
    (b"domainname", Fixed::System(SystemFile::Domainname, 0o644)),
    (b"hostname", Fixed::System(SystemFile::Hostname, 0o644)),
    (b"ngroups_max", Fixed::Text(b"65536\n", 0o444)),
    (b"osrelease", Fixed::System(SystemFile::OsRelease, 0o444)),
    (b"ostype", Fixed::Text(b"Linux\n", 0o444)),
    (b"overflowgid", Fixed::Text(b"65534\n", 0o444)),
    (b"overflowuid", Fixed::Text(b"65534\n", 0o444)),
    (b"pid_max", Fixed::Text(b"4194304\n", 0o444)),
    (b"random", Fixed::Dir(RANDOM)),
    (b"randomize_va_space", Fixed::Text(b"2\n", 0o444)),
    (b"threads-max", Fixed::Text(b"63418\n", 0o444)),
    (b"version", Fixed::System(SystemFile::KernelVersion, 0o444)),
    (b"yama", Fixed::Dir(&[(b"ptrace_scope", Fixed::Text(b"0\n", 0o444))])),
];
const RANDOM: &[(&[u8], Fixed)] = &[
    (b"boot_id", Fixed::BootId),
    (b"entropy_avail", Fixed::Text(b"256\n", 0o444)),
    (b"poolsize", Fixed::Text(b"256\n", 0o444)),
    (b"uuid", Fixed::Uuid),
];
const SYS: &[(&[u8], Fixed)] = &[
    (
        b"fs",
        Fixed::Dir(&[
            (b"file-max", Fixed::System(SystemFile::FileMax, 0o444)),
            (b"file-nr", Fixed::System(SystemFile::FileNr, 0o444)),
            (b"nr_open", Fixed::Text(b"1048576\n", 0o444)),
            (b"pipe-max-size", Fixed::Text(b"1048576\n", 0o444)),
            (b"protected_fifos", Fixed::Text(b"0\n", 0o444)),
            (b"protected_hardlinks", Fixed::Text(b"1\n", 0o444)),
            (b"protected_regular", Fixed::Text(b"0\n", 0o444)),
            (b"protected_symlinks", Fixed::Text(b"0\n", 0o444)),
        ]),
    ),
    (b"kernel", Fixed::Dir(KERNEL)),
    (
        b"net",
        Fixed::Dir(&[(
            b"core",
            Fixed::Dir(&[
                (b"rmem_default", Fixed::Text(b"212992\n", 0o444)),
                (b"somaxconn", Fixed::Text(b"4096\n", 0o444)),
                (b"wmem_default", Fixed::Text(b"212992\n", 0o444)),
            ]),
        )]),
    ),
    (
        b"vm",
        Fixed::Dir(&[
            (b"max_map_count", Fixed::Text(b"65530\n", 0o444)),
            (b"mmap_min_addr", Fixed::Text(b"65536\n", 0o444)),
            (b"overcommit_memory", Fixed::Text(b"0\n", 0o444)),
            (b"overcommit_ratio", Fixed::Text(b"50\n", 0o444)),
        ]),
    ),
];
const ROOT: &[(&[u8], Fixed)] = &[
    (b"cmdline", Fixed::Text(b"\n", 0o444)),
    (b"cpuinfo", Fixed::System(SystemFile::Cpuinfo, 0o444)),
    (b"filesystems", Fixed::Filesystems),
    (b"loadavg", Fixed::System(SystemFile::Loadavg, 0o444)),
    (b"meminfo", Fixed::System(SystemFile::Meminfo, 0o444)),
    (b"mounts", Fixed::Link(b"self/mounts")),
    (b"net", Fixed::Link(b"self/net")),
    (b"slabinfo", Fixed::System(SystemFile::Slabinfo, 0o400)),
    (b"stat", Fixed::System(SystemFile::Stat, 0o444)),
    (b"sys", Fixed::Dir(SYS)),
    (b"uptime", Fixed::System(SystemFile::Uptime, 0o444)),
    (b"version", Fixed::System(SystemFile::Version, 0o444)),
];

/// Entries of a /proc/PID directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfTask {
    File(TaskFile, u32),
    Mounts,
    MountInfo,
    Fd,
    FdInfo,
    Tasks,
    Exe,
    Cwd,
    Root,
}

const TASK: &[(&[u8], OfTask)] = &[
    (b"auxv", OfTask::File(TaskFile::Auxv, 0o400)),
    (b"cgroup", OfTask::File(TaskFile::Cgroup, 0o444)),
    (b"cmdline", OfTask::File(TaskFile::Cmdline, 0o444)),
    (b"comm", OfTask::File(TaskFile::Comm, 0o644)),
    (b"cwd", OfTask::Cwd),
    (b"environ", OfTask::File(TaskFile::Environ, 0o400)),
    (b"exe", OfTask::Exe),
    (b"fd", OfTask::Fd),
    (b"fdinfo", OfTask::FdInfo),
    (b"gid_map", OfTask::File(TaskFile::GidMap, 0o644)),
    (b"limits", OfTask::File(TaskFile::Limits, 0o444)),
    (b"maps", OfTask::File(TaskFile::Maps, 0o444)),
    (b"mountinfo", OfTask::MountInfo),
    (b"mounts", OfTask::Mounts),
    (b"oom_score", OfTask::File(TaskFile::OomScore, 0o444)),
    (b"oom_score_adj", OfTask::File(TaskFile::OomScoreAdj, 0o644)),
    (b"personality", OfTask::File(TaskFile::Personality, 0o400)),
    (b"root", OfTask::Root),
    (b"smaps", OfTask::File(TaskFile::Smaps, 0o444)),
    (b"stat", OfTask::File(TaskFile::Stat, 0o444)),
    (b"statm", OfTask::File(TaskFile::Statm, 0o444)),
    (b"status", OfTask::File(TaskFile::Status, 0o444)),
    (b"task", OfTask::Tasks),
    (b"uid_map", OfTask::File(TaskFile::UidMap, 0o644)),
    (b"wchan", OfTask::File(TaskFile::Wchan, 0o444)),
];

/// What an inode stands for.
#[derive(Clone, Copy)]
enum What {
    Root,
    SelfLink,
    ThreadSelf,
    Fixed(Fixed),
    /// /proc/PID, or /proc/PID/task/TID.
    Task(i32),
    OfTask(i32, OfTask),
    FdLink(i32, Fd),
    FdInfoFile(i32, Fd),
}

impl ProcFs {
    /// The root of a new /proc.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a file system is reached by its root")]
    pub fn new(vfs: &Arc<Vfs>, data: Arc<dyn ProcData>) -> Arc<Inode> {
        let mut sb = SuperBlock::new(vfs.next_dev(), "proc", 0x9fa0);
        sb.cache = false;
        let fs = Arc::new(Self { sb: Arc::new(sb), vfs: Arc::clone(vfs), data });
        fs.inode(What::Root, 1)
    }

    fn task(&self, tid: i32) -> Result<Arc<dyn ProcTask>, Errno> {
        self.data.task(tid).ok_or(Errno::ENOENT)
    }

    /// Makes an inode. `ino` only has to differ between siblings and stay the same from look to look.
    fn inode(self: &Arc<Self>, what: What, ino: u64) -> Arc<Inode> {
        let mode = match what {
            What::Root | What::Task(_) => 0o040_555,
            What::SelfLink | What::ThreadSelf => 0o120_777,
            What::Fixed(Fixed::Dir(_)) => 0o040_555,
            What::Fixed(Fixed::Link(_)) => 0o120_777,
            What::Fixed(Fixed::System(_, mode) | Fixed::Text(_, mode)) => 0o100_000 | mode,
            What::Fixed(_) => 0o100_444,
            What::OfTask(_, of) => match of {
                OfTask::File(_, mode) => 0o100_000 | mode,
                OfTask::Mounts | OfTask::MountInfo => 0o100_444,
                OfTask::Fd => 0o040_500,
                OfTask::Tasks | OfTask::FdInfo => 0o040_555,
                OfTask::Exe | OfTask::Cwd | OfTask::Root => 0o120_777,
            },
            What::FdLink(tid, fd) => 0o120_000 | self.link_mode(tid, fd),
            What::FdInfoFile(..) => 0o100_444,
        };
        let (uid, gid) = match what {
            What::Task(tid) | What::OfTask(tid, _) | What::FdLink(tid, _) | What::FdInfoFile(tid, _) => {
                self.data.task(tid).map_or((0, 0), |t| {
                    let c = t.creds();
                    // Directories that all may read show whose the task is; the rest is root's unless it is dumpable.
                    if mode == 0o040_555 || t.dumpable() == Some(true) {
                        bevor_abi::mutant!("proc/owner-real", (c.euid, c.egid), (c.uid, c.gid))
                    } else {
                        (0, 0)
                    }
                })
            }
            _ => (0, 0),
        };
        let node = Node { fs: Arc::clone(self), what, time: self.vfs.now() };
        Inode::new(Arc::clone(&self.sb), ino, mode, uid, gid, Box::new(node))
    }

    /// rwx bits of /proc/PID/fd/N show the access mode.
    fn link_mode(&self, tid: i32, fd: Fd) -> u32 {
        let file = self.data.task(tid).and_then(|t| t.files()).and_then(|f| f.get_any(fd).ok());
        file.map_or(0, |f| {
            let mut mode = if f.is_readable() || f.is_writable() { 0o100 } else { 0 };
            if f.is_readable() || bevor_abi::mutated!("proc/fd-mode") {
                mode |= 0o400;
            }
            if f.is_writable() || bevor_abi::mutated!("proc/fd-mode") {
                mode |= 0o200;
            }
            mode
        })
    }
}

struct Node {
    fs: Arc<ProcFs>,
    what: What,
    time: Timespec,
}

fn number(name: &[u8]) -> Option<i32> {
    if name.first() == Some(&b'0') && name.len() > 1 && !bevor_abi::mutated!("proc/leading-zero")
        || !name.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}

fn unsigned(n: i32) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// Inode numbers: one block for each task.
fn task_ino(tid: i32, index: u64) -> u64 {
    0x1_0000_0000 + unsigned(tid) * 0x10_0000 + index
}

/// An entry of a directory.
struct Entry {
    name: Vec<u8>,
    what: What,
    ino: u64,
    /// The position after it.
    next: u64,
}

/// What the entry `fd` of a task's fd or fdinfo is, and its inode number.
fn of_descriptor(tid: i32, of: OfTask, fd: Fd) -> (What, u64) {
    match of {
        OfTask::Fd => (What::FdLink(tid, fd), task_ino(tid, 0x1000 + unsigned(fd.0))),
        _ => (What::FdInfoFile(tid, fd), task_ino(tid, 0x8_0000 + unsigned(fd.0))),
    }
}

/// Position of the process 0 in /proc, behind all that have names.
const FIRST_PID: u64 = 256;
/// So many entries are listed at once.
const BATCH: usize = 256;

impl Node {
    /// Entries of a directory from position `pos` on, not necessarily all that follow; none only at its end. A task's or a
    /// descriptor's position is made from its number: what comes and goes meanwhile moves no other, and nothing has to be listed again.
    fn entries_from(&self, pos: u64) -> Result<Vec<Entry>, Errno> {
        let fixed = |list: &'static [(&'static [u8], Fixed)], base: u64| {
            let all = (2..).zip((base..).zip(list));
            let after = all.skip_while(|(at, _)| *at < pos);
            after
                .map(|(at, (ino, (name, f)))| Entry { name: name.to_vec(), what: What::Fixed(*f), ino, next: at + 1 })
                .collect::<Vec<_>>()
        };
        let numbered = |first: u64| i32::try_from(pos.saturating_sub(first));
        let tid_dir = |tid: i32, first: u64| Entry {
            name: tid.to_string().into_bytes(),
            what: What::Task(tid),
            ino: task_ino(tid, 0),
            next: first + unsigned(tid) + 1,
        };
        Ok(match self.what {
            What::Root if pos < FIRST_PID => {
                let mut all = fixed(ROOT, 100);
                let links: [(&[u8], What, u64); 2] = [(b"self", What::SelfLink, 2), (b"thread-self", What::ThreadSelf, 3)];
                for (at, (name, what, ino)) in (2 + to_u64(ROOT.len())..).zip(links).skip_while(|(at, _)| *at < pos) {
                    all.push(Entry { name: name.to_vec(), what, ino, next: at + 1 });
                }
                if all.is_empty() {
                    return self.entries_from(FIRST_PID);
                }
                all
            }
            What::Root => {
                let Ok(first) = numbered(FIRST_PID) else { return Ok(Vec::new()) };
                self.fs.data.pids(first, BATCH).into_iter().map(|pid| tid_dir(pid, FIRST_PID)).collect()
            }
            What::Fixed(Fixed::Dir(list)) => fixed(list, 0x1000_0000 | to_u64(list.as_ptr().addr() & 0xff_ffff)),
            What::Task(tid) => {
                self.fs.task(tid)?;
                let all = (1..).zip(TASK).skip_while(|(i, _)| i + 1 < pos);
                all.map(|(i, (name, of))| Entry {
                    name: name.to_vec(),
                    what: What::OfTask(tid, *of),
                    ino: task_ino(tid, i),
                    next: i + 2,
                })
                .collect()
            }
            What::OfTask(tid, OfTask::Tasks) => {
                let Ok(first) = numbered(2) else { return Ok(Vec::new()) };
                let tids = self.fs.task(tid)?.tids();
                tids.into_iter().filter(|tid| *tid >= first).take(BATCH).map(|tid| tid_dir(tid, 2)).collect()
            }
            What::OfTask(tid, of @ (OfTask::Fd | OfTask::FdInfo)) => {
                let Ok(first) = numbered(2) else { return Ok(Vec::new()) };
                let files = self.fs.task(tid)?.files().ok_or(Errno::ENOENT)?;
                let entry = |fd: Fd| {
                    let (what, ino) = of_descriptor(tid, of, fd);
                    Entry { name: fd.0.to_string().into_bytes(), what, ino, next: 2 + unsigned(fd.0) + 1 }
                };
                files.numbers(Fd(first), BATCH).into_iter().map(entry).collect()
            }
            _ => return Err(Errno::ENOTDIR),
        })
    }

    fn find(&self, name: &[u8]) -> Result<(What, u64), Errno> {
        let fixed = |list: &'static [(&'static [u8], Fixed)], base: u64| {
            let found = (base..).zip(list).find(|(_, (n, _))| *n == name);
            found.map(|(ino, (_, f))| (What::Fixed(*f), ino)).ok_or(Errno::ENOENT)
        };
        match self.what {
            What::Root => match name {
                b"self" => Ok((What::SelfLink, 2)),
                b"thread-self" => Ok((What::ThreadSelf, 3)),
                // Threads are found in the root, though only groups are listed.
                _ if number(name).is_some() => {
                    let tid = number(name).ok_or(Errno::ENOENT)?;
                    self.fs.task(tid)?;
                    Ok((What::Task(tid), task_ino(tid, 0)))
                }
                _ => fixed(ROOT, 100),
            },
            What::Fixed(Fixed::Dir(list)) => fixed(list, 0x1000_0000 | to_u64(list.as_ptr().addr() & 0xff_ffff)),
            What::Task(tid) => {
                self.fs.task(tid)?;
                let found = (1..).zip(TASK).find(|(_, (n, _))| *n == name);
                found.map(|(i, (_, of))| (What::OfTask(tid, *of), task_ino(tid, i))).ok_or(Errno::ENOENT)
            }
            What::OfTask(tid, OfTask::Tasks) => {
                let wanted = number(name).ok_or(Errno::ENOENT)?;
                let there = self.fs.task(tid)?.tids().contains(&wanted)
                    || bevor_abi::mutated!("proc/foreign-thread") && self.fs.task(wanted).is_ok();
                there.then(|| (What::Task(wanted), task_ino(wanted, 0))).ok_or(Errno::ENOENT)
            }
            What::OfTask(tid, of @ (OfTask::Fd | OfTask::FdInfo)) => {
                let fd = Fd(number(name).ok_or(Errno::ENOENT)?);
                let files = self.fs.task(tid)?.files().ok_or(Errno::ENOENT)?;
                files.get_any(fd).map_err(|_| Errno::ENOENT)?;
                Ok(of_descriptor(tid, of, fd))
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The task, if `caller` may look into it.
    fn check_access(&self, tid: i32, caller: &Caller<'_>) -> Result<Arc<dyn ProcTask>, Errno> {
        let task = self.fs.task(tid)?;
        if may_look(&*task, caller) { Ok(task) } else { Err(Errno::EACCES) }
    }
}

/// Whether `caller` may look into `task` (PTRACE_MODE_READ_FSCREDS).
fn may_look(task: &dyn ProcTask, caller: &Caller<'_>) -> bool {
    let theirs = task.creds();
    task.pid() == caller.pid || caller.creds.may_trace(TraceIds::FileSystem, &theirs, task.dumpable().unwrap_or(true))
}

impl InodeOps for Node {
    fn getattr(&self, inode: &Inode) -> Result<Attr, Errno> {
        let nlink = match self.what {
            What::Root | What::Fixed(Fixed::Dir(_)) | What::Task(_) => 2,
            _ => 1,
        };
        Ok(Attr {
            dev: inode.sb().dev,
            ino: inode.ino(),
            mode: inode.kind().to_mode() | inode.mode(),
            nlink,
            uid: inode.uid(),
            gid: inode.gid(),
            blksize: 1024,
            size: if matches!(self.what, What::FdLink(..)) { 64 } else { 0 },
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            ..Attr::default()
        })
    }
    fn setattr(&self, inode: &Inode, set: &SetAttr) -> Result<(), Errno> {
        // O_TRUNC on a writable file does nothing; everything else is refused.
        if inode.kind() == FileKind::Regular && set.mode.or(set.uid).or(set.gid).is_none() {
            return Ok(());
        }
        Err(Errno::EPERM)
    }
    fn lookup(&self, _dir: &Arc<Inode>, name: &[u8], _caller: &Caller<'_>) -> Result<Arc<Inode>, Errno> {
        let (what, ino) = self.find(name)?;
        Ok(self.fs.inode(what, ino))
    }
    fn create(&self, _dir: &Arc<Inode>, _name: &[u8], _node: &bevor_core::vfs::NewNode) -> Result<Arc<Inode>, Errno> {
        Err(Errno::ENOENT)
    }
    fn readlink(&self, _inode: &Inode, caller: &Caller<'_>) -> Result<Vec<u8>, Errno> {
        match self.what {
            What::SelfLink => Ok(caller.pid.to_string().into_bytes()),
            What::ThreadSelf => Ok(format!("{}/task/{}", caller.pid, caller.tid).into_bytes()),
            What::Fixed(Fixed::Link(target)) => Ok(target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }
    fn follow(&self, inode: &Inode, caller: &Caller<'_>) -> Result<LinkTarget, Errno> {
        let path = match self.what {
            What::FdLink(tid, fd) => {
                let task = bevor_abi::mutant!("proc/fd-access", self.check_access(tid, caller), self.fs.task(tid))?;
                let files = task.files().ok_or(Errno::ENOENT)?;
                Some(files.get_any(fd).map_err(|_| Errno::ENOENT)?.path().clone())
            }
            What::OfTask(tid, OfTask::Exe) => self.check_access(tid, caller)?.exe(),
            What::OfTask(tid, OfTask::Cwd) => self.check_access(tid, caller)?.fs().map(|fs| fs.cwd()),
            What::OfTask(tid, OfTask::Root) => self.check_access(tid, caller)?.fs().map(|fs| fs.root()),
            _ => return self.readlink(inode, caller).map(LinkTarget::Text),
        };
        path.map(LinkTarget::Magic).ok_or(Errno::ENOENT)
    }
    fn open_as(&self, _inode: &Arc<Inode>, flags: u32, caller: &Caller<'_>) -> Result<Arc<dyn FileOps>, Errno> {
        let fs = Arc::clone(&self.fs);
        let what = self.what;
        if matches!(
            what,
            What::Root
                | What::Task(_)
                | What::Fixed(Fixed::Dir(_))
                | What::OfTask(_, OfTask::Fd | OfTask::FdInfo | OfTask::Tasks)
        ) {
            return Ok(Arc::new(ProcDir(Node { fs, what, time: self.time })));
        }
        let writes = flags & o::ACCMODE != o::RDONLY;
        if writes && !matches!(what, What::OfTask(_, OfTask::File(TaskFile::Comm | TaskFile::OomScoreAdj, _))) {
            return Err(Errno::EACCES);
        }
        let mut memory = None;
        if let What::Task(tid) | What::OfTask(tid, _) = what {
            let task = fs.task(tid).map_err(|_| Errno::ESRCH)?;
            if let What::OfTask(_, OfTask::File(file, _)) = what
                && file.of_memory()
            {
                // Bound first: an image that comes after the check is not the one that was checked.
                memory = Some(task.memory().ok_or(Errno::ESRCH)?);
                if !may_look(&*task, caller) {
                    return Err(Errno::EACCES);
                }
            }
        }
        Ok(Arc::new(TextFile::new(fs, what, memory, caller)))
    }
    fn permission(&self, _inode: &Inode, caller: &Caller<'_>, _mask: u32) -> Result<(), Errno> {
        if let What::OfTask(tid, OfTask::FdInfo) | What::FdInfoFile(tid, _) = self.what
            && !bevor_abi::mutated!("proc/fdinfo-access")
        {
            self.check_access(tid, caller).map_err(|e| if e == Errno::ENOENT { Errno::ESRCH } else { e })?;
        }
        Ok(())
    }
    fn grants(&self, _inode: &Inode, caller: &Caller<'_>, _mask: u32) -> bool {
        matches!(self.what, What::OfTask(tid, OfTask::Fd) if self.fs.task(tid).is_ok_and(|task| task.pid() == caller.pid))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory.
struct ProcDir(Node);

impl FileOps for ProcDir {
    fn seekable(&self) -> bool {
        true
    }
    fn read_at(&self, _file: &File, _offset: u64, _sink: &mut dyn bevor_core::io::DataSink) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }
    fn readdir(&self, file: &File, pos: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<(), Errno> {
        if !emit_dots(file, pos, emit) {
            return Ok(());
        }
        let mut pos = pos.max(2);
        loop {
            let entries = self.0.entries_from(pos)?;
            if entries.is_empty() {
                return Ok(());
            }
            for Entry { name, what, ino, next } in entries {
                let kind = match what {
                    What::Root | What::Task(_) | What::Fixed(Fixed::Dir(_)) => FileKind::Directory,
                    What::OfTask(_, OfTask::Fd | OfTask::FdInfo | OfTask::Tasks) => FileKind::Directory,
                    What::SelfLink | What::ThreadSelf | What::Fixed(Fixed::Link(_)) | What::FdLink(..) => FileKind::Symlink,
                    What::OfTask(_, OfTask::Exe | OfTask::Cwd | OfTask::Root) => FileKind::Symlink,
                    _ => FileKind::Regular,
                };
                if !emit(&DirEntry { name: &name, ino, kind, next }) {
                    return Ok(());
                }
                pos = next;
            }
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
