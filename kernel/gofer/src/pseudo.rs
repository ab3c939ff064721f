//! Pseudo file systems among the mounts: the kernel's knobs and views, which are nobody's to serve.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use bevor_abi::Errno;
use bevor_hostcall::confine::{Covers, clone_directory, clone_tree};
use rustix::fs::{FileType, Mode, OFlags};

use crate::confine::MountConfig;
use crate::server::{MountSource, is_pseudo};
use crate::transport::errno;

/// Their types, as mountinfo has them. An autofs may hold real mounts and shows nothing of its own.
const TYPES: [&str; 22] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "debugfs",
    "tracefs",
    "securityfs",
    "bpf",
    "pstore",
    "efivarfs",
    "devpts",
    "configfs",
    "selinuxfs",
    "smackfs",
    "binfmt_misc",
    "mqueue",
    "nsfs",
    "fusectl",
    "nfsd",
    "rpc_pipefs",
    "xenfs",
    "resctrl",
];

/// A mount point as mountinfo writes it: blanks and the like are three octal digits.
fn unescaped(word: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                path.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                path.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

/// The mount points of pseudo file systems in the text of a mountinfo(5), but those below another.
fn mount_points(text: &[u8]) -> Vec<PathBuf> {
    let mut points: Vec<PathBuf> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(point), Some(_)) = (words.nth(4), words.find(|word| *word == b"-")) else { continue };
        if words.next().and_then(|kind| std::str::from_utf8(kind).ok()).is_some_and(|kind| TYPES.contains(&kind)) {
            points.push(unescaped(point));
        }
    }
    points.sort();
    // A directory comes before what is below it.
    points.dedup_by(|below, above| below.starts_with(above));
    points
}

/// Copies of `mounts` as detached trees, in which mount points of pseudo file systems lead to something empty. Needs a mount namespace of
/// one's own from which nothing spreads; what is covered there stays so.
///
/// # Errors
/// ENOENT, EPERM, and others of open_tree(2) and move_mount(2).
pub(crate) fn without_pseudo(mounts: &[MountConfig]) -> Result<Vec<MountSource>, Errno> {
    let text = std::fs::read("/proc/self/mountinfo")
        .map_err(|e| errno(rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::IO)))?;
    let open =
        |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map_err(errno);
    let points = mount_points(&text);
    // What is asked for by name and is real stays, also below one of them; what is not is empty.
    let mut trees = Vec::with_capacity(mounts.len());
    let mut empty = Vec::new();
    for (number, mount) in mounts.iter().enumerate() {
        let below = points.iter().any(|point| mount.source.starts_with(point));
        let pseudo = is_pseudo(&open(&mount.source)?)?;
        if pseudo {
            empty.push((number, mount.source.is_dir()));
        }
        trees.push(if below && !pseudo { Some(clone_directory(&mount.source)?) } else { None });
    }
    let mut covered = Vec::with_capacity(points.len());
    for point in &points {
        // Something real may be mounted on top, and what is not there for this process is not there for its copies.
        let Ok(there) = open(point) else { continue };
        if is_pseudo(&there)? {
            covered.push((point, FileType::from_raw_mode(rustix::fs::fstat(&there).map_err(errno)?.st_mode).is_dir()));
        }
    }
    // From here on it cannot be seen any more what was there.
    let covers = Covers::new(covered.iter().find(|(_, directory)| *directory).map(|(point, _)| point.as_path()))?;
    for (number, directory) in empty {
        if let Some(tree) = trees.get_mut(number) {
            *tree = Some(covers.copy(directory)?);
        }
    }
    for (point, directory) in covered {
        covers.put(point, directory)?;
    }
    covers.remove()?;
    let sources = mounts.iter().zip(trees).map(|(mount, tree)| {
        let fd = match tree {
            Some(tree) => {
                bevor_hostcall::confine::restrict_tree(&tree, mount.read_only)?;
                tree
            }
            None => clone_tree(&mount.source, mount.read_only)?,
        };
        Ok(MountSource { fd, read_only: mount.read_only })
    });
    sources.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_pseudo_mounts_are_found() {
        let text = b"22 26 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
            23 26 0:21 / /proc rw shared:12 master:3 - proc proc rw\n\
            24 22 0:5 / /sys/kernel/debug rw - debugfs debugfs rw\n\
            26 1 8:2 / / rw - ext4 /dev/sda2 rw\n\
            27 26 0:30 / /run/a\\040b rw - nsfs nsfs rw\n\
            28 26 0:31 / /sysroot rw - tmpfs tmpfs rw\n\
            29 26 0:32 / /home rw - autofs systemd-1 rw\n\
            30 26 0:33 / /sysother rw - cgroup2 none rw\nbroken line\n";
        let found: Vec<_> = mount_points(text).into_iter().map(|path| path.display().to_string()).collect();
        assert_eq!(found, ["/proc", "/run/a b", "/sys", "/sysother"]);
    }
}
