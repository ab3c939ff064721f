//! The gofer's side: one loop, one request at a time.

mod host;
mod masks;
mod nodes;
mod proc;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bevor_abi::Errno;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};

use crate::protocol::{
    Attr, MAX_FORGET, MAX_MESSAGE, MAX_WALK, NodeId, OpenFlags, Owner, RenameFlags, Reply, Request, SetAttr, SpecialKind,
    check_name, decode, encode,
};
use crate::transport::{Transport, errno};
pub use masks::Mask;
use masks::Masks;
use nodes::{Node, Nodes};

/// Longest target of a symbolic link (PATH_MAX without its NUL).
const TARGET_MAX: usize = 4095;

/// A host file or directory that the server gives access to.
#[derive(Debug)]
pub struct MountSource {
    /// `O_PATH` descriptor of its root.
    pub fd: OwnedFd,
    /// Whether changes are refused.
    pub read_only: bool,
}

/// What a request leads to: a reply without the parts that need the server's buffers.
enum Outcome {
    Reply(Reply<'static>, Option<OwnedFd>),
    Bytes(Vec<u8>),
    Silent,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    mounts: Vec<MountSource>,
    nodes: Nodes,
    masks: Masks,
    /// Root of a proc file system of the sandbox's pid namespace.
    proc: Option<OwnedFd>,
    /// The process's own /proc/self/fd.
    own_fds: OwnedFd,
    /// Mounts in which a file may get set-id bits.
    suid: Vec<usize>,
    /// Device of the kernel's own tmpfs, where all memory files are and nothing else that has a name.
    memory_dev: u64,
}

impl Server {
    /// A server for `mounts`. `own_fds` is the process's own /proc/self/fd, which becomes the current directory; `proc` the
    /// root of a proc file system of the sandbox's pid namespace.
    ///
    /// # Errors
    /// The errno of fchdir(2) or memfd_create(2).
    pub fn new(mounts: Vec<MountSource>, own_fds: &OwnedFd, proc: Option<OwnedFd>) -> Result<Self, Errno> {
        rustix::process::fchdir(own_fds).map_err(errno)?;
        let memory_dev = host::attr(bevor_hostcall::fd::memfd(c"gofer")?.as_fd())?.dev;
        let own_fds = rustix::io::fcntl_dupfd_cloexec(own_fds, 0).map_err(errno)?;
        Ok(Self { mounts, nodes: Nodes::default(), masks: Masks::default(), proc, own_fds, suid: Vec::new(), memory_dev })
    }

    /// Shows the given files and directories empty, wherever they are met, and refuses to change them. `own_fds` as for
    /// [`Server::new`].
    ///
    /// # Errors
    /// The errno of memfd_create(2) or open(2).
    pub fn hide(&mut self, masks: Vec<Mask>, own_fds: &OwnedFd) -> Result<(), Errno> {
        self.masks = Masks::new(masks, own_fds.as_fd())?;
        Ok(())
    }

    /// Lets files of mount number `mount` have set-id bits, which are taken from all others that are made or changed.
    pub fn allow_set_ids(&mut self, mount: usize) {
        self.suid.push(mount);
    }

    /// Serves `socket` until the sentry closes its end.
    ///
    /// # Errors
    /// EPROTO for a malformed message (the connection is given up), or the errno of a socket call.
    pub fn serve(&mut self, socket: OwnedFd) -> Result<(), Errno> {
        let transport = Transport::new(socket);
        let mut packet = vec![0; MAX_MESSAGE];
        let mut answer = vec![0; MAX_MESSAGE];
        while let Some((len, sent)) = transport.receive(&mut packet)? {
            let request = decode(&packet[..len])?;
            let (message, fd) = match self.handle(request, sent) {
                Ok(Outcome::Reply(reply, fd)) => (encode(&reply, &mut answer)?, fd),
                Ok(Outcome::Bytes(bytes)) => (encode(&Reply::Bytes(&bytes), &mut answer)?, None),
                Ok(Outcome::Silent) => continue,
                Err(e) => {
                    let code = u16::try_from(e.code()).unwrap_or(5);
                    (encode(&Reply::Err(code), &mut answer)?, None)
                }
            };
            transport.send(message, fd.as_ref().map(AsFd::as_fd))?;
        }
        Ok(())
    }

    fn handle(&mut self, request: Request<'_>, sent: Option<OwnedFd>) -> Result<Outcome, Errno> {
        let reply = match request {
            Request::Attach(mount) => return self.attach(mount),
            Request::Walk(parent, names) => self.walk(parent, &names)?,
            Request::Open(node, flags) => return self.open(node, flags),
            Request::ReadLink(node) => return host::readlink(self.visible(node)?.fd.as_fd()).map(Outcome::Bytes),
            Request::ReadDir(node, cookie) => self.readdir(node, cookie)?,
            Request::GetAttr(node) => Reply::Attr(self.getattr(node)?),
            Request::SetAttr(node, set) => self.setattr(node, &set)?,
            Request::Create(parent, name, flags, mode, owner) => return self.create(parent, name, flags, mode, owner),
            Request::MkDir(parent, name, mode, owner) => self.mkdir(parent, name, mode, owner)?,
            Request::Unlink(parent, name, dir) => self.unlink(parent, name, dir)?,
            Request::Rename(from, old, to, new, flags) => self.rename((from, old), (to, new), flags)?,
            Request::Link(node, parent, name) => self.link(node, parent, name)?,
            Request::SymLink(parent, name, target, owner) => self.symlink(parent, name, target, owner)?,
            Request::MkNod(parent, name, kind, mode, owner) => self.mknod(parent, name, kind, mode, owner)?,
            Request::StatFs(node) => Reply::StatFs(host::statfs(self.nodes.get(node)?.fd.as_fd())?),
            Request::GetXattr(node, name) => {
                let node = self.visible(node)?;
                return host::getxattr(node.fd.as_fd(), xattr_name(name)?).map(Outcome::Bytes);
            }
            Request::TmpFile(dir, mode, owner) => self.tmpfile(dir, mode, owner)?,
            Request::SetXattr(node, name, value, flags) => {
                host::setxattr(self.changeable_xattr(node, name)?.fd.as_fd(), name, value, flags)?;
                Reply::Done
            }
            Request::RemoveXattr(node, name) => {
                host::removexattr(self.changeable_xattr(node, name)?.fd.as_fd(), name)?;
                Reply::Done
            }
            Request::ListXattr(node) => return host::listxattr(self.visible(node)?.fd.as_fd()).map(Outcome::Bytes),
            Request::Forget(nodes) => {
                nodes.iter().take(MAX_FORGET).for_each(|&node| self.nodes.remove(node));
                return Ok(Outcome::Silent);
            }
            Request::ReadOnly => {
                let fd = host::read_only(self.own_fds.as_fd(), sent.ok_or(Errno::EBADF)?.as_fd(), self.memory_dev)?;
                return Ok(Outcome::Reply(Reply::Fd, Some(fd)));
            }
            Request::ProcOpen(pid, what) => return proc::open(self.proc()?, pid, what),
            Request::ProcPids => Reply::List(proc::pids(self.proc()?)?),
            Request::ProcFiles(pid) => Reply::List(proc::files(self.proc()?, pid)?),
        };
        Ok(Outcome::Reply(reply, None))
    }

    /// A node that is not on a pseudo file system.
    fn visible(&self, id: NodeId) -> Result<&Node, Errno> {
        let node = self.nodes.get(id)?;
        if node.hidden { Err(Errno::EOPNOTSUPP) } else { Ok(node) }
    }

    /// A node that may be changed.
    fn writable(&self, id: NodeId) -> Result<&Node, Errno> {
        let node = self.nodes.get(id)?;
        if node.hidden || self.mounts.get(node.mount).is_none_or(|m| m.read_only) {
            return Err(Errno::EROFS);
        }
        Ok(node)
    }

    /// A directory in which `name` may be made or removed, and its mount.
    fn writable_parent(&self, id: NodeId, name: &[u8]) -> Result<(&Node, usize), Errno> {
        check_name(name)?;
        let node = self.writable(id)?;
        self.masks.guard(node.fd.as_fd(), node.identity(), name)?;
        Ok((node, node.mount))
    }

    fn add(&mut self, fd: OwnedFd, mount: usize, attr: Attr, hidden: bool) -> Result<(NodeId, Attr), Errno> {
        let id = self.nodes.insert(Node::new(fd, mount, &attr, hidden))?;
        Ok((id, attr))
    }

    fn add_masked(&mut self, fd: OwnedFd, mount: usize, attr: &Attr) -> Result<(NodeId, Attr), Errno> {
        let attr = masks::shown(attr);
        let id = self.nodes.insert(Node { masked: true, ..Node::new(fd, mount, &attr, true) })?;
        Ok((id, attr))
    }

    fn getattr(&self, id: NodeId) -> Result<Attr, Errno> {
        let node = self.nodes.get(id)?;
        let attr = host::described(node.fd.as_fd())?;
        Ok(if node.masked { masks::shown(&attr) } else { attr })
    }

    fn attach(&mut self, mount: u32) -> Result<Outcome, Errno> {
        let index = usize::try_from(mount).map_err(|_| Errno::ENODEV)?;
        let source = self.mounts.get(index).ok_or(Errno::ENODEV)?;
        let fd = rustix::io::fcntl_dupfd_cloexec(&source.fd, 0).map_err(errno)?;
        let attr = host::described(fd.as_fd())?;
        let (id, attr) = if self.masks.hides(&attr, None) {
            self.add_masked(fd, index, &attr)?
        } else {
            let hidden = host::is_pseudo(fd.as_fd())?;
            self.add(fd, index, attr, hidden)?
        };
        Ok(Outcome::Reply(Reply::Node(id, attr), None))
    }

    fn walk(&mut self, parent: NodeId, names: &[&[u8]]) -> Result<Reply<'static>, Errno> {
        if names.len() > MAX_WALK {
            return Err(Errno::EINVAL);
        }
        let mut found: Vec<(NodeId, Attr)> = Vec::with_capacity(names.len());
        let mut at = parent;
        for name in names {
            match self.step(at, name) {
                Ok((id, attr)) => {
                    found.push((id, attr));
                    at = id;
                    if !attr.is_dir() {
                        break;
                    }
                }
                Err(e) => return Ok(Reply::Walk(found, u16::try_from(e.code()).unwrap_or(5))),
            }
        }
        Ok(Reply::Walk(found, 0))
    }

    fn step(&mut self, parent: NodeId, name: &[u8]) -> Result<(NodeId, Attr), Errno> {
        check_name(name)?;
        let dir = self.nodes.get(parent)?;
        if dir.file_type != 0o040_000 {
            return Err(Errno::ENOTDIR);
        }
        if dir.hidden {
            return Err(Errno::ENOENT);
        }
        let (fd, attr, hidden) = Self::look_up(dir, name)?;
        let (mount, place) = (dir.mount, dir.identity());
        self.masks.learn(place, name, &attr);
        if self.masks.hides(&attr, Some((place, name))) {
            return self.add_masked(fd, mount, &attr);
        }
        self.add(fd, mount, attr, hidden)
    }

    /// What `name` is in `dir`, and whether it is on a pseudo file system.
    fn look_up(dir: &Node, name: &[u8]) -> Result<(OwnedFd, Attr, bool), Errno> {
        let fd = host::child(dir.fd.as_fd(), name)?;
        let attr = host::described(fd.as_fd())?;
        let hidden = attr.dev != dir.dev && host::is_pseudo(fd.as_fd())?;
        Ok((fd, attr, hidden))
    }

    /// `mode` as a file of `mount` may have it.
    fn allowed_mode(&self, mount: usize, file_type: u32, mode: u32) -> u32 {
        if self.suid.contains(&mount) { mode } else { host::without_set_ids(file_type, mode) }
    }

    /// Opens a node's file, which loses what privileges it gives if it may be written.
    fn reopen(&self, node: &Node, flags: OpenFlags) -> Result<OwnedFd, Errno> {
        if flags.writes() && !self.suid.contains(&node.mount) {
            host::drop_privileges(node.fd.as_fd())?;
        }
        host::reopen(self.own_fds.as_fd(), node.fd.as_fd(), node.file_type, flags - OpenFlags::EXCL)
    }

    fn open(&mut self, id: NodeId, flags: u32) -> Result<Outcome, Errno> {
        let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        if let Ok(Node { masked: true, file_type: 0o100_000, .. }) = self.nodes.get(id) {
            let refused = if flags.writes() { Some(Errno::EROFS) } else { None };
            return match refused.or(flags.contains(OpenFlags::DIRECTORY).then_some(Errno::ENOTDIR)) {
                Some(errno) => Err(errno),
                None => Ok(Outcome::Reply(Reply::Fd, Some(self.masks.open()?))),
            };
        }
        let node = if flags.writes() { self.writable(id)? } else { self.visible(id)? };
        let fd = self.reopen(node, flags)?;
        Ok(Outcome::Reply(Reply::Fd, Some(fd)))
    }

    fn readdir(&self, id: NodeId, cookie: u64) -> Result<Reply<'static>, Errno> {
        let node = self.nodes.get(id)?;
        if node.file_type != 0o040_000 {
            return Err(Errno::ENOTDIR);
        }
        if node.hidden {
            return Ok(Reply::Dir(Vec::new(), 0));
        }
        let (entries, next) = host::readdir(self.own_fds.as_fd(), node.fd.as_fd(), cookie)?;
        Ok(Reply::Dir(entries, next))
    }

    fn setattr(&self, id: NodeId, set: &SetAttr) -> Result<Reply<'static>, Errno> {
        let node = self.writable(id)?;
        let mut set = *set;
        set.mode = set.mode.map(|mode| self.allowed_mode(node.mount, node.file_type, mode));
        if set.size.is_some() && !self.suid.contains(&node.mount) {
            host::drop_privileges(node.fd.as_fd())?;
        }
        host::setattr(self.own_fds.as_fd(), node.fd.as_fd(), node.file_type, &set)?;
        Ok(Reply::Attr(host::described(node.fd.as_fd())?))
    }

    fn create(&mut self, parent: NodeId, name: &[u8], flags: u32, mode: u32, owner: Owner) -> Result<Outcome, Errno> {
        let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        let (dir, mount) = self.writable_parent(parent, name)?;
        let mode = self.allowed_mode(mount, 0, mode);
        // The file is made empty and exclusively, then looked up and opened as any other.
        let made = rustix::fs::openat2(
            dir.fd.as_fd(),
            name,
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::from_raw_mode(mode & 0o7777),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        );
        let new = match made {
            Ok(file) => Some(host::own_new(self.own_fds.as_fd(), file.as_fd(), owner, Some(mode))?),
            Err(rustix::io::Errno::EXIST) if !flags.contains(OpenFlags::EXCL) => None,
            Err(e) => return Err(errno(e)),
        };
        let (fd, attr, hidden) = Self::look_up(dir, name)?;
        if new.is_some_and(|new| (new.dev, new.ino) != (attr.dev, attr.ino)) {
            return Err(Errno::ESTALE);
        }
        let node = Node::new(fd, mount, &attr, hidden);
        if node.hidden {
            return Err(Errno::EOPNOTSUPP);
        }
        let file = self.reopen(&node, flags)?;
        let attr = host::described(node.fd.as_fd())?;
        let id = self.nodes.insert(node)?;
        Ok(Outcome::Reply(Reply::Node(id, attr), Some(file)))
    }

    /// Looks up what was just made and gives it to its owner.
    fn made(&mut self, parent: NodeId, name: &[u8], kind: FileType, owner: Owner) -> Result<Reply<'static>, Errno> {
        let (dir, mount) = self.writable_parent(parent, name)?;
        let (fd, attr, hidden) = Self::look_up(dir, name)?;
        if !host::is_new(&attr, kind) {
            return Err(Errno::ESTALE);
        }
        if hidden {
            return Err(Errno::EOPNOTSUPP);
        }
        let attr = host::own_new(self.own_fds.as_fd(), fd.as_fd(), owner, None)?;
        let (id, attr) = self.add(fd, mount, attr, hidden)?;
        Ok(Reply::Node(id, attr))
    }

    fn mkdir(&mut self, parent: NodeId, name: &[u8], mode: u32, owner: Owner) -> Result<Reply<'static>, Errno> {
        let (dir, _) = self.writable_parent(parent, name)?;
        rustix::fs::mkdirat(&dir.fd, name, Mode::from_raw_mode(mode & bevor_abi::mutant!("gofer/mkdir-mode", 0o7777, 0o777)))
            .map_err(errno)?;
        self.made(parent, name, FileType::Directory, owner)
    }

    fn unlink(&self, parent: NodeId, name: &[u8], dir: bool) -> Result<Reply<'static>, Errno> {
        let (parent, _) = self.writable_parent(parent, name)?;
        host::not_mounted_on(parent.fd.as_fd(), name)?;
        self.masks.guard_way(parent.fd.as_fd(), name)?;
        let flags = if dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(&parent.fd, name, flags).map_err(errno)?;
        Ok(Reply::Done)
    }

    fn rename(&self, old: (NodeId, &[u8]), new: (NodeId, &[u8]), flags: u32) -> Result<Reply<'static>, Errno> {
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        let (from, from_mount) = self.writable_parent(old.0, old.1)?;
        let (to, to_mount) = self.writable_parent(new.0, new.1)?;
        if from_mount != to_mount {
            return Err(Errno::EXDEV);
        }
        host::not_mounted_on(from.fd.as_fd(), old.1)?;
        host::not_mounted_on(to.fd.as_fd(), new.1)?;
        self.masks.guard_way(from.fd.as_fd(), old.1)?;
        self.masks.guard_way(to.fd.as_fd(), new.1)?;
        let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
        rustix::fs::renameat_with(&from.fd, old.1, &to.fd, new.1, flags).map_err(errno)?;
        Ok(Reply::Done)
    }

    fn link(&self, id: NodeId, parent: NodeId, name: &[u8]) -> Result<Reply<'static>, Errno> {
        let node = self.writable(id)?;
        let (dir, mount) = self.writable_parent(parent, name)?;
        if node.mount != mount {
            return Err(Errno::EXDEV);
        }
        host::link(self.own_fds.as_fd(), node.fd.as_fd(), dir.fd.as_fd(), name)?;
        Ok(Reply::Attr(host::described(node.fd.as_fd())?))
    }

    fn symlink(&mut self, parent: NodeId, name: &[u8], target: &[u8], owner: Owner) -> Result<Reply<'static>, Errno> {
        if target.len() > TARGET_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let (dir, _) = self.writable_parent(parent, name)?;
        rustix::fs::symlinkat(target, &dir.fd, name).map_err(errno)?;
        let owner = bevor_abi::mutant!("gofer/symlink-owner", owner, Owner { uid: 0, gid: 0 });
        self.made(parent, name, FileType::Symlink, owner)
    }

    fn mknod(
        &mut self,
        parent: NodeId,
        name: &[u8],
        kind: SpecialKind,
        mode: u32,
        owner: Owner,
    ) -> Result<Reply<'static>, Errno> {
        let (dir, mount) = self.writable_parent(parent, name)?;
        let mode = self.allowed_mode(mount, 0, mode);
        let kind = match kind {
            SpecialKind::Regular => FileType::RegularFile,
            SpecialKind::Fifo => FileType::Fifo,
            SpecialKind::Socket => FileType::Socket,
        };
        rustix::fs::mknodat(&dir.fd, name, kind, Mode::from_raw_mode(mode & 0o7777), 0).map_err(errno)?;
        self.made(parent, name, kind, owner)
    }

    fn tmpfile(&mut self, dir: NodeId, mode: u32, owner: Owner) -> Result<Reply<'static>, Errno> {
        let dir = self.writable(dir)?;
        if dir.file_type != 0o040_000 {
            return Err(Errno::ENOTDIR);
        }
        let mount = dir.mount;
        let mode = self.allowed_mode(mount, 0, mode);
        let fd = host::tmpfile(self.own_fds.as_fd(), dir.fd.as_fd(), mode)?;
        let attr = host::own_new(self.own_fds.as_fd(), fd.as_fd(), owner, Some(mode))?;
        let (id, attr) = self.add(fd, mount, attr, false)?;
        Ok(Reply::Node(id, attr))
    }

    /// A node whose attribute `name` a guest may change: `user.*` of files and directories. The others speak to the host's kernel.
    fn changeable_xattr(&self, id: NodeId, name: &[u8]) -> Result<&Node, Errno> {
        let node = self.writable(id)?;
        if !xattr_name(name)?.starts_with(b"user.") {
            return Err(Errno::EOPNOTSUPP);
        }
        // What is neither is not opened for reading either.
        if matches!(node.file_type, 0o100_000 | 0o040_000) { Ok(node) } else { Err(Errno::EPERM) }
    }

    fn proc(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.proc.as_ref().map(AsFd::as_fd).ok_or(Errno::ENOSYS)
    }
}

fn xattr_name(name: &[u8]) -> Result<&[u8], Errno> {
    if name.is_empty() || name.len() > 255 || name.contains(&0) {
        return Err(Errno::ERANGE);
    }
    Ok(name)
}

/// Whether a file is on a file system of knobs and views.
pub(crate) fn is_pseudo(fd: &OwnedFd) -> Result<bool, Errno> {
    host::is_pseudo(fd.as_fd())
}

/// The process's own /proc/self/fd, for [`Server::new`].
///
/// # Errors
/// The errno of open(2); ENOENT if /proc is not mounted.
pub fn open_own_fds() -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, "/proc/self/fd", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
}
