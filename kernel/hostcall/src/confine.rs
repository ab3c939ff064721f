//! Taking away what a process doesn't need: its root directory, capabilities, privileges to come.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use bevor_abi::Errno;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree, unmount,
};
pub use rustix::thread::CapabilitySet;
use rustix::thread::CapabilitySets;

use crate::fd::check;

fn errno(e: rustix::io::Errno) -> Errno {
    Errno::from_code(e.raw_os_error()).unwrap_or(Errno::EIO)
}

/// A detached copy of the mounts at and below `path`, read-only if `read_only`. Needs CAP_SYS_ADMIN over the mount namespace.
///
/// # Errors
/// ENOENT, EPERM, and others of open_tree(2) and mount_setattr(2).
pub fn clone_tree(path: &Path, read_only: bool) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags).map_err(errno)?;
    // Changes of the host's mounts reach the copy no more. Device nodes are of no use to anyone who holds it.
    restrict_tree(&tree, read_only)?;
    Ok(tree)
}

/// A detached copy of the mount at `path` alone, from that directory on: no path leads out of it upwards. Needs CAP_SYS_ADMIN over the
/// mount namespace.
///
/// # Errors
/// Those of open_tree(2).
pub fn clone_directory(path: &Path) -> Result<OwnedFd, Errno> {
    open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC).map_err(errno)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes a detached tree private, and its mounts read-only if `read_only`, without devices and set-id bits in any case.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn restrict_tree(tree: &OwnedFd, read_only: bool) -> Result<(), Errno> {
    const RDONLY: u64 = 0x1;
    const NOSUID: u64 = 0x2;
    const NODEV: u64 = 0x4;
    const MS_PRIVATE: u64 = 1 << 18;
    let attributes =
        MountAttr { set: NOSUID | NODEV | if read_only { RDONLY } else { 0 }, clear: 0, propagation: MS_PRIVATE, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: an empty NUL-terminated path and a structure of the size that is passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Lets nothing that is mounted from now on spread to or from other mount namespaces. Needs a mount namespace of one's own.
///
/// # Errors
/// EINVAL where the root directory is no mount point.
pub fn private_mounts() -> Result<(), Errno> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(errno)
}

/// An empty directory and an empty file, both read-only, to be mounted over what nobody is to look into.
#[derive(Debug)]
pub struct Covers {
    mount: OwnedFd,
    on_root: bool,
}

impl Covers {
    /// Needs a mount namespace of one's own. Only what is attached can be copied: they lie on the directory `place`, on which the caller puts
    /// one of them, or else on the root, until [`Covers::remove`].
    ///
    /// # Errors
    /// The errno of the mount call that failed.
    pub fn new(place: Option<&Path>) -> Result<Self, Errno> {
        let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(errno)?;
        fsconfig_create(fs.as_fd()).map_err(errno)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(errno)?;
        rustix::fs::mkdirat(&mount, Self::name(true), Mode::from_raw_mode(0o555)).map_err(errno)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&mount, Self::name(false), flags, Mode::from_raw_mode(0o444)).map_err(errno)?;
        // Nobody comes by on top of the root: every process is below it already.
        let at = place.unwrap_or(Path::new("/"));
        move_mount(mount.as_fd(), "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(errno)?;
        Ok(Self { mount, on_root: place.is_none() })
    }

    fn name(directory: bool) -> &'static str {
        if directory { "directory" } else { "file" }
    }

    /// A detached mount of the empty directory or file.
    ///
    /// # Errors
    /// As [`Covers::new`].
    pub fn copy(&self, directory: bool) -> Result<OwnedFd, Errno> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let copy = open_tree(&self.mount, Self::name(directory), flags).map_err(errno)?;
        restrict_tree(&copy, true)?;
        Ok(copy)
    }

    /// Mounts the empty directory or file on `point`.
    ///
    /// # Errors
    /// As [`Covers::new`].
    pub fn put(&self, point: &Path, directory: bool) -> Result<(), Errno> {
        let copy = self.copy(directory)?;
        move_mount(copy.as_fd(), "", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(errno)
    }

    /// Takes them from the root again, if they are there, where [`empty_root`] would take them for the old root and leave that mounted. What
    /// was copied stays. The current directory is the root then. (The host waits for all its CPUs in this: for milliseconds if they are busy.)
    ///
    /// # Errors
    /// The errno of the call that failed.
    pub fn remove(self) -> Result<(), Errno> {
        if !self.on_root {
            return Ok(());
        }
        rustix::process::fchdir(&self.mount).map_err(errno)?;
        unmount(".", UnmountFlags::DETACH).map_err(errno)?;
        rustix::process::chdir("/").map_err(errno)
    }
}

/// A detached proc file system of the calling process's pid namespace, with processes and nothing else: no knobs of the host's. Needs CAP_SYS_ADMIN over that namespace.
///
/// # Errors
/// EPERM where the host's own /proc is partly covered (in most containers).
pub fn detached_proc() -> Result<OwnedFd, Errno> {
    let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).map_err(errno)?;
    fsconfig_set_string(fs.as_fd(), "subset", "pid").map_err(errno)?;
    fsconfig_create(fs.as_fd()).map_err(errno)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(errno)
}

/// Makes an empty read-only directory the root and the current directory, and lets go of every mount. Needs a mount namespace
/// of one's own.
///
/// # Errors
/// The errno of the mount call that failed.
pub fn empty_root() -> Result<(), Errno> {
    private_mounts()?;
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(errno)?;
    fsconfig_create(fs.as_fd()).map_err(errno)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(errno)?;
    move_mount(root.as_fd(), "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(errno)?;
    rustix::process::fchdir(&root).map_err(errno)?;
    rustix::process::pivot_root(".", ".").map_err(errno)?;
    // The old root lies on top of the new one now.
    unmount(".", UnmountFlags::DETACH).map_err(errno)?;
    rustix::process::chdir("/").map_err(errno)
}

/// Keeps only `keep` of the capabilities, in every set, for good.
///
/// # Errors
/// EPERM if `keep` has some that the process lacks.
pub fn limit_capabilities(keep: CapabilitySet) -> Result<(), Errno> {
    rustix::thread::clear_ambient_capability_set().map_err(errno)?;
    let held = rustix::thread::capabilities(None).map_err(errno)?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for number in 0..64 {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if keep.contains(one) {
                continue;
            }
            match rustix::thread::remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                // The host knows no capability of this number or beyond.
                Err(rustix::io::Errno::INVAL) => break,
                Err(e) => return Err(errno(e)),
            }
        }
    }
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(errno)
}

/// No execve(2) grants privileges any more.
///
/// # Errors
/// None in practice.
pub fn no_new_privileges() -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true).map_err(errno)
}
