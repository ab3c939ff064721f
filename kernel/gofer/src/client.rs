//! The sentry's side. It is written against a gofer that was taken over: what comes is checked for its form, for what was asked, and for
//! its size before anybody works with it. Such a gofer may lie about the host's files and not answer at all, no more.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use bevor_abi::Errno;
use bevor_hostcall::{HostFd, file};
use parking_lot::Mutex;
use rustix::fs::OFlags;

use crate::protocol::{
    Attr, DirEntry, MAX_FORGET, MAX_MESSAGE, MAX_WALK, NAME_MAX, NodeId, OpenFlags, Owner, ProcFile, RenameFlags, Reply, Request,
    SetAttr, SpecialKind, StatFs, XATTR_MAX, check_name, decode, encode,
};
use crate::transport::{Transport, errno};

/// A connection to a gofer. Calls block for one round trip (a few µs) and may be made from any thread; they queue.
///
/// Unless said otherwise every method fails with the errno of the host call that it stands for, EBADF for a forgotten node,
/// EROFS for a change on a read-only mount, EPIPE or EIO when the gofer is gone. A reply that is none to the request is EPROTO, and
/// ends the connection: every later call is EIO, since what follows may be meant for another request.
#[derive(Debug)]
pub struct Gofer {
    transport: Transport,
    buffer: Mutex<Box<[u8]>>,
    /// Nodes to give back.
    forgotten: Mutex<Vec<NodeId>>,
    /// The gofer broke the protocol.
    broken: AtomicBool,
}

/// The longest listing for who sets no bound, in bytes.
pub const LISTING_MAX: u64 = 64 << 20;
/// What a name in a listing takes besides its bytes, about.
const ENTRY_COST: u64 = 64;
/// Longest target of a symbolic link (PATH_MAX without its NUL).
const TARGET_MAX: usize = 4095;
/// The largest error number of Linux (EHWPOISON). What is beyond is the kernel's own and never a program's to see.
const LAST_ERRNO: u16 = 133;
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;

/// The result of [`Gofer::walk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// The nodes of the leading components that could be resolved. The caller owns them and must [`Gofer::forget`] them.
    pub nodes: Vec<(NodeId, Attr)>,
    /// Why the component after the last node could not be resolved; `None` if all were resolved or the last node is not a
    /// directory (a symbolic link, say, for the caller to follow).
    pub stopped: Option<Errno>,
}

/// So many nodes are given back together.
const FORGET_TOGETHER: usize = 64;

fn unexpected() -> Errno {
    Errno::EPROTO
}

/// The errno of a reply.
fn failure(code: u16) -> Errno {
    Errno::from_code(i32::from(code)).filter(|_| code <= LAST_ERRNO).unwrap_or(Errno::EIO)
}

/// Attributes as a host has them: one of the seven types, a size and times within the bounds of their fields.
fn checked_attr(mut attr: Attr) -> Result<Attr, Errno> {
    let kind = attr.file_type();
    if attr.mode > 0o177_777 || ![0o1, 0o2, 0o4, 0o6, 0o10, 0o12, 0o14].contains(&(kind >> 12)) {
        return Err(unexpected());
    }
    attr.size = attr.size.min(i64::MAX.unsigned_abs());
    attr.blocks = attr.blocks.min(i64::MAX.unsigned_abs());
    for time in [&mut attr.atime, &mut attr.mtime, &mut attr.ctime].into_iter().chain(attr.btime.as_mut()) {
        time.nsec = time.nsec.min(999_999_999);
    }
    Ok(attr)
}

/// A descriptor of a file of type `kind` that was opened to read, write, or both, as `access` has it: not of anything that a read waits
/// for (a FIFO, a socket), not one that leads to other files, and none that can do more than was asked for.
fn checked_fd(fd: OwnedFd, kind: u32, access: OFlags) -> Result<HostFd, Errno> {
    let fd = HostFd::new(fd);
    let flags = rustix::fs::fcntl_getfl(&fd).map_err(errno)?;
    if file::fstat(&fd)?.mode & S_IFMT != kind || flags.contains(OFlags::PATH) || flags & OFlags::RWMODE != access {
        return Err(unexpected());
    }
    Ok(fd)
}

/// How [`OpenFlags`] open a file.
fn access(flags: OpenFlags) -> OFlags {
    if flags.contains(OpenFlags::RDWR) {
        OFlags::RDWR
    } else if flags.contains(OpenFlags::WRONLY) {
        OFlags::WRONLY
    } else {
        OFlags::RDONLY
    }
}

impl Gofer {
    /// Speaks over `socket`, the sentry's end of the pair.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        let buffer = Mutex::new(vec![0; MAX_MESSAGE].into_boxed_slice());
        Self { transport: Transport::new(socket), buffer, forgotten: Mutex::default(), broken: AtomicBool::new(false) }
    }

    fn call<R>(
        &self,
        request: &Request<'_>,
        take: impl FnOnce(Reply<'_>, Option<OwnedFd>) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        self.call_with(request, None, take)
    }

    fn call_with<R>(
        &self,
        request: &Request<'_>,
        fd: Option<BorrowedFd<'_>>,
        take: impl FnOnce(Reply<'_>, Option<OwnedFd>) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let mut buffer = self.buffer.lock();
        if self.broken.load(Ordering::Relaxed) {
            return Err(Errno::EIO);
        }
        self.transport.send(encode(request, &mut buffer)?, fd)?;
        let (len, fd) = self.transport.receive(&mut buffer)?.ok_or(Errno::EPIPE)?;
        let taken = match buffer.get(..len).map_or(Err(unexpected()), decode) {
            Ok(Reply::Err(code)) => return Err(failure(code)),
            Ok(reply) => take(reply, fd),
            Err(e) => Err(e),
        };
        if taken.as_ref().err() == Some(&unexpected()) {
            self.broken.store(true, Ordering::Relaxed);
        }
        taken
    }

    fn call_node(&self, request: &Request<'_>) -> Result<(NodeId, Attr), Errno> {
        self.call(request, |reply, _| match reply {
            Reply::Node(id, attr) => Ok((id, checked_attr(attr)?)),
            _ => Err(unexpected()),
        })
    }

    fn call_attr(&self, request: &Request<'_>) -> Result<Attr, Errno> {
        self.call(request, |reply, _| match reply {
            Reply::Attr(attr) => checked_attr(attr),
            _ => Err(unexpected()),
        })
    }

    /// Bytes that are as `good` has it.
    fn call_bytes(&self, request: &Request<'_>, good: impl FnOnce(&[u8]) -> bool) -> Result<Vec<u8>, Errno> {
        self.call(request, |reply, _| match reply {
            Reply::Bytes(bytes) if good(bytes) => Ok(bytes.to_vec()),
            _ => Err(unexpected()),
        })
    }

    fn call_done(&self, request: &Request<'_>) -> Result<(), Errno> {
        self.call(request, |reply, _| match reply {
            Reply::Done => Ok(()),
            _ => Err(unexpected()),
        })
    }

    fn call_fd(&self, request: &Request<'_>, kind: u32, access: OFlags) -> Result<HostFd, Errno> {
        self.call(request, |reply, fd| match (reply, fd) {
            (Reply::Fd, Some(fd)) => checked_fd(fd, kind, access),
            // The host had no room for it here.
            (Reply::Fd, None) => Err(Errno::ENFILE),
            _ => Err(unexpected()),
        })
    }

    /// The root of mount number `mount` of the configuration.
    ///
    /// # Errors
    /// ENODEV if there is no such mount.
    pub fn attach(&self, mount: u32) -> Result<(NodeId, Attr), Errno> {
        self.call_node(&Request::Attach(mount))
    }

    /// Resolves `names` one after another from the directory `parent`, in one round trip. Stops at the first component that
    /// is missing, is not a directory or is a symbolic link. "." and ".." are the caller's business (EINVAL).
    ///
    /// # Errors
    /// EINVAL or ENAMETOOLONG for a bad name or more than [`MAX_WALK`] of them; a component that cannot be resolved is
    /// reported in the result.
    pub fn walk(&self, parent: NodeId, names: &[&[u8]]) -> Result<Walked, Errno> {
        if names.len() > MAX_WALK {
            return Err(Errno::EINVAL);
        }
        for name in names {
            check_name(name)?;
        }
        self.call(&Request::Walk(parent, names.to_vec()), |reply, _| match reply {
            Reply::Walk(mut nodes, code) if nodes.len() <= names.len() => {
                for (_, attr) in &mut nodes {
                    *attr = checked_attr(*attr)?;
                }
                Ok(Walked { nodes, stopped: (code != 0).then(|| failure(code)) })
            }
            _ => Err(unexpected()),
        })
    }

    /// Opens a regular file or, with `OpenFlags::DIRECTORY`, a directory. The descriptor is close-on-exec and O_NONBLOCK.
    ///
    /// # Errors
    /// ENXIO for any other type of file; EISDIR for writing a directory.
    pub fn open(&self, node: NodeId, flags: OpenFlags) -> Result<HostFd, Errno> {
        let kind = if flags.contains(OpenFlags::DIRECTORY) { S_IFDIR } else { S_IFREG };
        self.call_fd(&Request::Open(node, flags.bits()), kind, access(flags))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// EINVAL if `node` is not one.
    pub fn readlink(&self, node: NodeId) -> Result<Vec<u8>, Errno> {
        self.call_bytes(&Request::ReadLink(node), |target| target.len() <= TARGET_MAX && !target.contains(&0))
    }

    /// All entries of a directory, without "." and "..", if they take no more than [`LISTING_MAX`] bytes.
    ///
    /// # Errors
    /// As [`Gofer::readdir_within`].
    pub fn readdir(&self, node: NodeId) -> Result<Vec<DirEntry>, Errno> {
        self.readdir_within(node, LISTING_MAX)
    }

    /// As [`Gofer::readdir`], for a listing of about `most` bytes.
    ///
    /// # Errors
    /// ENOTDIR if `node` is not a directory; ENOMEM for a longer listing.
    pub fn readdir_within(&self, node: NodeId, most: u64) -> Result<Vec<DirEntry>, Errno> {
        let mut all = Vec::new();
        let mut cookie = 0;
        let mut used = 0_u64;
        loop {
            cookie = self.call(&Request::ReadDir(node, cookie), |reply, _| match reply {
                // A part without names would let the listing go on for ever.
                Reply::Dir(part, next) if next == 0 || !part.is_empty() => {
                    for entry in part {
                        used = used.saturating_add(entry.name.len().try_into().unwrap_or(u64::MAX)).saturating_add(ENTRY_COST);
                        if used > most {
                            return Err(Errno::ENOMEM);
                        }
                        // Any other name nobody could ask for.
                        if check_name(&entry.name).is_ok() {
                            all.push(entry);
                        }
                    }
                    Ok(next)
                }
                _ => Err(unexpected()),
            })?;
            if cookie == 0 {
                return Ok(all);
            }
        }
    }

    /// Fresh attributes.
    ///
    /// # Errors
    /// As statx(2).
    pub fn getattr(&self, node: NodeId) -> Result<Attr, Errno> {
        self.call_attr(&Request::GetAttr(node))
    }

    /// Changes attributes and returns the new ones.
    ///
    /// # Errors
    /// As truncate(2), chown(2), chmod(2), utimensat(2); EOPNOTSUPP for the mode of a symbolic link.
    pub fn setattr(&self, node: NodeId, set: SetAttr) -> Result<Attr, Errno> {
        self.call_attr(&Request::SetAttr(node, set))
    }

    /// Creates a regular file (with `OpenFlags::EXCL` it must not exist) and opens it.
    ///
    /// # Errors
    /// As open(2) with O_CREAT; ELOOP if the name is a symbolic link.
    pub fn create(
        &self,
        parent: NodeId,
        name: &[u8],
        flags: OpenFlags,
        mode: u32,
        owner: Owner,
    ) -> Result<(NodeId, Attr, HostFd), Errno> {
        check_name(name)?;
        self.call(&Request::Create(parent, name, flags.bits(), mode, owner), |reply, fd| match (reply, fd) {
            (Reply::Node(id, attr), Some(fd)) => Ok((id, checked_attr(attr)?, checked_fd(fd, S_IFREG, access(flags))?)),
            _ => Err(unexpected()),
        })
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn mkdir(&self, parent: NodeId, name: &[u8], mode: u32, owner: Owner) -> Result<(NodeId, Attr), Errno> {
        check_name(name)?;
        self.call_node(&Request::MkDir(parent, name, mode, owner))
    }

    /// Removes a name; `dir` as AT_REMOVEDIR.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn unlink(&self, parent: NodeId, name: &[u8], dir: bool) -> Result<(), Errno> {
        check_name(name)?;
        self.call_done(&Request::Unlink(parent, name, dir))
    }

    /// Renames within one mount.
    ///
    /// # Errors
    /// As renameat2(2); EXDEV between mounts.
    pub fn rename(
        &self,
        old_parent: NodeId,
        old_name: &[u8],
        new_parent: NodeId,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        check_name(old_name)?;
        check_name(new_name)?;
        self.call_done(&Request::Rename(old_parent, old_name, new_parent, new_name, flags.bits()))
    }

    /// Links `node` under a further name; returns its attributes.
    ///
    /// # Errors
    /// As linkat(2); EXDEV between mounts.
    pub fn link(&self, node: NodeId, parent: NodeId, name: &[u8]) -> Result<Attr, Errno> {
        check_name(name)?;
        self.call_attr(&Request::Link(node, parent, name))
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As symlinkat(2).
    pub fn symlink(&self, parent: NodeId, name: &[u8], target: &[u8], owner: Owner) -> Result<(NodeId, Attr), Errno> {
        check_name(name)?;
        self.call_node(&Request::SymLink(parent, name, target, owner))
    }

    /// Makes a regular file, FIFO or socket without opening it.
    ///
    /// # Errors
    /// As mknodat(2).
    pub fn mknod(
        &self,
        parent: NodeId,
        name: &[u8],
        kind: SpecialKind,
        mode: u32,
        owner: Owner,
    ) -> Result<(NodeId, Attr), Errno> {
        check_name(name)?;
        self.call_node(&Request::MkNod(parent, name, kind, mode, owner))
    }

    /// Makes a regular file without a name in the file system of directory `dir`.
    ///
    /// # Errors
    /// As open(2) with O_TMPFILE; EOPNOTSUPP where the host's file system has none.
    pub fn tmpfile(&self, dir: NodeId, mode: u32, owner: Owner) -> Result<(NodeId, Attr), Errno> {
        self.call_node(&Request::TmpFile(dir, mode, owner))
    }

    /// Figures of the file system that holds `node`.
    ///
    /// # Errors
    /// As fstatfs(2).
    pub fn statfs(&self, node: NodeId) -> Result<StatFs, Errno> {
        self.call(&Request::StatFs(node), |reply, _| match reply {
            Reply::StatFs(figures) => Ok(figures),
            _ => Err(unexpected()),
        })
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// ENODATA, EOPNOTSUPP, EACCES; E2BIG beyond 60 KiB.
    pub fn getxattr(&self, node: NodeId, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.call_bytes(&Request::GetXattr(node, name), |_| true)
    }

    /// Names of the extended attributes.
    ///
    /// # Errors
    /// EOPNOTSUPP, EACCES; E2BIG beyond 60 KiB.
    pub fn listxattr(&self, node: NodeId) -> Result<Vec<Vec<u8>>, Errno> {
        let names = |list: &[u8]| list.split(|&b| b == 0).all(|name| name.len() <= NAME_MAX);
        let list = self.call_bytes(&Request::ListXattr(node), names)?;
        Ok(list.split(|&b| b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// Sets the extended attribute `name`, one of `user.*`, of a file or directory.
    ///
    /// # Errors
    /// As setxattr(2); E2BIG beyond 60 KiB, EOPNOTSUPP for other names.
    pub fn setxattr(&self, node: NodeId, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        if value.len() > XATTR_MAX {
            return Err(Errno::E2BIG);
        }
        self.call_done(&Request::SetXattr(node, name, value, flags))
    }

    /// Removes the extended attribute `name`, one of `user.*`.
    ///
    /// # Errors
    /// As removexattr(2); EOPNOTSUPP for other names.
    pub fn removexattr(&self, node: NodeId, name: &[u8]) -> Result<(), Errno> {
        self.call_done(&Request::RemoveXattr(node, name))
    }

    /// Gives nodes back. Never fails: a lost gofer shows in the next call.
    pub fn forget(&self, nodes: &[NodeId]) {
        for part in nodes.chunks(MAX_FORGET) {
            let mut buffer = self.buffer.lock();
            if let Ok(packet) = encode(&Request::Forget(part.to_vec()), &mut buffer) {
                // Nothing to be done about a gofer that is gone.
                let _ = self.transport.send(packet, None);
            }
        }
    }

    /// Gives a node back with others that are about to be: at the next [`Gofer::flush_forgotten`], or once there are some, so
    /// that the gofer never keeps many descriptors that nobody here knows.
    pub fn forget_soon(&self, node: NodeId) {
        let full = {
            let mut forgotten = self.forgotten.lock();
            forgotten.push(node);
            if forgotten.len() < FORGET_TOGETHER {
                return;
            }
            std::mem::take(&mut *forgotten)
        };
        self.forget(&full);
    }

    /// Gives back what is to be.
    pub fn flush_forgotten(&self) {
        let nodes = std::mem::take(&mut *self.forgotten.lock());
        self.forget(&nodes);
    }

    /// A descriptor for reading only of the memory file (memfd_create(2)) behind `fd`.
    ///
    /// # Errors
    /// EINVAL for any other file and for a descriptor that cannot read.
    pub fn read_only(&self, fd: &HostFd) -> Result<HostFd, Errno> {
        let sent = file::fstat(fd)?;
        self.call_with(&Request::ReadOnly, Some(fd.as_fd()), |reply, fd| match (reply, fd) {
            (Reply::Fd, Some(fd)) => {
                let came = checked_fd(fd, S_IFREG, OFlags::RDONLY)?;
                let same = file::fstat(&came).is_ok_and(|st| (st.dev, st.ino) == (sent.dev, sent.ino));
                if same { Ok(came) } else { Err(unexpected()) }
            }
            // The host had no room for it here.
            (Reply::Fd, None) => Err(Errno::ENFILE),
            _ => Err(unexpected()),
        })
    }

    /// Opens a /proc file of the stub process `pid` (in the sandbox's pid namespace).
    ///
    /// # Errors
    /// ENOSYS where no proc file system could be mounted for the sandbox; ESRCH or ENOENT if there is no such process.
    pub fn proc_open(&self, pid: i32, what: ProcFile) -> Result<HostFd, Errno> {
        let access = if what == ProcFile::Mem { OFlags::RDWR } else { OFlags::RDONLY };
        self.call_fd(&Request::ProcOpen(pid, what), S_IFREG, access)
    }

    fn call_list(&self, request: &Request<'_>) -> Result<Vec<(u64, u64)>, Errno> {
        self.call(request, |reply, _| match reply {
            Reply::List(pairs) => Ok(pairs),
            _ => Err(unexpected()),
        })
    }

    /// Every stub process (in the sandbox's pid namespace), those that the sentry knows nothing of included.
    ///
    /// # Errors
    /// As [`Gofer::proc_open`]; E2BIG for more than a packet holds.
    pub fn proc_pids(&self) -> Result<Vec<i32>, Errno> {
        let pids = self.call_list(&Request::ProcPids)?;
        Ok(pids.into_iter().filter_map(|(pid, _)| i32::try_from(pid).ok()).collect())
    }

    /// Device and inode (as of stat(2)) of the files that the stub process `pid` has descriptors of.
    ///
    /// # Errors
    /// As [`Gofer::proc_pids`].
    pub fn proc_files(&self, pid: i32) -> Result<Vec<(u64, u64)>, Errno> {
        self.call_list(&Request::ProcFiles(pid))
    }
}
