//! Path lookup (path_resolution(7), openat2(2)).

use std::sync::Arc;

use bevor_abi::Errno;
use smallvec::SmallVec;

use super::dentry::{Cached, Dentry};
use super::inode::{Inode, LinkTarget, may};
use super::mount::{MountNamespace, Path, mount_flags};
use crate::creds::Credentials;

/// The longest name (NAME_MAX).
pub const NAME_MAX: usize = 255;
/// How many symbolic links one lookup follows.
const MAX_LINKS: u32 = 40;

/// Who looks: decides permissions and what /proc/self means.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Credentials (the file-system ids count).
    pub creds: &'a Credentials,
    /// Thread group id.
    pub pid: i32,
    /// Thread id.
    pub tid: i32,
}

bitflags::bitflags! {
    /// How to walk.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WalkFlags: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1;
        /// RESOLVE_BENEATH.
        const BENEATH = 2;
        /// RESOLVE_IN_ROOT.
        const IN_ROOT = 4;
        /// RESOLVE_NO_XDEV.
        const NO_XDEV = 8;
        /// RESOLVE_NO_MAGICLINKS.
        const NO_MAGICLINKS = 16;
        /// RESOLVE_NO_SYMLINKS.
        const NO_SYMLINKS = 32;
        /// RESOLVE_CACHED.
        const CACHED = 64;
        /// The last component must be a directory.
        const DIRECTORY = 128;
    }
}

/// The last component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The path ended at the current place ("/", or a link to it).
    Here,
    /// "." or "..": already walked.
    Dot,
    /// "..": already walked.
    DotDot,
    /// A name in the current directory.
    Name {
        /// Position in the walker's buffer.
        start: usize,
        /// Length.
        len: usize,
        /// Slashes follow.
        trailing: bool,
    },
}

/// The state of one lookup.
pub struct Walker<'a> {
    ns: &'a MountNamespace,
    caller: Caller<'a>,
    flags: WalkFlags,
    root: Path,
    /// Where the walk stands: always a directory (or the start).
    pub at: Path,
    buf: SmallVec<[u8; 128]>,
    pos: usize,
    links: u32,
}

impl<'a> Walker<'a> {
    /// Starts a walk of `path` in `root`, from `start` if relative.
    ///
    /// # Errors
    /// ENOENT for an empty path; EXDEV for an absolute path under RESOLVE_BENEATH.
    pub fn new(
        ns: &'a MountNamespace,
        caller: Caller<'a>,
        root: Path,
        start: Path,
        path: &[u8],
        flags: WalkFlags,
    ) -> Result<Self, Errno> {
        let scoped = flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT);
        let root = if scoped { start.clone() } else { root };
        let mut walker = Self { ns, caller, flags, root, at: start, buf: SmallVec::from_slice(path), pos: 0, links: 0 };
        match path.first() {
            None => return Err(Errno::ENOENT),
            Some(b'/') => walker.go_to_root()?,
            Some(_) => {}
        }
        Ok(walker)
    }

    fn go_to_root(&mut self) -> Result<(), Errno> {
        if self.flags.contains(WalkFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        if self.flags.contains(WalkFlags::NO_XDEV) && !Arc::ptr_eq(&self.at.mount, &self.root.mount) {
            return Err(Errno::EXDEV);
        }
        if self.at != self.root {
            self.at = self.root.clone();
        }
        Ok(())
    }

    /// The bytes of the last component.
    #[must_use]
    pub fn name(&self, last: Last) -> &[u8] {
        match last {
            Last::Name { start, len, .. } => &self.buf[start..start + len],
            Last::Here => b"/",
            Last::Dot => b".",
            Last::DotDot => b"..",
        }
    }

    /// Walks all but the last component; `self.at` is then the directory that holds it.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, EXDEV, and what file systems report.
    pub fn to_last(&mut self) -> Result<Last, Errno> {
        loop {
            while self.buf.get(self.pos) == Some(&b'/') {
                self.pos += 1;
            }
            if self.pos == self.buf.len() {
                return Ok(Last::Here);
            }
            let dir = self.at.dentry.inode();
            if !dir.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            dir.permission(&self.caller, bevor_abi::mutant!("lookup/search", may::EXEC, 0))?;
            let start = self.pos;
            let len = self.buf[start..].iter().position(|b| *b == b'/').unwrap_or(self.buf.len() - start);
            self.pos += len;
            let trailing = self.pos < self.buf.len();
            while self.buf.get(self.pos) == Some(&b'/') {
                self.pos += 1;
            }
            let is_last = self.pos == self.buf.len();
            match &self.buf[start..start + len] {
                b"." => {
                    if is_last {
                        return Ok(Last::Dot);
                    }
                }
                b".." => {
                    self.dot_dot()?;
                    if is_last {
                        return Ok(Last::DotDot);
                    }
                }
                _ if bevor_abi::mutant!("lookup/name-boundary", len > NAME_MAX, len >= NAME_MAX) => {
                    return Err(Errno::ENAMETOOLONG);
                }
                _ if is_last => return Ok(Last::Name { start, len, trailing }),
                _ => {
                    let dentry = self.child_dentry(&self.buf[start..start + len])?.ok_or(Errno::ENOENT)?;
                    if dentry.is_mountpoint() || dentry.inode().is_symlink() {
                        let child = self.cross(dentry)?;
                        if child.dentry.inode().is_symlink() {
                            self.follow(&child)?;
                        } else {
                            self.at = child;
                        }
                    } else {
                        // The mount stays.
                        self.at.dentry = dentry;
                    }
                }
            }
        }
    }

    fn child(&self, start: usize, len: usize) -> Result<Option<Path>, Errno> {
        self.lookup(&self.buf[start..start + len])
    }

    /// The entry `name` of the current directory, with mounts crossed; `None` if it does not exist.
    ///
    /// # Errors
    /// What the file system reports, except ENOENT; EXDEV under RESOLVE_NO_XDEV.
    pub fn lookup(&self, name: &[u8]) -> Result<Option<Path>, Errno> {
        let Some(dentry) = self.child_dentry(name)? else {
            return Ok(None);
        };
        self.cross(dentry).map(Some)
    }

    fn child_dentry(&self, name: &[u8]) -> Result<Option<Arc<Dentry>>, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        lookup_child(&self.at.dentry, name, &self.caller, self.flags.contains(WalkFlags::CACHED))
    }

    /// The entry `dentry` of the current directory, or what is mounted on it.
    fn cross(&self, dentry: Arc<Dentry>) -> Result<Path, Errno> {
        let path = Path { mount: Arc::clone(&self.at.mount), dentry };
        if !path.dentry.is_mountpoint() {
            return Ok(path);
        }
        let below = self.ns.follow_down(path);
        if self.flags.contains(WalkFlags::NO_XDEV)
            && !Arc::ptr_eq(&below.mount, &self.at.mount)
            && !bevor_abi::mutated!("openat2/no-xdev")
        {
            return Err(Errno::EXDEV);
        }
        Ok(below)
    }

    fn dot_dot(&mut self) -> Result<(), Errno> {
        loop {
            if self.at == self.root {
                if self.flags.contains(WalkFlags::BENEATH) && !bevor_abi::mutated!("openat2/beneath-dotdot") {
                    return Err(Errno::EXDEV);
                }
                return Ok(());
            }
            if !Arc::ptr_eq(&self.at.dentry, &self.at.mount.root) {
                break;
            }
            let Some(up) = self.at.mount.parent() else {
                return Ok(());
            };
            if self.flags.contains(WalkFlags::NO_XDEV) {
                return Err(Errno::EXDEV);
            }
            self.at = up;
        }
        if let Some(parent) = self.at.dentry.parent() {
            self.at = self.ns.follow_down(Path { mount: Arc::clone(&self.at.mount), dentry: parent });
        }
        Ok(())
    }

    /// Follows the symbolic link `link`, found in the current directory: the rest of the path then continues behind its text.
    ///
    /// # Errors
    /// ELOOP, ENOENT for an empty text, and what the file system reports.
    pub fn follow(&mut self, link: &Path) -> Result<(), Errno> {
        self.links += 1;
        if bevor_abi::mutant!("lookup/links-boundary", self.links > MAX_LINKS, self.links >= MAX_LINKS)
            || self.flags.contains(WalkFlags::NO_SYMLINKS)
            || link.mount.flags() & mount_flags::NOSYMFOLLOW != 0
        {
            return Err(Errno::ELOOP);
        }
        let inode = link.dentry.inode();
        match inode.ops().follow(inode, &self.caller)? {
            LinkTarget::Magic(path) => {
                if self.flags.contains(WalkFlags::NO_MAGICLINKS) {
                    return Err(Errno::ELOOP);
                }
                if self.flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT | WalkFlags::NO_XDEV) {
                    return Err(Errno::EXDEV);
                }
                self.at = path;
            }
            LinkTarget::Text(text) => {
                if text.is_empty() {
                    return Err(Errno::ENOENT);
                }
                if text[0] == b'/' {
                    self.go_to_root()?;
                }
                let mut buf = SmallVec::from_slice(&text);
                // Keep the slash of "link/": it demands a directory.
                let slashed = self.pos > 0 && self.buf.get(self.pos - 1) == Some(&b'/');
                if slashed && !(bevor_abi::mutated!("lookup/link-slash") && self.pos == self.buf.len()) {
                    buf.push(b'/');
                }
                buf.extend_from_slice(&self.buf[self.pos..]);
                self.buf = buf;
                self.pos = 0;
            }
        }
        Ok(())
    }

    /// Walks to the end.
    ///
    /// # Errors
    /// As [`Walker::to_last`]; ENOENT if the last component does not exist, ENOTDIR if slashes follow something else than a
    /// directory.
    pub fn resolve(&mut self) -> Result<Path, Errno> {
        loop {
            let last = self.to_last()?;
            let Last::Name { start, len, trailing } = last else {
                return self.finish(self.at.clone(), false);
            };
            let child = self.child(start, len)?.ok_or(Errno::ENOENT)?;
            let directory = trailing || self.flags.contains(WalkFlags::DIRECTORY);
            if child.dentry.inode().is_symlink() && (trailing || self.flags.contains(WalkFlags::FOLLOW)) {
                self.follow(&child)?;
                if self.pos == self.buf.len() {
                    // A magic link as the last component: it is the result, whatever it is.
                    return self.finish(self.at.clone(), directory);
                }
                continue;
            }
            return self.finish(child, directory);
        }
    }

    fn finish(&self, path: Path, directory: bool) -> Result<Path, Errno> {
        if (directory || self.flags.contains(WalkFlags::DIRECTORY)) && !path.dentry.inode().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(path)
    }

    /// Who walks.
    #[must_use]
    pub fn caller(&self) -> Caller<'a> {
        self.caller
    }

    /// Whether the walk has nothing left (after [`Walker::follow`] of a magic link).
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pos == self.buf.len()
    }
}

/// The child `name` of `dir` from the cache, or from the file system; `None` if there is none.
///
/// # Errors
/// What the file system reports, except ENOENT; EAGAIN if `cached_only` and it is not cached.
pub fn lookup_child(
    dir: &Arc<Dentry>,
    name: &[u8],
    caller: &Caller<'_>,
    cached_only: bool,
) -> Result<Option<Arc<Dentry>>, Errno> {
    let inode = dir.inode();
    match dir.cached(name) {
        Cached::Positive(d) => {
            if !inode.sb().revalidate || inode.ops().revalidate(inode, name, d.inode()) {
                return Ok(Some(d));
            }
            dir.forget(name);
            d.invalidate();
        }
        Cached::Negative if !inode.sb().revalidate => return Ok(None),
        Cached::Negative | Cached::Unknown => {}
    }
    if cached_only {
        return Err(Errno::EAGAIN);
    }
    let _guard = inode.dir_lock.lock();
    lookup_locked(dir, name, caller)
}

/// As [`lookup_child`] for a caller that holds the directory's lock.
pub(super) fn lookup_locked(dir: &Arc<Dentry>, name: &[u8], caller: &Caller<'_>) -> Result<Option<Arc<Dentry>>, Errno> {
    let inode: &Arc<Inode> = dir.inode();
    match dir.cached(name) {
        Cached::Positive(d) => {
            if !inode.sb().revalidate || inode.ops().revalidate(inode, name, d.inode()) {
                return Ok(Some(d));
            }
            dir.forget(name);
            d.invalidate();
        }
        Cached::Negative if !inode.sb().revalidate => return Ok(None),
        Cached::Negative | Cached::Unknown => {}
    }
    match inode.ops().lookup(inode, name, caller) {
        Ok(child) if inode.sb().cache => Ok(Some(dir.insert(name, child))),
        Ok(child) => Ok(Some(dir.new_child(name, child))),
        Err(Errno::ENOENT) => {
            if inode.sb().cache && !dir.is_unlinked() {
                dir.insert_negative(name);
            }
            Ok(None)
        }
        Err(e) => Err(e),
    }
}
