//! The sandbox's own proc file system: what stubs have mapped and open.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bevor_abi::Errno;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, ResolveFlags, StatxFlags};

use super::{Outcome, errno};
use crate::protocol::{ProcFile, Reply};

/// How many pairs fit into a packet, at 10 bytes a number at most.
const MAX_LIST: usize = 3000;

fn open_in(proc: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::openat2(proc, path, flags, Mode::empty(), resolve).map_err(errno)
}

/// Process 1 is the sentry itself, which is nobody's to look into.
fn stub(pid: i32) -> Result<i32, Errno> {
    if pid > 1 { Ok(pid) } else { Err(Errno::ESRCH) }
}

pub(super) fn open(proc: BorrowedFd<'_>, pid: i32, what: ProcFile) -> Result<Outcome, Errno> {
    let (file, flags) = match what {
        ProcFile::Mem => ("mem", OFlags::RDWR),
        ProcFile::Maps => ("maps", OFlags::RDONLY),
        ProcFile::Smaps => ("smaps", OFlags::RDONLY),
        ProcFile::Stat => ("stat", OFlags::RDONLY),
        ProcFile::SchedStat => ("schedstat", OFlags::RDONLY),
    };
    let fd = open_in(proc, &format!("{}/{file}", stub(pid)?), flags)?;
    Ok(Outcome::Reply(Reply::Fd, Some(fd)))
}

/// The numbers among a directory's names.
fn numbers(dir: BorrowedFd<'_>) -> Result<Vec<u64>, Errno> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(errno)?;
        if let Some(number) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
            found.push(number);
        }
        if found.len() > MAX_LIST {
            return Err(Errno::E2BIG);
        }
    }
    Ok(found)
}

pub(super) fn pids(proc: BorrowedFd<'_>) -> Result<Vec<(u64, u64)>, Errno> {
    let dir = open_in(proc, ".", OFlags::RDONLY | OFlags::DIRECTORY)?;
    Ok(numbers(dir.as_fd())?.into_iter().filter(|pid| *pid > 1).map(|pid| (pid, 0)).collect())
}

pub(super) fn files(proc: BorrowedFd<'_>, pid: i32) -> Result<Vec<(u64, u64)>, Errno> {
    let dir = open_in(proc, &format!("{}/fd", stub(pid)?), OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut files = Vec::new();
    for number in numbers(dir.as_fd())? {
        // The link is followed to the open file itself; nothing is opened. It may be closed by now.
        if let Ok(st) = rustix::fs::statx(&dir, number.to_string(), AtFlags::empty(), StatxFlags::INO) {
            files.push((rustix::fs::makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino));
        }
    }
    Ok(files)
}
