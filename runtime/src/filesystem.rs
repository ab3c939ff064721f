//! The sandbox's file system: an overlay over the host's root, with fresh /dev, /dev/shm and /tmp, and the binds.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path as HostPath;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_core::creds::Credentials;
use bevor_core::memory::MemoryBudget;
use bevor_core::time::Timers;
use bevor_core::vfs::{Caller, FdTable, FileKind, FileOps, FsContext, Inode, MountNamespace, Path, Vfs, WalkFlags, mount_flags};
use bevor_fs::gofer::GoferFs;
use bevor_fs::overlay::OverlayFs;
use bevor_fs::stdio::{HostFile, Spawn};
use bevor_fs::tmpfs::TmpFs;
use bevor_gofer::Gofer;
use bevor_hostcall::HostFd;
use bevor_platform::{Defence, Defences, Platform};
use bevor_sentry::boot::{Filesystem, FilesystemError};

/// No more descriptors than this are used for names of host files and for files in memory, even if more could be had.
const MAX_DESCRIPTORS: u64 = 1 << 18;

/// /tmp and /dev/shm: sticky, writable by all.
const SHARED_DIRECTORY: u32 = 0o1777;

/// A mount: where, and whether it is writable.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    pub(crate) destination: std::path::PathBuf,
    pub(crate) read_only: bool,
}

struct Builder<'a> {
    vfs: Arc<Vfs>,
    ns: Arc<MountNamespace>,
    fs: Arc<FsContext>,
    creds: &'a Credentials,
}

impl Builder<'_> {
    fn caller(&self) -> Caller<'_> {
        Caller { creds: self.creds, pid: 1, tid: 1 }
    }

    fn resolve(&self, path: &[u8]) -> Result<Path, Errno> {
        self.fs.resolve(None, path, self.caller(), WalkFlags::FOLLOW)
    }

    /// Makes `path` exist as a mount point for a directory or a file.
    fn mount_point(&self, path: &HostPath, directory: bool) -> Result<Path, Errno> {
        let bytes = path.as_os_str().as_bytes();
        match self.resolve(bytes) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        let parent = path.parent().unwrap_or(HostPath::new("/"));
        if !parent.as_os_str().is_empty() && self.resolve(parent.as_os_str().as_bytes()).is_err() {
            self.mount_point(parent, true)?;
        }
        let (kind, mode) = if directory { (FileKind::Directory, 0o755) } else { (FileKind::Regular, 0o644) };
        self.fs.make_node(None, bytes, self.caller(), kind, mode, 0)?;
        self.resolve(bytes)
    }

    fn mount(&self, root: Arc<Inode>, source: &str, at: &HostPath, flags: u32) -> Result<(), Errno> {
        let point = self.mount_point(at, root.is_dir())?;
        self.ns.attach(&self.vfs.new_mount(root, source, flags), &point)
    }
}

/// Lets `vfs` have memory files opened for reading only.
fn open_read_only(vfs: &Vfs, gofer: &Arc<Gofer>, defences: &Defences) {
    let gofer = Arc::clone(gofer);
    let weak = !defences.has(Defence::ReadOnly);
    vfs.set_read_only(Box::new(move |fd| if weak { Ok(fd.clone()) } else { gofer.read_only(fd) }));
}

/// What bounds the file system.
pub(crate) struct Options {
    /// Bytes that its files may keep.
    pub(crate) memory: u64,
    /// Descriptors that a process of the sandbox's may have.
    pub(crate) descriptors: u64,
    pub(crate) defences: Defences,
}

/// Makes the file system. Mount 0 of the gofer is the root, mount `i + 1` is `binds[i]`.
///
/// # Errors
/// Those of the gofer, and of making mount points for the binds.
pub(crate) fn make(
    timers: &Arc<dyn Timers>,
    gofer: &Arc<Gofer>,
    platform: &Arc<dyn Platform>,
    binds: &[Bind],
    options: &Options,
) -> Result<Filesystem, FilesystemError> {
    let memory = if options.defences.has(Defence::Objects) {
        MemoryBudget::new(options.memory)
    } else {
        MemoryBudget::with_objects(options.memory, u64::MAX)
    };
    let vfs = Vfs::bounded(Arc::clone(timers), memory);
    if !options.defences.has(Defence::Cycles) {
        vfs.flight().keep_all();
    }
    if !options.defences.has(Defence::Nesting) {
        vfs.nest_without_end();
    }
    crate::memory::watch(&vfs, gofer);
    open_read_only(&vfs, gofer, &options.defences);
    // One for a name in the gofer, one more here if the file is read; two for a file in memory.
    let descriptors = options.descriptors.min(MAX_DESCRIPTORS);
    vfs.reclaim().set_limit(usize::try_from(descriptors / 2).unwrap_or(usize::MAX));
    vfs.memory().set_max_files(descriptors / 6);
    let lower = GoferFs::mount(&vfs, gofer, 0, false)?;
    let root = OverlayFs::new(&vfs, TmpFs::new(&vfs, 0o755), lower);
    let ns = MountNamespace::new(Arc::clone(&vfs), vfs.new_mount(root, "overlay", 0));
    let fs = FsContext::new(Arc::clone(&ns));
    let creds = Credentials::root();
    let builder = Builder { vfs: Arc::clone(&vfs), ns, fs: Arc::clone(&fs), creds: &creds };

    let pool = Arc::clone(platform);
    let spawn: Spawn = Arc::new(move |job| pool.spawn_blocking(job));
    let mut terminal: Option<Arc<dyn FileOps>> = None;
    let files = FdTable::bounded(vfs.memory());
    for number in 0..3 {
        let Some(fd) = stdio(number) else { continue };
        let file = HostFile::open(&vfs, fd, Arc::clone(&spawn))?;
        if file.downcast::<HostFile>().is_some_and(HostFile::is_terminal) {
            terminal.get_or_insert_with(|| Arc::clone(file.ops()));
        }
        files.alloc(file, false, number, 3)?;
    }

    bevor_fs::dev::register(&vfs, terminal);
    builder.mount(bevor_fs::dev::tree(&vfs)?, "dev", HostPath::new("/dev"), mount_flags::NOSUID)?;
    for at in ["/dev/shm", "/tmp"] {
        builder.mount(TmpFs::new(&vfs, SHARED_DIRECTORY), "tmpfs", HostPath::new(at), mount_flags::NOSUID)?;
    }
    for (i, bind) in binds.iter().enumerate() {
        let number = u32::try_from(i + 1).map_err(|_| Errno::EINVAL)?;
        let flags = if bind.read_only { mount_flags::RDONLY } else { 0 };
        let root = GoferFs::mount(&vfs, gofer, number, true)?;
        builder.mount(root, "bind", &bind.destination, flags).map_err(|errno| {
            let what = format!("--bind: destination {}", bind.destination.display());
            FilesystemError { what, errno }
        })?;
    }
    Ok(Filesystem { fs, files })
}

/// A copy of the caller's descriptor; none if it was started with that one closed.
pub(crate) fn stdio(number: u32) -> Option<HostFd> {
    let copy = match number {
        0 => std::io::stdin().as_fd().try_clone_to_owned(),
        1 => std::io::stdout().as_fd().try_clone_to_owned(),
        _ => std::io::stderr().as_fd().try_clone_to_owned(),
    };
    copy.ok().map(HostFd::new)
}
