//! fcntl: duplicates, flags, record locks; flock.

use libc::{F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, FD_CLOEXEC, O_RDWR};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("fcntl/dupfd", &["minimum", "taken", "cloexec", "too_high", "ebadf"], dupfd),
    probe("fcntl/fd_flags", &["set", "clear", "dup_is_apart", "unknown_op"], fd_flags),
    probe("fcntl/locks", &["child_blocked", "child_sees", "beside", "closed_drops", "bad_range"], locks),
    probe("fcntl/ofd_locks", &["conflict", "same_description", "unlocked"], ofd_locks),
    probe("fcntl/flock", &["exclusive", "second", "shared", "converted", "bad_op"], flock),
    probe("fcntl/pipe_size", &["get", "set", "readback"], pipe_size),
];

fn dupfd() {
    put(c"f", b"x");
    let f = open(c"f", O_RDWR);
    let r = sys!(fcntl, f, F_DUPFD, 50);
    obs("minimum", r)
        .arg("min", int(50))
        .state("size", int(fstat(r.as_i32()).st_size))
        .state("cloexec", hex(sys!(fcntl, 50, F_GETFD).raw));
    obs("taken", sys!(fcntl, f, F_DUPFD, 50)).arg("min", int(50));
    let r = sys!(fcntl, f, F_DUPFD_CLOEXEC, 60);
    obs("cloexec", r).arg("min", int(60)).state("cloexec", hex(sys!(fcntl, 60, F_GETFD).raw));
    obs("too_high", sys!(fcntl, f, F_DUPFD, 1 << 30)).arg("min", int(1 << 30));
    obs("ebadf", sys!(fcntl, 4000, F_DUPFD, 0)).arg("fd", int(4000));
}

fn fd_flags() {
    put(c"f", b"x");
    let f = open(c"f", O_RDWR);
    let r = sys!(fcntl, f, F_SETFD, FD_CLOEXEC);
    obs("set", r).arg("flags", hex(FD_CLOEXEC)).state("flags", hex(sys!(fcntl, f, F_GETFD).raw));
    let d = sys!(dup, f).must_i32();
    let r = sys!(fcntl, f, F_SETFD, 0);
    obs("clear", r).arg("flags", hex(0)).state("flags", hex(sys!(fcntl, f, F_GETFD).raw));
    let r = sys!(fcntl, d, F_SETFD, FD_CLOEXEC);
    obs("dup_is_apart", r).arg("flags", hex(FD_CLOEXEC)).state("first", hex(sys!(fcntl, f, F_GETFD).raw));
    obs("unknown_op", sys!(fcntl, f, 9999)).arg("op", int(9999));
}

fn lock(kind: i32, start: i64, len: i64) -> libc::flock {
    let mut l = libc::flock::zero();
    l.l_type = i16::try_from(kind).unwrap_or(-1);
    l.l_start = start;
    l.l_len = len;
    l
}

fn locks() {
    put(c"f", b"0123456789");
    let f = open(c"f", O_RDWR);
    sys!(fcntl, f, libc::F_SETLK, &lock(libc::F_WRLCK, 2, 4)).must();
    let page = shared();
    in_child(|| {
        let g = open(c"f", O_RDWR);
        store(page, 0, sys!(fcntl, g, libc::F_SETLK, &lock(libc::F_RDLCK, 5, 3)).raw);
        let mut seen = lock(libc::F_WRLCK, 0, 0);
        store(page, 1, sys!(fcntl, g, libc::F_GETLK, &mut seen).raw);
        for (i, v) in [i64::from(seen.l_type), seen.l_start, seen.l_len, i64::from(seen.l_pid)].into_iter().enumerate() {
            store(page, 2 + i, v);
        }
        store(page, 6, sys!(fcntl, g, libc::F_SETLK, &lock(libc::F_WRLCK, 6, 2)).raw);
        0
    });
    obs("child_blocked", answer("fcntl", load(page, 0))).arg("type", int(libc::F_RDLCK));
    obs("child_sees", answer("fcntl", load(page, 1)))
        .state("type", int(load(page, 2)))
        .state("start", int(load(page, 3)))
        .state("len", int(load(page, 4)))
        .state("owner", yes(load(page, 5) == i64::from(getpid())));
    obs("beside", answer("fcntl", load(page, 6))).arg("start", int(6));
    let other = open(c"f", O_RDWR);
    let r = sys!(close, other);
    let now = in_child(|| {
        let g = open(c"f", O_RDWR);
        i32::from(sys!(fcntl, g, libc::F_SETLK, &lock(libc::F_WRLCK, 0, 0)).errno() != 0)
    });
    obs("closed_drops", r).state("still_locked", int(now));
    obs("bad_range", sys!(fcntl, f, libc::F_SETLK, &lock(libc::F_WRLCK, -1, 1))).arg("start", int(-1));
}

fn ofd_locks() {
    put(c"f", b"0123456789");
    let (a, b) = (open(c"f", O_RDWR), open(c"f", O_RDWR));
    sys!(fcntl, a, libc::F_OFD_SETLK, &lock(libc::F_WRLCK, 0, 5)).must();
    obs("conflict", sys!(fcntl, b, libc::F_OFD_SETLK, &lock(libc::F_WRLCK, 4, 1))).arg("start", int(4));
    let c = sys!(dup, a).must_i32();
    obs("same_description", sys!(fcntl, c, libc::F_OFD_SETLK, &lock(libc::F_WRLCK, 4, 1)));
    sys!(close, c).must();
    sys!(fcntl, a, libc::F_OFD_SETLK, &lock(libc::F_UNLCK, 0, 0)).must();
    obs("unlocked", sys!(fcntl, b, libc::F_OFD_SETLK, &lock(libc::F_WRLCK, 4, 1)));
}

fn flock() {
    let (shared_, exclusive, unlock, nonblock) = (1, 2, 8, 4);
    put(c"f", b"");
    let (a, b) = (open(c"f", O_RDWR), open(c"f", O_RDWR));
    let r = sys!(flock, a, exclusive);
    obs("exclusive", r).arg("op", hex(exclusive)).state("other", errno(sys!(flock, b, shared_ | nonblock).errno()));
    let d = sys!(dup, a).must_i32();
    obs("second", sys!(flock, d, exclusive | nonblock)).arg("op", hex(exclusive | nonblock));
    let r = sys!(flock, a, shared_);
    obs("shared", r).arg("op", hex(shared_)).state("other", errno(sys!(flock, b, shared_ | nonblock).errno()));
    let blocked = sys!(flock, a, exclusive | nonblock);
    sys!(flock, b, unlock).must();
    obs("converted", blocked)
        .arg("op", hex(exclusive | nonblock))
        .state("after_unlock", errno(sys!(flock, a, exclusive | nonblock).errno()));
    obs("bad_op", sys!(flock, a, 64)).arg("op", hex(64));
}

fn pipe_size() {
    let p = pipe(0);
    obs("get", sys!(fcntl, p[0], libc::F_GETPIPE_SZ));
    obs("set", sys!(fcntl, p[1], libc::F_SETPIPE_SZ, 8192)).arg("size", int(8192));
    obs("readback", sys!(fcntl, p[0], libc::F_GETPIPE_SZ));
}
