//! Device files and /proc/self.

use libc::{AT_FDCWD, O_RDONLY, O_RDWR, O_WRONLY};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("dev/null", &["read", "write", "seek", "stat"], null),
    probe("dev/zero", &["read", "write", "mmap_shared", "mmap_private"], zero),
    probe("dev/full", &["read", "write", "nothing"], full),
    probe("dev/random", &["urandom", "random", "write"], random),
    probe("procfs/links", &["exe", "cwd", "root", "fd", "fd_deleted", "not_link"], links),
    probe("procfs/fd", &["entries", "after_close", "open_again", "missing"], fd_dir),
    probe("procfs/maps", &["mapping", "file", "stack", "unmapped"], maps),
    probe("procfs/text", &["cmdline", "comm", "stat", "status", "statm", "missing"], texts),
    probe("stat/statfs", &["tmp", "same", "dev", "proc", "pipe", "missing", "below_file", "ebadf", "efault"], statfs),
    probe(
        "stat/old_times",
        &["utime", "utime_now", "utimes", "bad_usec", "futimesat", "futimesat_fd", "missing", "missing_utimes", "ebadf"],
        old_times,
    ),
    probe(
        "misc/flush",
        &["sync", "syncfs", "range", "bad_flags", "range_pipe", "advise", "bad_advice", "advise_pipe", "syncfs_ebadf"],
        flush,
    ),
    probe("procfs/other", &["child", "gone", "self_is_pid", "thread_self", "task"], other),
];

fn null() {
    let f = open(c"/dev/null", O_RDWR);
    let mut d = [7_u8; 4];
    let r = sys!(read, f, &mut d, 4);
    obs("read", r).state("buffer", bytes(d));
    obs("write", sys!(write, f, b"gone", 4)).state("read_back", int(sys!(read, f, &mut d, 4).raw));
    obs("seek", sys!(lseek, f, 100, libc::SEEK_SET)).state("offset", int(tell(f)));
    let st = fstat(f);
    obs("stat", answer("fstat", 0))
        .state("type", hex(st.st_mode & libc::S_IFMT))
        .state("rdev", hex(st.st_rdev))
        .state("size", int(st.st_size));
}

fn zero() {
    let f = open(c"/dev/zero", O_RDWR);
    let mut d = [7_u8; 8];
    let r = sys!(read, f, &mut d, 5);
    obs("read", r).arg("count", int(5)).state("buffer", bytes(d));
    obs("write", sys!(write, f, b"gone", 4)).arg("count", int(4));
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let r = sys!(mmap, 0, 4096, prot, libc::MAP_SHARED, f, 0);
    let at = r.must_usize();
    in_child(|| {
        poke(at, 9);
        0
    });
    obs("mmap_shared", r)
        .addr()
        .arg("flags", hex(libc::MAP_SHARED))
        .state("from_child", uint(peek(at)))
        .state("last", uint(peek(at + 4095)));
    let r = sys!(mmap, 0, 4096, prot, libc::MAP_PRIVATE, f, 0);
    let at = r.must_usize();
    in_child(|| {
        poke(at, 9);
        0
    });
    obs("mmap_private", r).addr().arg("flags", hex(libc::MAP_PRIVATE)).state("from_child", uint(peek(at)));
}

fn full() {
    let f = open(c"/dev/full", O_RDWR);
    let mut d = [7_u8; 4];
    let r = sys!(read, f, &mut d, 4);
    obs("read", r).state("buffer", bytes(d));
    obs("write", sys!(write, f, b"x", 1));
    obs("nothing", sys!(write, f, b"x", 0)).arg("count", int(0));
}

fn random() {
    for (id, path) in [("urandom", c"/dev/urandom"), ("random", c"/dev/random")] {
        let f = open(path, O_RDONLY);
        let (mut a, mut b) = ([0_u8; 64], [0_u8; 64]);
        let r = sys!(read, f, &mut a, 64);
        sys!(read, f, &mut b, 64).must();
        obs(id, r).state("differ", yes(a != b)).state("zeroes", yes(a.iter().filter(|x| **x == 0).count() < 20));
    }
    let f = open(c"/dev/urandom", O_WRONLY);
    obs("write", sys!(write, f, b"seed", 4));
}

fn link(path: &std::ffi::CStr) -> (Answer, String) {
    let mut to = [0_u8; 4096];
    let r = sys!(readlink, path, &mut to, 4096);
    (r, String::from_utf8_lossy(&to[..r.count()]).into_owned())
}

fn cstring(text: String) -> std::ffi::CString {
    std::ffi::CString::new(text).unwrap_or_default()
}

fn links() {
    let (r, exe) = link(c"/proc/self/exe");
    obs("exe", r).ret(yes(r.raw > 0)).state("program", yes(exe.ends_with("/probes-rust")));
    let mut cwd = [0_u8; 4096];
    let n = sys!(getcwd, &mut cwd, 4096).must_usize();
    let (r, to) = link(c"/proc/self/cwd");
    obs("cwd", r).ret(yes(r.raw > 0)).state("same", yes(to.as_bytes() == &cwd[..n - 1]));
    let (r, to) = link(c"/proc/self/root");
    obs("root", r).state("to", text(to));
    put(c"f", b"x");
    let f = open(c"f", O_RDONLY);
    let (r, to) = link(&cstring(format!("/proc/self/fd/{f}")));
    let tail = |s: &str| s.rsplit('/').next().unwrap_or_default().to_owned();
    obs("fd", r).ret(yes(r.raw > 0)).state("tail", text(tail(&to)));
    sys!(unlink, c"f").must();
    let (r, to) = link(&cstring(format!("/proc/self/fd/{f}")));
    obs("fd_deleted", r).ret(yes(r.raw > 0)).state("tail", text(tail(&to)));
    obs("not_link", link(c"/proc/self/status").0);
}

fn fd_names() -> Vec<i32> {
    let flags = O_RDONLY | libc::O_DIRECTORY;
    let opened = sys!(openat, AT_FDCWD, c"/proc/self/fd", flags);
    if opened.errno() != 0 {
        return Vec::new();
    }
    let d = opened.as_i32();
    let mut names = Vec::new();
    let mut buffer = vec![0_u8; 4096];
    loop {
        let n = sys!(getdents64, d, buffer.as_mut_slice(), 4096).count();
        if n == 0 {
            break;
        }
        let mut rest = &buffer[..n];
        while rest.len() > 19 {
            let len = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let name = rest[19..len].split(|b| *b == 0).next().unwrap_or_default();
            if let Ok(n) = String::from_utf8_lossy(name).parse::<i32>() {
                names.push(n);
            }
            rest = &rest[len..];
        }
    }
    sys!(close, d).must();
    names.retain(|n| *n != d);
    names
}

fn fd_dir() {
    put(c"f", b"hello");
    let before = fd_names();
    let f = open(c"f", O_RDONLY);
    let after = fd_names();
    let new: Vec<i32> = after.iter().copied().filter(|n| !before.contains(n)).collect();
    obs("entries", answer("getdents64", 0))
        .state("standard", yes([0, 1, 2].iter().all(|n| before.contains(n))))
        .state("new", yes(new == [f]));
    let path = cstring(format!("/proc/self/fd/{f}"));
    sys!(lseek, f, 3, libc::SEEK_SET).must();
    let r = sys!(openat, AT_FDCWD, path.as_c_str(), O_RDWR);
    obs("open_again", r).fd().state("own_offset", int(tell(r.as_i32()))).state("status", hex(status_flags(r.as_i32())));
    let r = sys!(close, f);
    obs("after_close", r).state("listed", yes(fd_names().contains(&f)));
    obs("missing", sys!(openat, AT_FDCWD, path.as_c_str(), O_RDONLY)).fd();
}

/// The line of /proc/self/maps that holds `at`: permissions, offset, path.
fn map_line(at: usize) -> Option<(String, String, String)> {
    let maps = String::from_utf8_lossy(&get(c"/proc/self/maps")).into_owned();
    maps.lines().find_map(|line| {
        let mut parts = line.split_ascii_whitespace();
        let (from, to) = parts.next()?.split_once('-')?;
        let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
        let perms = parts.next()?.to_owned();
        let offset = parts.next()?.to_owned();
        range.contains(&at).then(|| (perms, offset, parts.nth(2).unwrap_or_default().to_owned()))
    })
}

fn maps() {
    let at = map_pages(2);
    sys!(mprotect, at, 4096, libc::PROT_READ).must();
    let show = |line: Option<(String, String, String)>| match line {
        None => text("none"),
        Some((perms, offset, path)) => list([text(perms), text(offset), text(path.rsplit('/').next().unwrap_or_default())]),
    };
    let r = sys!(openat, AT_FDCWD, c"/proc/self/maps", O_RDONLY);
    obs("mapping", r).fd().state("first", show(map_line(at))).state("second", show(map_line(at + 4096)));
    let page = vec![b'm'; 8192];
    put(c"mapped", &page);
    let f = open(c"mapped", O_RDWR);
    let r = sys!(mmap, 0, 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, f, 4096);
    obs("file", r).addr().arg("offset", int(4096)).state("line", show(map_line(r.must_usize())));
    let here = 0_u8;
    let stack = map_line(std::ptr::from_ref(&here).addr());
    obs("stack", answer("read", 0)).state("line", show(stack.map(|(perms, _, path)| (perms, String::new(), path))));
    let r = sys!(munmap, at, 8192);
    obs("unmapped", r).state("line", show(map_line(at)));
}

fn texts() {
    let parts = |data: &[u8]| list(data.split(|b| *b == 0).filter(|p| !p.is_empty()).skip(1).map(text).collect::<Vec<_>>());
    obs("cmdline", answer("read", 0)).state("arguments", parts(&get(c"/proc/self/cmdline")));
    obs("comm", answer("read", 0)).state("comm", text(get(c"/proc/self/comm")));
    let stat = String::from_utf8_lossy(&get(c"/proc/self/stat")).into_owned();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    obs("stat", answer("read", 0))
        .state("pid", yes(stat.starts_with(&format!("{} (probes-rust)", getpid()))))
        .state("state", text(fields.first().copied().unwrap_or_default()))
        .state("ppid", yes(fields.get(1).is_some_and(|f| *f == sys!(getppid).raw.to_string())))
        .state("threads", text(fields.get(17).copied().unwrap_or_default()))
        .state("fields", int(fields.len() + 2));
    let keys = ["Name", "State", "Threads", "SigPnd", "SigBlk", "SigIgn", "SigCgt", "Umask"];
    obs("status", answer("read", 0))
        .state("values", map(keys.map(|k| (k, text(status_of_self(k))))))
        .state("tgid", yes(status_of_self("Tgid") == getpid().to_string()))
        .state("ppid", yes(status_of_self("PPid") == sys!(getppid).raw.to_string()));
    let statm = String::from_utf8_lossy(&get(c"/proc/self/statm")).into_owned();
    let pages: Vec<i64> = statm.split_ascii_whitespace().filter_map(|f| f.parse().ok()).collect();
    obs("statm", answer("read", 0))
        .state("fields", int(pages.len()))
        .state("resident", yes(pages.get(1).is_some_and(|r| *r > 0 && *r <= pages[0])));
    obs("missing", sys!(openat, AT_FDCWD, c"/proc/self/nothing", O_RDONLY)).fd();
}

fn other() {
    let child = fork(|| {
        loop {
            let _ = sys!(pause);
        }
    });
    await_sleep(child, child);
    let status = cstring(format!("/proc/{child}/status"));
    let read = || String::from_utf8_lossy(&get(&status)).into_owned();
    let line = |key: &str| read().lines().find_map(|l| l.strip_prefix(key).map(|v| v.trim().to_owned())).unwrap_or_default();
    obs("child", answer("read", 0))
        .state("ppid", yes(line("PPid:") == getpid().to_string()))
        .state("state", text(line("State:")));
    sys!(kill, child, libc::SIGKILL).must();
    reap(child);
    obs("gone", sys!(openat, AT_FDCWD, status.as_c_str(), O_RDONLY)).fd();
    let (r, to) = link(c"/proc/self");
    obs("self_is_pid", r).ret(yes(r.raw > 0)).state("same", yes(to == getpid().to_string()));
    let (r, to) = link(c"/proc/thread-self");
    obs("thread_self", r).ret(yes(r.raw > 0)).state("same", yes(to == format!("{0}/task/{0}", getpid())));
    obs("task", answer("newfstatat", -lstat_errno(&cstring(format!("/proc/self/task/{}", getpid())))));
}

fn statfs() {
    let mut s = libc::statfs::zero();
    let r = sys!(statfs, c".", &mut s);
    obs("tmp", r)
        .state("type", hex(s.f_type))
        .state("block", int(s.f_bsize))
        .state("name_length", int(s.f_namelen))
        .state("ordered", yes(s.f_bavail <= s.f_bfree && s.f_bfree <= s.f_blocks));
    let d = open(c".", O_RDONLY);
    let mut f = libc::statfs::zero();
    let r = sys!(fstatfs, d, &mut f);
    obs("same", r).state("type", yes(s.f_type == f.f_type)).state("name_length", int(f.f_namelen)).state("block", int(f.f_bsize));
    let kind = |path| {
        let mut s = libc::statfs::zero();
        (sys!(statfs, path, &mut s), s)
    };
    let (r, s) = kind(c"/dev/null");
    obs("dev", r).state("name_length", int(s.f_namelen));
    let (r, s) = kind(c"/proc/self");
    obs("proc", r).state("type", hex(s.f_type)).state("blocks", uint(s.f_blocks));
    let mut s = libc::statfs::zero();
    let r = sys!(fstatfs, pipe(0)[0], &mut s);
    obs("pipe", r).state("type", hex(s.f_type));
    obs("missing", kind(c"missing").0);
    put(c"f", b"x");
    obs("below_file", kind(c"f/x").0);
    obs("ebadf", sys!(fstatfs, 4000, &mut s));
    obs("efault", sys!(statfs, c".", NOWHERE));
}

fn old_times() {
    put(c"f", b"x");
    let times = || {
        let st = lstat(c"f");
        list([int(st.st_atime), int(st.st_atime_nsec), int(st.st_mtime), int(st.st_mtime_nsec)])
    };
    let r = sys!(utime, c"f", &[1_000_000_001_i64, 1_000_000_002]);
    obs("utime", r).state("times", times());
    let before = clock_ns(libc::CLOCK_REALTIME) / 1_000_000_000;
    let r = sys!(utime, c"f", 0);
    let st = lstat(c"f");
    obs("utime_now", r).state("atime", dur(st.st_atime - before, -1, 10)).state("mtime", dur(st.st_mtime - before, -1, 10));
    let r = sys!(utimes, c"f", &[1_000_000_003_i64, 4, 1_000_000_005, 6]);
    obs("utimes", r).state("times", times());
    let r = sys!(utimes, c"f", &[7_i64, 1_000_000, 7, 0]);
    obs("bad_usec", r).arg("usec", int(1_000_000)).state("times", times());
    let r = sys!(futimesat, AT_FDCWD, c"f", &[1_000_000_007_i64, 8, 1_000_000_009, 10]);
    obs("futimesat", r).state("times", times());
    let f = open(c"f", O_RDONLY);
    let r = sys!(futimesat, f, 0, &[1_000_000_011_i64, 12, 1_000_000_013, 14]);
    obs("futimesat_fd", r).state("times", times());
    obs("missing", sys!(utime, c"missing", 0));
    obs("missing_utimes", sys!(utimes, c"missing", 0));
    obs("ebadf", sys!(futimesat, 4000, c"f", 0));
}

fn flush() {
    put(c"f", b"some data");
    let f = open(c"f", O_RDWR);
    let p = pipe(0);
    obs("sync", sys!(sync));
    obs("syncfs", sys!(syncfs, f)).state("data", bytes(get(c"f")));
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE;
    obs("range", sys!(sync_file_range, f, 0, 4, flags)).arg("flags", hex(flags)).state("data", bytes(get(c"f")));
    obs("bad_flags", sys!(sync_file_range, f, 0, 4, 64)).arg("flags", hex(64));
    obs("range_pipe", sys!(sync_file_range, p[1], 0, 4, 0));
    obs("advise", sys!(fadvise64, f, 0, 0, libc::POSIX_FADV_DONTNEED)).state("data", bytes(get(c"f")));
    obs("bad_advice", sys!(fadvise64, f, 0, 0, 99)).arg("advice", int(99));
    obs("advise_pipe", sys!(fadvise64, p[0], 0, 0, libc::POSIX_FADV_NORMAL));
    obs("syncfs_ebadf", sys!(syncfs, 4000));
}
