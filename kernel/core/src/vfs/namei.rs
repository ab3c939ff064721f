//! Operations on paths: open, create, remove, rename, link (the `do_*at` functions of Linux's fs/namei.c).

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::fs::{mode, o};

use super::attr::{FileKind, NewNode, SetAttr};
use super::dentry::Dentry;
use super::file::{File, PathOnly};
use super::fs_context::{FsContext, PATH_MAX};
use super::inode::{Inode, LinkTarget, Rename, may};
use super::lookup::{Caller, Last, WalkFlags, Walker, lookup_child, lookup_locked};
use super::mount::{Path, mount_flags};
use crate::creds::Capability;

/// A directory and a name in it that is to be made, removed or moved.
pub struct Parent {
    /// The directory.
    pub dir: Path,
    /// The name; never "." or "..".
    pub name: Vec<u8>,
    /// Slashes followed the name.
    pub trailing: bool,
}

/// What open(2) is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest {
    /// open(2) flags.
    pub flags: u32,
    /// Mode for O_CREAT, before the umask.
    pub mode: u32,
    /// RESOLVE_* as walk flags.
    pub resolve: WalkFlags,
}

/// The result of the path part of open(2).
pub enum Opened {
    /// A description, ready.
    File(Arc<File>),
    /// A FIFO: opening may have to wait for the other side (the syscall layer's business).
    Fifo(Path),
}

impl FsContext {
    /// Starts a walk from `start` (`None`: the working directory).
    ///
    /// # Errors
    /// ENOENT for an empty path.
    pub fn walker<'a>(
        &'a self,
        start: Option<&Path>,
        path: &[u8],
        caller: Caller<'a>,
        flags: WalkFlags,
    ) -> Result<Walker<'a>, Errno> {
        let scoped = flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT | WalkFlags::NO_XDEV);
        let absolute = path.first() == Some(&b'/') && !scoped;
        let (root, start) = self.root_and_start(if absolute { None } else { start }, absolute);
        Walker::new(&self.ns, caller, root, start, path, flags)
    }

    /// The object that `path` names.
    ///
    /// # Errors
    /// Those of path_resolution(7).
    pub fn resolve(&self, start: Option<&Path>, path: &[u8], caller: Caller<'_>, flags: WalkFlags) -> Result<Path, Errno> {
        self.walker(start, path, caller, flags)?.resolve()
    }

    /// The directory and last name of `path`.
    ///
    /// # Errors
    /// Those of path_resolution(7); `dots` if the path ends in ".", ".." or is a root (which error depends on the call).
    pub fn parent(
        &self,
        start: Option<&Path>,
        path: &[u8],
        caller: Caller<'_>,
        dots: impl FnOnce(Last) -> Errno,
    ) -> Result<Parent, Errno> {
        let mut walker = self.walker(start, path, caller, WalkFlags::empty())?;
        match walker.to_last()? {
            last @ Last::Name { trailing, .. } => {
                if !walker.at.dentry.inode().is_dir() {
                    return Err(Errno::ENOTDIR);
                }
                Ok(Parent { name: walker.name(last).to_vec(), trailing, dir: walker.at })
            }
            last => Err(dots(last)),
        }
    }

    fn now(&self) -> bevor_abi::fs::Timespec {
        self.ns.vfs.now()
    }

    /// open(2), openat2(2).
    ///
    /// # Errors
    /// Those of open(2). A FIFO comes back as a path, since opening it may block.
    pub fn open(&self, start: Option<&Path>, path: &[u8], caller: Caller<'_>, request: &OpenRequest) -> Result<Opened, Errno> {
        let flags = request.flags;
        if flags & o::TMPFILE_BIT != 0 {
            return self.open_tmpfile(start, path, caller, request);
        }
        let mut walk = request.resolve;
        let nofollow = flags & o::NOFOLLOW != 0 || flags & (o::CREAT | o::EXCL) == o::CREAT | o::EXCL;
        if !nofollow {
            walk |= WalkFlags::FOLLOW;
        }
        let mut walker = self.walker(start, path, caller, walk)?;
        if flags & o::CREAT == 0 || flags & o::PATH != 0 {
            if flags & o::DIRECTORY != 0 {
                // A symbolic link under O_NOFOLLOW is ENOTDIR then, not ELOOP.
                let found = walker.resolve()?;
                if !found.dentry.inode().is_dir() {
                    return Err(Errno::ENOTDIR);
                }
                return self.open_path(&found, caller, flags);
            }
            let found = walker.resolve()?;
            return self.open_path(&found, caller, flags);
        }
        loop {
            let last = walker.to_last()?;
            let Last::Name { trailing, .. } = last else {
                return Err(if flags & o::EXCL != 0 && !bevor_abi::mutated!("open/creat-dot") {
                    Errno::EEXIST
                } else {
                    Errno::EISDIR
                });
            };
            if trailing {
                return Err(Errno::EISDIR);
            }
            let name = walker.name(last).to_vec();
            let Some(found) = walker.lookup(&name)? else {
                if let Some(file) = self.create_open(&walker.at, &name, caller, request)? {
                    return Ok(Opened::File(file));
                }
                // Somebody else made it meanwhile.
                if let Some(found) = walker.lookup(&name)? {
                    return self.open_existing(&walker.at, &found, caller, flags);
                }
                return Err(Errno::ENOENT);
            };
            if flags & o::EXCL != 0 {
                return Err(Errno::EEXIST);
            }
            if found.dentry.inode().is_symlink() && !nofollow {
                walker.follow(&found)?;
                if walker.is_done() {
                    let at = walker.at.clone();
                    return self.open_existing(&at, &at, caller, flags);
                }
                continue;
            }
            return self.open_existing(&walker.at, &found, caller, flags);
        }
    }

    /// O_CREAT found something: a directory is refused, then the sticky-directory rules and the ordinary checks apply.
    fn open_existing(&self, _dir: &Path, found: &Path, caller: Caller<'_>, flags: u32) -> Result<Opened, Errno> {
        let inode = found.dentry.inode();
        if inode.is_dir() && !bevor_abi::mutated!("open/creat-directory") {
            return Err(Errno::EISDIR);
        }
        if flags & o::DIRECTORY != 0 {
            return Err(Errno::ENOTDIR);
        }
        self.open_path(found, caller, flags)
    }

    fn create_open(
        &self,
        dir: &Path,
        name: &[u8],
        caller: Caller<'_>,
        request: &OpenRequest,
    ) -> Result<Option<Arc<File>>, Errno> {
        if dir.mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        let inode = dir.dentry.inode();
        let dentry = {
            let _guard = inode.dir_lock.lock();
            if lookup_locked(&dir.dentry, name, &caller)?.is_some() {
                return Ok(None);
            }
            may_create(&dir.dentry, &caller)?;
            let node = self.new_node(inode, FileKind::Regular, request.mode, caller, 0);
            let made = inode.ops().create(inode, name, &node)?;
            dir.dentry.insert(name, made)
        };
        let path = Path { mount: Arc::clone(&dir.mount), dentry };
        // The creator gets the access it asked for, whatever the mode says.
        if bevor_abi::mutated!("open/creat-mode") {
            path.dentry.inode().permission(&caller, may::READ | may::WRITE)?;
        }
        self.make_file(&path, request.flags & !o::TRUNC, &caller).map(Some)
    }

    /// Opens what a path led to: permission checks, then by type.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open_path(&self, path: &Path, caller: Caller<'_>, flags: u32) -> Result<Opened, Errno> {
        let inode = path.dentry.inode();
        if flags & o::PATH != 0 {
            let keep = flags & (o::PATH | o::DIRECTORY | o::NOFOLLOW);
            return Ok(Opened::File(File::new(path.clone(), Arc::new(PathOnly), keep)));
        }
        let writes = flags & o::ACCMODE != o::RDONLY || flags & o::TRUNC != 0;
        match inode.kind() {
            FileKind::Symlink => return Err(Errno::ELOOP),
            FileKind::Directory if writes => return Err(Errno::EISDIR),
            FileKind::CharDevice | FileKind::BlockDevice if path.mount.flags() & mount_flags::NODEV != 0 => {
                return Err(Errno::EACCES);
            }
            FileKind::Regular if writes && path.mount.is_read_only() => return Err(Errno::EROFS),
            _ => {}
        }
        let mut mask = match flags & o::ACCMODE {
            o::RDONLY => may::READ,
            o::WRONLY => may::WRITE,
            _ => may::READ | may::WRITE,
        };
        if flags & o::TRUNC != 0 && !bevor_abi::mutated!("open/trunc-unchecked") {
            mask |= may::WRITE;
        }
        inode.permission(&caller, mask)?;
        if flags & o::NOATIME != 0 && !bevor_abi::mutated!("open/noatime-owner") && !inode.owner_or_capable(caller.creds) {
            return Err(Errno::EPERM);
        }
        if !matches!(inode.kind(), FileKind::Regular | FileKind::Directory)
            && let Some(ops) = inode.ops().open_special(inode, flags)
        {
            return Ok(Opened::File(File::new(path.clone(), ops?, flags)));
        }
        match inode.kind() {
            FileKind::Fifo => Ok(Opened::Fifo(path.clone())),
            FileKind::Socket => Err(Errno::ENXIO),
            FileKind::CharDevice | FileKind::BlockDevice => {
                let ops = self.ns.vfs.open_device(inode.kind(), inode.attr()?.rdev, flags)?;
                Ok(Opened::File(File::new(path.clone(), ops, flags)))
            }
            _ => self.make_file(path, flags, &caller).map(Opened::File),
        }
    }

    fn make_file(&self, path: &Path, flags: u32, caller: &Caller<'_>) -> Result<Arc<File>, Errno> {
        let inode = path.dentry.inode();
        let writes = flags & o::ACCMODE != o::RDONLY && !inode.is_dir();
        // Who only cuts it writes it while it is opened.
        let cuts = flags & o::TRUNC != 0 && !writes;
        if writes || cuts {
            inode.get_write_access()?;
        }
        let opened = inode.ops().open_as(inode, flags, caller).and_then(|ops| {
            if flags & o::TRUNC != 0 {
                let now = Some(self.now());
                inode.ops().setattr(
                    inode,
                    &SetAttr {
                        size: Some(0),
                        mode: bevor_abi::mutant!("open/trunc-suid", inode.without_privileges(caller.creds), None),
                        mtime: now,
                        ctime: now,
                        ..SetAttr::default()
                    },
                )?;
            }
            Ok(ops)
        });
        if cuts {
            inode.put_write_access();
        }
        match opened {
            Ok(ops) if writes => Ok(File::new_counted(path.clone(), ops, flags)),
            Ok(ops) => Ok(File::new(path.clone(), ops, flags)),
            Err(e) => {
                if writes {
                    inode.put_write_access();
                }
                Err(e)
            }
        }
    }

    fn open_tmpfile(
        &self,
        start: Option<&Path>,
        path: &[u8],
        caller: Caller<'_>,
        request: &OpenRequest,
    ) -> Result<Opened, Errno> {
        let mut walk = request.resolve | WalkFlags::DIRECTORY;
        if request.flags & o::NOFOLLOW == 0 {
            walk |= WalkFlags::FOLLOW;
        }
        let dir = self.resolve(start, path, caller, walk)?;
        if dir.mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        let inode = dir.dentry.inode();
        inode.permission(&caller, bevor_abi::mutant!("open/tmpfile-permission", may::WRITE, 0) | may::EXEC)?;
        let node = self.new_node(inode, FileKind::Regular, request.mode, caller, 0);
        let made = inode.ops().tmpfile(inode, &node)?;
        if request.flags & o::EXCL == 0 || bevor_abi::mutated!("link/tmpfile-excl") {
            made.set_nameable();
        }
        let name = format!("#{}", made.ino());
        let dentry = dir.dentry.new_child(name.as_bytes(), made);
        dentry.set_unlinked();
        let path = Path { mount: Arc::clone(&dir.mount), dentry };
        self.make_file(&path, request.flags, &caller).map(Opened::File)
    }

    fn new_node(&self, dir: &Inode, kind: FileKind, wanted: u32, caller: Caller<'_>, rdev: u64) -> NewNode {
        let mut mode = wanted & mode::ALL & !self.umask();
        let inherits = dir.mode() & mode::ISGID != 0;
        let gid = if inherits && !bevor_abi::mutated!("open/sgid-group") { dir.gid() } else { caller.creds.fsgid };
        if inherits && kind == FileKind::Directory {
            mode |= bevor_abi::mutant!("mkdir/sgid-inherited", mode::ISGID, 0);
        } else if inherits && mode & (mode::ISGID | 0o010) == mode::ISGID | 0o010 {
            // Linux's inode_init_owner: not without membership in the group.
            if !bevor_abi::mutated!("create/foreign-sgid")
                && !caller.creds.in_group(gid)
                && !caller.creds.capable(Capability::Fsetid)
            {
                mode &= !mode::ISGID;
            }
        }
        NewNode { kind, mode, uid: bevor_abi::mutant!("create/real-owner", caller.creds.fsuid, caller.creds.uid), gid, rdev }
    }

    /// Runs `make` for a name that must not exist yet, under the directory's lock.
    fn make_entry(
        &self,
        parent: &Parent,
        caller: Caller<'_>,
        directory: bool,
        make: impl FnOnce(&Arc<Inode>) -> Result<Arc<Inode>, Errno>,
    ) -> Result<Path, Errno> {
        let dir = &parent.dir.dentry;
        let inode = dir.inode();
        let _guard = inode.dir_lock.lock();
        if lookup_locked(dir, &parent.name, &caller)?.is_some() {
            return Err(Errno::EEXIST);
        }
        if parent.trailing && !directory && !bevor_abi::mutated!("make/trailing") {
            return Err(Errno::ENOENT);
        }
        if parent.dir.mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        may_create(dir, &caller)?;
        let made = make(inode)?;
        Ok(Path { mount: Arc::clone(&parent.dir.mount), dentry: dir.insert(&parent.name, made) })
    }

    /// mknod(2), mkdir(2), and what bind(2) makes of a path.
    ///
    /// # Errors
    /// EEXIST, ENOENT, EACCES, EPERM, EROFS ...
    pub fn make_node(
        &self,
        start: Option<&Path>,
        path: &[u8],
        caller: Caller<'_>,
        kind: FileKind,
        mode: u32,
        rdev: u64,
    ) -> Result<Path, Errno> {
        let parent = self.parent(start, path, caller, |_| Errno::EEXIST)?;
        self.make_entry(&parent, caller, kind == FileKind::Directory, |dir| {
            let node = self.new_node(dir, kind, mode, caller, rdev);
            dir.ops().create(dir, &parent.name, &node)
        })
    }

    /// symlink(2).
    ///
    /// # Errors
    /// As [`FsContext::make_node`].
    pub fn symlink(&self, target: &[u8], start: Option<&Path>, path: &[u8], caller: Caller<'_>) -> Result<(), Errno> {
        let parent = self.parent(start, path, caller, |_| Errno::EEXIST)?;
        self.make_entry(&parent, caller, false, |dir| {
            let node = NewNode {
                mode: bevor_abi::mutant!("symlink/umask", 0o777, 0o777 & !self.umask()),
                ..self.new_node(dir, FileKind::Symlink, 0o777, caller, 0)
            };
            dir.ops().symlink(dir, &parent.name, target, &node)
        })
        .map(|_| ())
    }

    /// link(2): gives `source` the name `path`.
    ///
    /// # Errors
    /// EXDEV, EPERM (directories, and others' files but those that one may read and write), EMLINK, ENOENT (unlinked source), and as
    /// [`FsContext::make_node`].
    pub fn link(&self, source: &Path, start: Option<&Path>, path: &[u8], caller: Caller<'_>) -> Result<(), Errno> {
        let parent = self.parent(start, path, caller, |_| Errno::EEXIST)?;
        let inode = source.dentry.inode();
        let dir = &parent.dir.dentry;
        let _guard = dir.inode().dir_lock.lock();
        if lookup_locked(dir, &parent.name, &caller)?.is_some() {
            return Err(Errno::EEXIST);
        }
        if parent.trailing {
            return Err(Errno::ENOENT);
        }
        if parent.dir.mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        if !Arc::ptr_eq(&source.mount, &parent.dir.mount) {
            return Err(Errno::EXDEV);
        }
        may_link(inode, &caller)?;
        may_create(dir, &caller)?;
        if !Arc::ptr_eq(inode.sb(), dir.inode().sb()) {
            return Err(Errno::EXDEV);
        }
        if inode.is_dir() {
            return Err(Errno::EPERM);
        }
        if !bevor_abi::mutated!("link/removed-file")
            && source.dentry.is_unlinked()
            && !inode.is_nameable()
            && inode.attr()?.nlink == 0
        {
            return Err(Errno::ENOENT);
        }
        dir.inode().ops().link(dir.inode(), &parent.name, inode)?;
        dir.insert(&parent.name, Arc::clone(inode));
        if source.dentry.is_unlinked() {
            source.dentry.clear_unlinked();
        }
        Ok(())
    }

    /// unlink(2).
    ///
    /// # Errors
    /// ENOENT, EISDIR, EBUSY, EACCES, EPERM, EROFS.
    pub fn unlink(&self, start: Option<&Path>, path: &[u8], caller: Caller<'_>) -> Result<(), Errno> {
        let parent = self.parent(start, path, caller, |_| Errno::EISDIR)?;
        if parent.dir.mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        let dir = &parent.dir.dentry;
        let victim;
        {
            let _guard = dir.inode().dir_lock.lock();
            victim = lookup_locked(dir, &parent.name, &caller)?.ok_or(Errno::ENOENT)?;
            if parent.trailing {
                return Err(if victim.inode().is_dir() {
                    Errno::EISDIR
                } else {
                    bevor_abi::mutant!("unlink/trailing", Errno::ENOTDIR, Errno::EISDIR)
                });
            }
            may_delete(dir, &victim, &caller, Some(false))?;
            if self.is_busy(&parent.dir, &victim) {
                return Err(Errno::EBUSY);
            }
            dir.inode().ops().unlink(dir.inode(), &parent.name, victim.inode())?;
            victim.set_unlinked();
            dir.insert_negative_if_cached(&parent.name);
        }
        // The last reference may free the file: not under the lock.
        drop(victim);
        Ok(())
    }

    /// rmdir(2).
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, ENOTEMPTY, EINVAL ("."), EBUSY, EACCES, EPERM, EROFS.
    pub fn rmdir(&self, start: Option<&Path>, path: &[u8], caller: Caller<'_>) -> Result<(), Errno> {
        let parent = self.parent(start, path, caller, |last| match last {
            Last::Dot => bevor_abi::mutant!("rmdir/dot", Errno::EINVAL, Errno::ENOTEMPTY),
            Last::DotDot => bevor_abi::mutant!("rmdir/dotdot", Errno::ENOTEMPTY, Errno::EINVAL),
            _ => Errno::EBUSY,
        })?;
        if parent.dir.mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        let dir = &parent.dir.dentry;
        let _guard = dir.inode().dir_lock.lock();
        let victim = lookup_locked(dir, &parent.name, &caller)?.ok_or(Errno::ENOENT)?;
        may_delete(dir, &victim, &caller, Some(true))?;
        if self.is_busy(&parent.dir, &victim) {
            return Err(Errno::EBUSY);
        }
        {
            let _inner = victim.inode().dir_lock.lock();
            dir.inode().ops().rmdir(dir.inode(), &parent.name, victim.inode())?;
            victim.set_unlinked();
        }
        dir.insert_negative_if_cached(&parent.name);
        // Another may have removed what is cached in it.
        victim.invalidate();
        Ok(())
    }

    fn is_busy(&self, dir: &Path, victim: &Arc<Dentry>) -> bool {
        victim.is_mountpoint() && self.ns.is_mountpoint(&Path { mount: Arc::clone(&dir.mount), dentry: Arc::clone(victim) })
    }

    /// renameat2(2). `flags`: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2 (checked by the caller).
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn rename(
        &self,
        old: (Option<&Path>, &[u8]),
        new: (Option<&Path>, &[u8]),
        caller: Caller<'_>,
        flags: u32,
    ) -> Result<(), Errno> {
        let (noreplace, exchange) = (flags & 1 != 0, flags & 2 != 0);
        let from = self.parent(old.0, old.1, caller, |_| Errno::EBUSY)?;
        let to = self.parent(new.0, new.1, caller, |_| {
            if noreplace && !bevor_abi::mutated!("rename/noreplace-dot") { Errno::EEXIST } else { Errno::EBUSY }
        })?;
        if !Arc::ptr_eq(&from.dir.mount, &to.dir.mount) {
            return Err(Errno::EXDEV);
        }
        if from.dir.mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        let vfs = &self.ns.vfs;
        let same = Arc::ptr_eq(from.dir.dentry.inode(), to.dir.dentry.inode());
        // One rename between directories at a time: keeps the tree a tree.
        let _tree = (!same).then(|| vfs.rename_lock.lock());
        let (a, b) = (from.dir.dentry.inode(), to.dir.dentry.inode());
        let a_first = Arc::as_ptr(a) <= Arc::as_ptr(b);
        let _first = if a_first { a.dir_lock.lock() } else { b.dir_lock.lock() };
        let _second = (!same).then(|| if a_first { b.dir_lock.lock() } else { a.dir_lock.lock() });
        self.rename_locked(&from, &to, caller, noreplace, exchange)
    }

    fn rename_locked(
        &self,
        from: &Parent,
        to: &Parent,
        caller: Caller<'_>,
        noreplace: bool,
        exchange: bool,
    ) -> Result<(), Errno> {
        let (old_dir, new_dir) = (&from.dir.dentry, &to.dir.dentry);
        let source = lookup_locked(old_dir, &from.name, &caller)?.ok_or(Errno::ENOENT)?;
        let target = lookup_locked(new_dir, &to.name, &caller)?;
        if noreplace && target.is_some() && !bevor_abi::mutated!("rename/noreplace-ignored") {
            return Err(Errno::EEXIST);
        }
        if exchange && !(target.is_none() && bevor_abi::mutated!("rename/exchange-missing")) {
            let t = target.as_ref().ok_or(Errno::ENOENT)?;
            if to.trailing && !t.inode().is_dir() {
                return Err(Errno::ENOTDIR);
            }
        }
        let source_is_dir = source.inode().is_dir();
        if !source_is_dir && (from.trailing || (!exchange && to.trailing && !bevor_abi::mutated!("rename/trailing-target"))) {
            return Err(Errno::ENOTDIR);
        }
        if new_dir.is_below(&source) {
            return Err(Errno::EINVAL);
        }
        if let Some(t) = &target
            && old_dir.is_below(t)
        {
            return Err(if exchange || bevor_abi::mutated!("rename/ancestor") { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if let Some(t) = &target
            && Arc::ptr_eq(t.inode(), source.inode())
            && !bevor_abi::mutated!("rename/same-inode")
        {
            return Ok(());
        }
        may_delete(old_dir, &source, &caller, None)?;
        match &target {
            None => may_create(new_dir, &caller)?,
            Some(t) if exchange => may_delete(new_dir, t, &caller, None)?,
            Some(_) if bevor_abi::mutated!("rename/sticky-target") => may_create(new_dir, &caller)?,
            Some(t) => may_delete(new_dir, t, &caller, Some(source_is_dir))?,
        }
        if source_is_dir && !Arc::ptr_eq(old_dir, new_dir) {
            // ".." changes.
            source.inode().permission(&caller, bevor_abi::mutant!("rename/dir-write", may::WRITE, 0))?;
        }
        if self.is_busy(&from.dir, &source) || target.as_ref().is_some_and(|t| self.is_busy(&to.dir, t)) {
            return Err(Errno::EBUSY);
        }
        if !Arc::ptr_eq(old_dir.inode().sb(), new_dir.inode().sb()) {
            return Err(Errno::EXDEV);
        }
        old_dir.inode().ops().rename(&Rename {
            old_dir: old_dir.inode(),
            old_name: &from.name,
            source: source.inode(),
            new_dir: new_dir.inode(),
            new_name: &to.name,
            target: target.as_ref().map(|t| t.inode()),
            exchange,
        })?;
        if exchange {
            if let Some(t) = target.as_ref().filter(|_| !bevor_abi::mutated!("rename/exchange-cwd")) {
                t.relink(old_dir, &from.name);
            }
        } else {
            old_dir.insert_negative_if_cached(&from.name);
            if let Some(t) = &target {
                t.set_unlinked();
                t.invalidate();
            }
        }
        source.relink(new_dir, &to.name);
        Ok(())
    }

    /// Text of a symbolic link (readlink(2)); for a magic link, the path it shows.
    ///
    /// # Errors
    /// EINVAL if it is not one.
    pub fn readlink(&self, path: &Path, caller: Caller<'_>) -> Result<Vec<u8>, Errno> {
        let inode = path.dentry.inode();
        if !inode.is_symlink() {
            return Err(Errno::EINVAL);
        }
        match inode.ops().follow(inode, &caller)? {
            LinkTarget::Text(text) => Ok(text),
            LinkTarget::Magic(path) => Some(self.display(&path)).filter(|text| text.len() < PATH_MAX).ok_or(Errno::ENAMETOOLONG),
        }
    }

    /// Whether a name exists below `dir` (for tests and boot).
    ///
    /// # Errors
    /// What the file system reports.
    pub fn child(&self, dir: &Path, name: &[u8], caller: Caller<'_>) -> Result<Option<Path>, Errno> {
        Ok(lookup_child(&dir.dentry, name, &caller, false)?.map(|dentry| Path { mount: Arc::clone(&dir.mount), dentry }))
    }
}

impl Dentry {
    fn insert_negative_if_cached(self: &Arc<Self>, name: &[u8]) {
        if self.inode().sb().cache {
            self.insert_negative(name);
        } else {
            self.forget(name);
        }
    }
}

/// Whether `caller` may add a name to `dir`.
///
/// # Errors
/// ENOENT if the directory has been removed; EACCES.
pub fn may_create(dir: &Dentry, caller: &Caller<'_>) -> Result<(), Errno> {
    if dir.is_unlinked() && !bevor_abi::mutated!("rmdir/in-removed") {
        return Err(Errno::ENOENT);
    }
    dir.inode().permission(caller, may::WRITE | may::EXEC)
}

/// Whether `caller` may give `source` another name, as Linux has it with fs.protected_hardlinks: others keep nobody's file, and no
/// program that grants rights, beyond its removal.
///
/// # Errors
/// EPERM.
fn may_link(source: &Inode, caller: &Caller<'_>) -> Result<(), Errno> {
    let group_id = mode::ISGID | 0o010;
    let plain = || {
        let bits = source.mode();
        source.kind() == FileKind::Regular && bits & mode::ISUID == 0 && bits & group_id != group_id
    };
    let allowed = source.owner_or_capable(caller.creds)
        || bevor_abi::mutated!("link/others-files")
        || plain() && source.permission(caller, may::READ | may::WRITE).is_ok();
    if allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether `caller` may remove `victim` from `dir`. `directory`: whether it must be one.
fn may_delete(dir: &Dentry, victim: &Dentry, caller: &Caller<'_>, directory: Option<bool>) -> Result<(), Errno> {
    let inode = dir.inode();
    inode.permission(caller, may::WRITE | may::EXEC)?;
    if inode.mode() & mode::ISVTX != 0
        && victim.inode().uid() != caller.creds.fsuid
        && (inode.uid() != caller.creds.fsuid || bevor_abi::mutated!("unlink/sticky-dir-owner"))
        && !caller.creds.capable(Capability::Fowner)
        && !bevor_abi::mutated!("unlink/sticky")
    {
        return Err(Errno::EPERM);
    }
    match directory {
        Some(true) if !victim.inode().is_dir() => Err(Errno::ENOTDIR),
        Some(false) if victim.inode().is_dir() => Err(Errno::EISDIR),
        _ if dir.is_unlinked() => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}
