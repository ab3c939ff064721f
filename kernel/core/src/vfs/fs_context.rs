//! Root, working directory, umask and mount namespace of a task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bevor_abi::Errno;
use parking_lot::RwLock;

use super::mount::{MountNamespace, Path};

#[derive(Clone, Debug)]
struct Places {
    root: Path,
    cwd: Path,
}

/// Root, working directory, umask and mount namespace of a task (shared under CLONE_FS).
#[derive(Debug)]
pub struct FsContext {
    /// The mounts that the task sees.
    pub ns: Arc<MountNamespace>,
    places: RwLock<Places>,
    umask: AtomicU32,
}

impl FsContext {
    /// At the namespace's root, umask 022.
    #[must_use]
    pub fn new(ns: Arc<MountNamespace>) -> Arc<Self> {
        let root = ns.root();
        Arc::new(Self { ns, places: RwLock::new(Places { cwd: root.clone(), root }), umask: AtomicU32::new(0o022) })
    }

    /// A copy for fork(2) or unshare(CLONE_FS).
    #[must_use]
    pub fn fork(&self) -> Arc<Self> {
        Arc::new(Self {
            ns: Arc::clone(&self.ns),
            places: RwLock::new(self.places.read().clone()),
            umask: AtomicU32::new(bevor_abi::mutant!("fork/umask", self.umask(), 0o022)),
        })
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Path {
        self.places.read().root.clone()
    }

    /// The working directory.
    #[must_use]
    pub fn cwd(&self) -> Path {
        self.places.read().cwd.clone()
    }

    /// Both at one moment.
    #[must_use]
    pub fn root_and_cwd(&self) -> (Path, Path) {
        let places = self.places.read();
        (places.root.clone(), places.cwd.clone())
    }

    /// The root directory, and the working directory unless the caller has another place to start from.
    pub(super) fn root_and_start(&self, start: Option<&Path>, absolute: bool) -> (Path, Path) {
        let places = self.places.read();
        let root = places.root.clone();
        let start = match start {
            Some(start) => start.clone(),
            // An absolute path never asks for the working directory.
            None if absolute => root.clone(),
            None => places.cwd.clone(),
        };
        (root, start)
    }

    /// chroot(2), checks done.
    pub fn set_root(&self, root: Path) {
        let old = std::mem::replace(&mut self.places.write().root, root);
        drop(old);
    }

    /// chdir(2), checks done.
    pub fn set_cwd(&self, cwd: Path) {
        let old = std::mem::replace(&mut self.places.write().cwd, cwd);
        drop(old);
    }

    /// The file mode creation mask.
    #[must_use]
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Replaces the umask; returns the old one.
    pub fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & bevor_abi::mutant!("umask/special-bits", 0o777, 0o7777), Ordering::Relaxed)
    }

    /// The working directory as getcwd(2) gives it, without NUL.
    ///
    /// # Errors
    /// ENOENT if it has been removed, ENAMETOOLONG if it lies too deep.
    pub fn getcwd(&self) -> Result<Vec<u8>, Errno> {
        let (root, cwd) = self.root_and_cwd();
        if cwd.dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let (mut text, reachable) = render(&cwd, &root);
        if text.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if !reachable && !bevor_abi::mutated!("getcwd/unreachable") {
            text.splice(0..0, b"(unreachable)".iter().copied());
        }
        Ok(text)
    }

    /// A path as /proc shows it: from the task's root, with " (deleted)" where that is so.
    #[must_use]
    pub fn display(&self, path: &Path) -> Vec<u8> {
        display_from(path, &self.root())
    }
}

/// `path` as seen from `root`, as /proc/PID/{exe,cwd,fd/N,maps} show it.
#[must_use]
pub fn display_from(path: &Path, root: &Path) -> Vec<u8> {
    let dentry = &path.dentry;
    if dentry.parent().is_none() && path.mount.parent().is_none() && path != root && path.mount.id == 0 {
        // An anonymous object: its name says it all.
        return dentry.name().to_vec();
    }
    let (mut text, _) = render(path, root);
    if dentry.is_unlinked() && !bevor_abi::mutated!("getcwd/deleted") {
        text.extend_from_slice(b" (deleted)");
    }
    text
}

/// Longest path, with its NUL.
pub(super) const PATH_MAX: usize = 4096;

/// The absolute path, and whether `root` was met on the way up. Of one that is longer than a path can be there is only the end, at
/// least `PATH_MAX` bytes of it: nobody can use it, and trees may be of any depth.
fn render(path: &Path, root: &Path) -> (Vec<u8>, bool) {
    let mut parts: Vec<Arc<[u8]>> = Vec::new();
    let mut len = 0;
    let mut at = path.clone();
    let reachable = loop {
        if at == *root {
            break true;
        }
        if Arc::ptr_eq(&at.dentry, &at.mount.root) {
            match at.mount.parent() {
                Some(up) => at = up,
                None => break false,
            }
            continue;
        }
        let (parent, name) = at.dentry.link();
        len += name.len() + 1;
        parts.push(name);
        if len >= PATH_MAX {
            break true;
        }
        match parent {
            Some(dentry) => at.dentry = dentry,
            None => break false,
        }
    };
    let mut text = Vec::new();
    for part in parts.iter().rev() {
        text.push(b'/');
        text.extend_from_slice(part);
    }
    if text.is_empty() {
        text.push(b'/');
    }
    (text, reachable)
}
