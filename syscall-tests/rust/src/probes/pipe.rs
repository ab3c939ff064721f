//! Pipes and FIFOs.

use libc::{O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY, POLLHUP, POLLIN, POLLOUT};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("pipe/flags", &["plain", "nonblock_cloexec", "bad_flags", "efault"], flags),
    probe("pipe/data", &["order", "waiting", "partial", "rest", "empty", "eof"], data),
    probe("pipe/full", &["fills", "full", "one_page_freed", "atomic"], full),
    probe("pipe/broken", &["epipe", "signal", "writer_gone"], broken_pipe),
    probe("pipe/blocking", &["reader_woken", "writer_woken"], blocking),
    probe("pipe/packets", &["first", "second"], packets),
    probe("pipe/fifo", &["enxio", "nonblock_read", "data", "eof", "exists"], fifo),
    probe("pipe/splice", &["tee", "splice", "ebadf_pipes"], splice),
];

fn flags() {
    let mut ends = [-1_i32; 2];
    let r = sys!(pipe, &mut ends);
    obs("plain", r)
        .state("read_end", fd(ends[0]))
        .state("write_end", fd(ends[1]))
        .state("status", list([hex(status_flags(ends[0])), hex(status_flags(ends[1]))]))
        .state("cloexec", hex(sys!(fcntl, ends[0], libc::F_GETFD).raw));
    let r = sys!(pipe2, &mut ends, O_NONBLOCK | O_CLOEXEC);
    obs("nonblock_cloexec", r)
        .arg("flags", hex(O_NONBLOCK | O_CLOEXEC))
        .state("status", list([hex(status_flags(ends[0])), hex(status_flags(ends[1]))]))
        .state("cloexec", hex(sys!(fcntl, ends[1], libc::F_GETFD).raw));
    obs("bad_flags", sys!(pipe2, &mut ends, libc::O_APPEND)).arg("flags", hex(libc::O_APPEND));
    obs("efault", sys!(pipe2, NOWHERE, 0));
}

fn data() {
    let p = pipe(O_NONBLOCK);
    sys!(write, p[1], b"abc", 3).must();
    obs("order", sys!(write, p[1], b"def", 3)).arg("count", int(3));
    let mut waiting = 0_i32;
    let r = sys!(ioctl, p[0], libc::FIONREAD, &mut waiting);
    obs("waiting", r).state("bytes", int(waiting));
    let mut d = [0_u8; 8];
    let r = sys!(read, p[0], &mut d, 4);
    obs("partial", r).state("data", bytes(d));
    let mut d = [0_u8; 8];
    let r = sys!(read, p[0], &mut d, 8);
    obs("rest", r).state("data", bytes(d));
    obs("empty", sys!(read, p[0], &mut d, 8));
    sys!(close, p[1]).must();
    obs("eof", sys!(read, p[0], &mut d, 8));
}

fn full() {
    let p = pipe(O_NONBLOCK);
    let big = vec![b'x'; 1 << 17];
    let r = sys!(write, p[1], big.as_slice(), big.len());
    obs("fills", r).arg("count", int(big.len())).state("ready", hex(ready(p[1], POLLOUT)));
    obs("full", sys!(write, p[1], b"y", 1));
    let mut page = vec![0_u8; 4096];
    sys!(read, p[0], page.as_mut_slice(), 4096).must();
    obs("one_page_freed", sys!(write, p[1], big.as_slice(), 4096)).state("ready", hex(ready(p[1], POLLOUT)));
    sys!(read, p[0], page.as_mut_slice(), 100).must();
    obs("atomic", sys!(write, p[1], big.as_slice(), 200)).arg("count", int(200));
}

fn broken_pipe() {
    let p = pipe(0);
    sys!(close, p[0]).must();
    mask(libc::SIG_BLOCK, bit(libc::SIGPIPE));
    let r = sys!(write, p[1], b"x", 1);
    obs("epipe", r).state("pending", hex(pending())).state("ready", hex(ready(p[1], POLLOUT)));
    let status = in_child(|| {
        mask(libc::SIG_UNBLOCK, bit(libc::SIGPIPE));
        let _ = sys!(write, p[1], b"x", 1);
        0
    });
    obs("signal", answer("write", status));
    let q = pipe(0);
    sys!(write, q[1], b"x", 1).must();
    sys!(close, q[1]).must();
    let mut d = [0_u8; 4];
    let with_data = ready(q[0], POLLIN);
    let r = sys!(read, q[0], &mut d, 4);
    obs("writer_gone", r).state("with_data", hex(with_data)).state("without", hex(ready(q[0], POLLIN)));
    require(POLLHUP == 16, "POLLHUP");
}

fn blocking() {
    let p = pipe(0);
    let page = shared();
    let reader = fork(|| {
        let mut d = [0_u8; 8];
        store(page, 0, sys!(read, p[0], &mut d, 8).raw);
        i32::from(d[0])
    });
    await_sleep(reader, reader);
    sys!(write, p[1], b"A", 1).must();
    let status = reap(reader);
    obs("reader_woken", answer("read", load(page, 0))).state("byte", int(libc::WEXITSTATUS(status)));
    let big = vec![b'w'; 65536];
    sys!(write, p[1], big.as_slice(), 65536).must();
    let writer = fork(|| {
        store(page, 1, sys!(write, p[1], b"late", 4).raw);
        0
    });
    await_sleep(writer, writer);
    let mut all = vec![0_u8; 65536];
    let mut left = 65536;
    while left > 0 {
        left -= sys!(read, p[0], all.as_mut_slice(), left).must_usize();
    }
    reap(writer);
    let mut d = [0_u8; 4];
    sys!(read, p[0], &mut d, 4).must();
    obs("writer_woken", answer("write", load(page, 1))).state("data", bytes(d));
}

fn packets() {
    let p = pipe(libc::O_DIRECT);
    sys!(write, p[1], b"first", 5).must();
    sys!(write, p[1], b"second", 6).must();
    let mut d = [0_u8; 16];
    let r = sys!(read, p[0], &mut d, 3);
    obs("first", r).arg("count", int(3)).state("data", bytes(d));
    let mut d = [0_u8; 16];
    let r = sys!(read, p[0], &mut d, 16);
    obs("second", r).arg("count", int(16)).state("data", bytes(d));
}

fn fifo() {
    let mkfifo = || sys!(mknodat, libc::AT_FDCWD, c"f", libc::S_IFIFO | 0o600, 0);
    mkfifo().must();
    obs("enxio", sys!(openat, libc::AT_FDCWD, c"f", O_WRONLY | O_NONBLOCK)).fd().arg("flags", hex(O_WRONLY | O_NONBLOCK));
    let r = sys!(openat, libc::AT_FDCWD, c"f", O_RDONLY | O_NONBLOCK);
    let reader = r.must_i32();
    let mut d = [0_u8; 4];
    obs("nonblock_read", r)
        .fd()
        .arg("flags", hex(O_RDONLY | O_NONBLOCK))
        .state("no_writer", int(sys!(read, reader, &mut d, 4).raw));
    let writer = open(c"f", O_WRONLY);
    sys!(write, writer, b"hi", 2).must();
    let r = sys!(read, reader, &mut d, 4);
    obs("data", r).state("data", bytes(d)).state("empty", errno(sys!(read, reader, &mut d, 4).errno()));
    sys!(close, writer).must();
    obs("eof", sys!(read, reader, &mut d, 4)).state("ready", hex(ready(reader, POLLIN)));
    obs("exists", mkfifo());
}

fn splice() {
    let (a, b) = (pipe(O_NONBLOCK), pipe(O_NONBLOCK));
    sys!(write, a[1], b"0123456789", 10).must();
    let r = sys!(tee, a[0], b[1], 4, 0);
    let mut d = [0_u8; 10];
    sys!(read, b[0], &mut d, 10).must();
    let mut waiting = 0_i32;
    sys!(ioctl, a[0], libc::FIONREAD, &mut waiting).must();
    obs("tee", r).arg("len", int(4)).state("copy", bytes(d)).state("left", int(waiting));
    put(c"f", b"");
    let f = open(c"f", libc::O_RDWR);
    let r = sys!(splice, a[0], 0, f, 0, 6, 0);
    sys!(ioctl, a[0], libc::FIONREAD, &mut waiting).must();
    obs("splice", r).arg("len", int(6)).state("file", bytes(get(c"f"))).state("left", int(waiting));
    obs("ebadf_pipes", sys!(splice, f, 0, f, 0, 1, 0));
}
