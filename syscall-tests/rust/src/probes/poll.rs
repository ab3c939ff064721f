//! poll, ppoll, select, pselect6.

use libc::{POLLHUP, POLLIN, POLLNVAL, POLLOUT, SIGUSR1};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("poll/events", &["mixed", "negative_fd", "hup", "timeout", "efault", "too_many"], events),
    probe("poll/ppoll", &["timeout", "mask", "mask_restored", "bad_time"], ppoll),
    probe("poll/select", &["sets", "timeout", "ebadf", "negative", "sleep"], select),
    probe("poll/pselect", &["sets", "mask", "untouched_timeout"], pselect),
    probe("poll/wakes", &["woken"], wakes),
];

fn entry(fd: i32, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: -1 }
}

fn shown(entries: &[libc::pollfd]) -> Value {
    list(entries.iter().map(|p| hex(p.revents)))
}

fn events() {
    let (idle, full) = (pipe(0), pipe(0));
    sys!(write, full[1], b"x", 1).must();
    put(c"f", b"");
    let file = open(c"f", libc::O_RDWR);
    let mut p = [
        entry(idle[0], POLLIN),
        entry(full[0], POLLIN),
        entry(full[1], POLLOUT),
        entry(4000, POLLIN),
        entry(file, POLLIN | POLLOUT),
    ];
    let r = sys!(poll, &mut p, p.len(), -1);
    obs("mixed", r).state("revents", shown(&p)).state("nval", yes(p[3].revents == POLLNVAL));
    let mut p = [entry(-1, POLLIN), entry(idle[0], POLLIN)];
    let r = sys!(poll, &mut p, 2, 0);
    obs("negative_fd", r).state("revents", shown(&p));
    sys!(close, idle[1]).must();
    let mut p = [entry(idle[0], 0)];
    let r = sys!(poll, &mut p, 1, -1);
    obs("hup", r).arg("events", hex(0)).state("hup", yes(p[0].revents == POLLHUP));
    let start = now();
    let r = sys!(poll, 0, 0, 15);
    obs("timeout", r).arg("timeout", int(15)).state("waited", dur(now() - start, 15 * MS, 5000 * MS));
    obs("efault", sys!(poll, NOWHERE, 1, 0));
    obs("too_many", sys!(poll, &mut p, 1 << 30, 0)).arg("nfds", int(1 << 30));
}

static HANDLED: AtomicI64 = AtomicI64::new(0);

extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::ucontext_t) {
    HANDLED.fetch_add(1, SeqCst);
}

fn ppoll() {
    let p = pipe(0);
    let mut e = [entry(p[0], POLLIN)];
    let start = now();
    let mut limit = timespec(12 * MS);
    let r = sys!(ppoll, &mut e, 1, &mut limit, 0, 8);
    obs("timeout", r).state("waited", dur(now() - start, 12 * MS, 5000 * MS)).state("revents", shown(&e));
    on_signal(SIGUSR1, count, 0, 0);
    mask(libc::SIG_BLOCK, bit(SIGUSR1));
    sys!(kill, getpid(), SIGUSR1).must();
    let before = HANDLED.load(SeqCst);
    let none = 0_u64;
    let r = sys!(ppoll, &mut e, 1, 0, &none, 8);
    obs("mask", r).state("before", int(before)).state("after", int(HANDLED.load(SeqCst)));
    let mut now_masked = 0_u64;
    let r = sys!(rt_sigprocmask, 0, 0, &mut now_masked, 8);
    obs("mask_restored", r).state("mask", hex(now_masked));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    obs("bad_time", sys!(ppoll, &mut e, 1, &bad, 0, 8)).arg("nsec", int(bad.tv_nsec));
}

fn select() {
    let (idle, full) = (pipe(0), pipe(0));
    sys!(write, full[1], b"x", 1).must();
    let set_of = |fds: &[i32]| {
        fds.iter().fold([0_u64; 16], |mut s, fd| {
            s[usize::try_from(*fd).unwrap_or(0) / 64] |= 1 << (fd % 64);
            s
        })
    };
    let mut reads = set_of(&[idle[0], full[0]]);
    let mut writes = set_of(&[idle[1]]);
    let r = sys!(select, full[1] + 1, &mut reads, &mut writes, 0, 0);
    obs("sets", r)
        .state("read_idle", yes(reads[0] & (1 << idle[0]) != 0))
        .state("read_full", yes(reads[0] & (1 << full[0]) != 0))
        .state("write_idle", yes(writes[0] & (1 << idle[1]) != 0));
    let mut reads = set_of(&[idle[0]]);
    let mut limit = libc::timeval { tv_sec: 0, tv_usec: 15000 };
    let start = now();
    let r = sys!(select, idle[0] + 1, &mut reads, 0, 0, &mut limit);
    obs("timeout", r)
        .state("waited", dur(now() - start, 15 * MS, 5000 * MS))
        .state("set", hex(reads[0]))
        .state("left", int(limit.tv_usec));
    // A closed number below others in use: numbers beyond the table are not looked at.
    sys!(close, idle[0]).must();
    let mut reads = set_of(&[idle[0]]);
    obs("ebadf", sys!(select, idle[0] + 1, &mut reads, 0, 0, 0)).state("set", yes(reads[0] == 1 << idle[0]));
    obs("negative", sys!(select, -1, 0, 0, 0, 0)).arg("nfds", int(-1));
    let mut limit = libc::timeval { tv_sec: 0, tv_usec: 10000 };
    let start = now();
    let r = sys!(select, 0, 0, 0, 0, &mut limit);
    obs("sleep", r).state("waited", dur(now() - start, 10 * MS, 5000 * MS));
}

fn pselect() {
    let p = pipe(0);
    let mut writes = [0_u64; 16];
    writes[0] = 1 << p[1];
    let r = sys!(pselect6, p[1] + 1, 0, &mut writes, 0, 0, 0);
    obs("sets", r).state("ready", yes(writes[0] == 1 << p[1]));
    on_signal(SIGUSR1, count, libc::SA_RESTART, 0);
    mask(libc::SIG_BLOCK, bit(SIGUSR1));
    sys!(kill, getpid(), SIGUSR1).must();
    let none = 0_u64;
    let argument = [std::ptr::from_ref(&none).expose_provenance(), 8];
    let mut reads = [0_u64; 16];
    reads[0] = 1 << p[0];
    let r = sys!(pselect6, p[0] + 1, &mut reads, 0, 0, 0, &argument);
    obs("mask", r)
        .state("handled", int(HANDLED.load(SeqCst)))
        .state("mask", hex(masked()))
        .state("set_kept", yes(reads[0] == 1 << p[0]));
    let mut limit = timespec(8 * MS);
    let start = now();
    let r = sys!(pselect6, 0, 0, 0, 0, &mut limit, 0);
    obs("untouched_timeout", r).state("waited", dur(now() - start, 8 * MS, 5000 * MS)).state("left", int(limit.tv_nsec));
}

fn wakes() {
    let p = pipe(0);
    let parent = getpid();
    let child = fork(|| {
        await_sleep(parent, parent);
        i32::from(sys!(write, p[1], b"x", 1).raw != 1)
    });
    let mut e = [entry(p[0], POLLIN)];
    let r = sys!(poll, &mut e, 1, -1);
    obs("woken", r).state("revents", shown(&e)).state("child", int(reap(child)));
}
