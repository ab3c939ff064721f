//! How much the sandbox's kernel may keep in memory for applications, and what of it is in use.

use std::path::Path;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_core::memory::InUse;
use bevor_core::vfs::{HostInode, Vfs, device_numbers};
use bevor_gofer::{Gofer, ProcFile};
use bevor_hostcall::file;
use rustc_hash::FxHashSet;

/// The longest text of mappings that is read.
const MAPS_LIMIT: usize = 64 << 20;
/// The longest line of it: a path of PATH_MAX bytes, of which each may be written as four.
const LINE_LIMIT: usize = 32 * 1024;
/// How often processes that appear during a look are followed.
const ROUNDS: u32 = 4;

/// Half of the host's memory, or of what the command's control group may use: what a tmpfs has by default.
pub(crate) fn default_limit() -> u64 {
    let host = bevor_hostcall::host::sysinfo().total;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let limits = Path::new("/sys/fs/cgroup").join(path);
    let limits = limits.ancestors().take_while(|dir| dir.starts_with("/sys/fs/cgroup"));
    let least = limits.filter_map(|dir| std::fs::read_to_string(dir.join("memory.max")).ok()?.trim().parse().ok()).min();
    least.map_or(host, |group: u64| group.min(host)) / 2
}

/// A number of bytes with a unit of 1024 at most: `512M`.
pub(crate) fn parse_size(word: &str) -> Result<u64, &'static str> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match word.get(digits.len()..) {
        Some("") => 1,
        Some("K" | "k") => 1 << 10,
        Some("M" | "m") => 1 << 20,
        Some("G" | "g") => 1 << 30,
        _ => return Err("expected a number of bytes, or one with K, M or G"),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number of bytes, or one with K, M or G")?;
    number.checked_mul(factor).ok_or("too large")
}

/// Lets `vfs`'s budget find out through the gofer which files stubs have still mapped.
pub(crate) fn watch(vfs: &Arc<Vfs>, gofer: &Arc<Gofer>) {
    let (owner, gofer) = (Arc::downgrade(vfs), Arc::clone(gofer));
    let look: InUse = Box::new(move |wanted| {
        let kept = in_use(&gofer, wanted)?;
        if let Some(vfs) = owner.upgrade() {
            vfs.forget_mappings(wanted.difference(&kept));
        }
        Ok(kept)
    });
    vfs.memory().set_in_use(look);
}

/// Which of `wanted` a stub has mapped or open.
///
/// A process is looked at for descriptors first, then for mappings, and new processes are looked at until there are none: so
/// a file cannot slip through while it is mapped or inherited.
fn in_use(gofer: &Gofer, wanted: &FxHashSet<HostInode>) -> Result<FxHashSet<HostInode>, Errno> {
    let mut found = FxHashSet::default();
    let mut seen = FxHashSet::default();
    for _ in 0..ROUNDS {
        let fresh: Vec<i32> = gofer.proc_pids()?.into_iter().filter(|pid| !seen.contains(pid)).collect();
        if fresh.is_empty() {
            return Ok(found);
        }
        for pid in fresh {
            seen.insert(pid);
            match files_of(gofer, pid) {
                Ok(files) => found.extend(files.into_iter().filter(|file| wanted.contains(file))),
                // Gone by now.
                Err(Errno::ENOENT | Errno::ESRCH) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Err(Errno::EAGAIN)
}

/// What a stub has open or mapped.
fn files_of(gofer: &Gofer, pid: i32) -> Result<Vec<HostInode>, Errno> {
    let open = gofer.proc_files(pid)?;
    let mut files: Vec<HostInode> = open.into_iter().map(|(dev, ino)| (device_numbers(dev), ino)).collect();
    let maps = gofer.proc_open(pid, ProcFile::Maps)?;
    let (mut line, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    let mut left = MAPS_LIMIT;
    loop {
        let n = file::read(&maps, &mut chunk)?;
        if n == 0 {
            return Ok(files);
        }
        // No process has so many mappings with so long names: the gofer may have been taken over, and this be another file.
        left = left.checked_sub(n).filter(|_| line.len() <= LINE_LIMIT).ok_or(Errno::EFBIG)?;
        for part in chunk[..n].split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if line.ends_with(b"\n") {
                files.extend(mapped_file(&line));
                line.clear();
            }
        }
    }
}

/// The file of a line of /proc/PID/maps.
fn mapped_file(line: &[u8]) -> Option<HostInode> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(3);
    let (major, minor) = words.next()?.split_once(':')?;
    let dev = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let ino = words.next()?.parse().ok()?;
    (ino != 0).then_some((dev, ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("64K"), Ok(65536));
        assert_eq!(parse_size("2G"), Ok(2 << 30));
        for bad in ["", "M", "-1", "1T", "1MM", "1.5G", "99999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_is_at_most_half_of_the_hosts_memory() {
        let limit = default_limit();
        assert!(limit > 0 && limit <= bevor_hostcall::host::sysinfo().total / 2);
    }

    #[test]
    fn mapped_files_are_found_in_maps() {
        let line = b"7f0000000000-7f0000001000 rw-s 00000000 00:01 1037                       /memfd:tmpfs (deleted)\n";
        assert_eq!(mapped_file(line), Some(((0, 1), 1037)));
        assert_eq!(mapped_file(b"7f00-7f01 rw-p 00000000 00:00 0 [stack]\n"), None);
    }
}
