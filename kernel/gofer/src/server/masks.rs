//! Host files and directories that are shown empty, whatever mount, name or link leads to them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bevor_abi::Errno;
use rustix::fs::{Mode, OFlags, SealFlags};
use serde::{Deserialize, Serialize};

use super::host;
use crate::protocol::{Attr, TimeSpec};
use crate::transport::errno;

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;

/// Device and inode number.
type Identity = (u64, u64);

/// How many directories are known to have been a part of the way to something hidden, one after the other.
const MOST_REPLACED: usize = 256;

/// A directory on the way to something hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    /// What it is, and what the host has had in its place.
    directories: Vec<Identity>,
    /// The next name on the way.
    name: Vec<u8>,
}

/// Something to hide: what it is now, and where it is, so that it stays hidden when the host replaces it or a directory above it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    target: Identity,
    /// From the root on; the last name is its own.
    way: Vec<Step>,
}

impl Mask {
    /// Hides what is at `path`, which has no symbolic link in it.
    ///
    /// # Errors
    /// Those of lstat(2); EINVAL (as `InvalidInput`) for a path without a last component.
    pub fn new(path: &Path) -> std::io::Result<Self> {
        let identity = |path: &Path| path.symlink_metadata().map(|meta| (meta.dev(), meta.ino()));
        let mut way = Vec::new();
        for at in path.ancestors() {
            if let Some((parent, name)) = at.parent().zip(at.file_name()) {
                way.push(Step { directories: vec![identity(parent)?], name: name.as_bytes().to_vec() });
            }
        }
        way.reverse();
        if way.is_empty() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { target: identity(path)?, way })
    }

    /// Whether `name` in `parent` is its place.
    fn is_at(&self, parent: Identity, name: &[u8]) -> bool {
        self.way.last().is_some_and(|last| last.name == name && last.directories.contains(&parent))
    }

    /// Keeps in mind that `name` in `parent` is the directory `child` now.
    fn learn(&mut self, parent: Identity, name: &[u8], child: Identity) {
        let at = self.way.iter().position(|step| step.name == name && step.directories.contains(&parent));
        if let Some(next) = at.and_then(|at| self.way.get_mut(at + 1))
            && !next.directories.contains(&child)
        {
            if next.directories.len() >= MOST_REPLACED {
                next.directories.remove(0);
            }
            next.directories.push(child);
        }
    }
}

/// What is hidden.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    list: Vec<Mask>,
    /// An empty file that nobody can write, for whoever opens a hidden one.
    empty: Option<OwnedFd>,
}

impl Masks {
    /// `own_fds` is the process's own /proc/self/fd.
    pub(crate) fn new(list: Vec<Mask>, own_fds: BorrowedFd<'_>) -> Result<Self, Errno> {
        if list.is_empty() {
            return Ok(Self::default());
        }
        let file = bevor_hostcall::fd::memfd(c"hidden")?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o444)).map_err(errno)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)
            .map_err(errno)?;
        let name = file.as_fd().as_raw_fd().to_string();
        let empty = rustix::fs::openat(own_fds, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(errno)?;
        Ok(Self { list, empty: Some(empty) })
    }

    /// Whether `name` in the directory `parent` is hidden, whatever is there now.
    fn hides_name(&self, parent: Identity, name: &[u8]) -> bool {
        self.list.iter().any(|mask| mask.is_at(parent, name))
    }

    /// Whether what has these attributes, found in `place` (the directory and the name) if in any, is hidden.
    pub(crate) fn hides(&self, attr: &Attr, place: Option<(Identity, &[u8])>) -> bool {
        self.list.iter().any(|mask| mask.target == (attr.dev, attr.ino))
            || place.is_some_and(|(parent, name)| self.hides_name(parent, name))
    }

    /// Whatever the host puts in the place of a directory above something hidden is such a directory, too.
    pub(crate) fn learn(&mut self, parent: Identity, name: &[u8], child: &Attr) {
        if child.is_dir() {
            self.list.iter_mut().for_each(|mask| mask.learn(parent, name, (child.dev, child.ino)));
        }
    }

    /// Refuses to move or remove a directory on the way to something hidden: what the host puts there next would be elsewhere.
    pub(crate) fn guard_way(&self, dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
        if self.list.is_empty() {
            return Ok(());
        }
        let Ok(there) = host::child(dir, name).and_then(|fd| host::attr(fd.as_fd())) else { return Ok(()) };
        let mut directories = self.list.iter().flat_map(|mask| &mask.way).flat_map(|step| &step.directories);
        if directories.any(|id| *id == (there.dev, there.ino)) { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// Refuses to make, remove or replace `name` in a directory if it is hidden.
    pub(crate) fn guard(&self, dir: BorrowedFd<'_>, parent: Identity, name: &[u8]) -> Result<(), Errno> {
        if self.list.is_empty() {
            return Ok(());
        }
        // What is not there has no attributes, and another request may make it; then it is new.
        let there = host::child(dir, name).and_then(|fd| host::attr(fd.as_fd()));
        let hidden = self.hides_name(parent, name) || there.is_ok_and(|attr| self.hides(&attr, None));
        if hidden { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// The empty file.
    pub(crate) fn open(&self) -> Result<OwnedFd, Errno> {
        rustix::io::fcntl_dupfd_cloexec(self.empty.as_ref().ok_or(Errno::EIO)?, 0).map_err(errno)
    }
}

/// What is shown of something hidden: an empty directory or an empty file, root's and not to be written.
pub(crate) fn shown(attr: &Attr) -> Attr {
    let never = TimeSpec { sec: 0, nsec: 0 };
    let (mode, nlink) = if attr.is_dir() { (S_IFDIR | 0o755, 2) } else { (S_IFREG | 0o444, 1) };
    Attr {
        mode,
        nlink,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        blocks: 0,
        atime: never,
        mtime: never,
        ctime: never,
        btime: None,
        attributes: 0,
        acl: false,
        ..*attr
    }
}
