//! Processes: fork, wait, pidfd, sessions, groups.

use libc::{SIGCONT, SIGKILL, SIGSTOP, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WUNTRACED};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("process/fork", &["ids", "memory", "offset", "descriptors", "pending_alarm"], fork_call),
    probe("wait/wait4", &["exit", "truncated", "signal", "nohang", "nohang_done", "echild", "bad_options", "rusage"], wait4),
    probe("wait/stopped", &["stopped", "continued", "not_stopped", "killed"], stopped),
    probe("wait/waitid", &["nowait", "again", "gone", "nohang", "pgid", "no_options", "bad_type"], waitid),
    probe("wait/any", &["any", "by_group", "order"], any),
    probe("wait/autoreap", &["ignored", "nocldwait"], autoreap),
    probe("wait/orphan", &["adopted"], orphan),
    probe("wait/pidfd", &["open", "not_ready", "ready", "wait", "send_signal", "missing"], pidfd),
    probe("process/pidfd_getfd", &["copy", "shared", "bad_target", "bad_flags", "not_pidfd", "ebadf", "ended"], pidfd_getfd),
    probe("session/setsid", &["leader", "again", "child"], setsid),
    probe("session/setpgid", &["own", "child", "foreign_group", "after_exec", "missing", "negative"], setpgid),
    probe("session/getters", &["getpgrp", "getpgid", "getsid", "getsid_missing", "getppid"], getters),
    probe("session/stop_group", &["stopped"], stop_group),
];

fn sleeper() -> i32 {
    fork(|| {
        loop {
            let _ = sys!(pause);
        }
    })
}

static WORD: AtomicI64 = AtomicI64::new(1);

fn fork_call() {
    put(c"f", b"0123456789");
    let f = open(c"f", libc::O_RDONLY | libc::O_CLOEXEC);
    let parent = getpid();
    sys!(alarm, 100).must();
    let page = shared();
    let r = sys!(fork);
    if r.raw == 0 {
        WORD.store(2, SeqCst);
        store(page, 0, sys!(getppid).raw);
        store(page, 1, sys!(getpid).raw);
        store(page, 2, sys!(lseek, f, 4, libc::SEEK_SET).raw);
        store(page, 3, sys!(fcntl, f, libc::F_GETFD).raw);
        let extra = open(c"f", libc::O_RDONLY);
        store(page, 4, i64::from(extra));
        store(page, 5, sys!(alarm, 0).raw);
        store(page, 6, sys!(gettid).raw);
        loop {
            let _ = sys!(exit_group, 0);
        }
    }
    let child = r.must_i32();
    reap(child);
    obs("ids", r)
        .pid()
        .state("ppid", yes(load(page, 0) == i64::from(parent)))
        .state("pid", yes(load(page, 1) == i64::from(child)))
        .state("tid", yes(load(page, 6) == i64::from(child)));
    obs("memory", r).pid().state("word", int(WORD.load(SeqCst)));
    obs("offset", r).pid().state("offset", int(tell(f)));
    obs("descriptors", r)
        .pid()
        .state("cloexec", hex(load(page, 3)))
        .state("childs_own", errno(sys!(fcntl, i32::try_from(load(page, 4)).unwrap_or(0), libc::F_GETFD).errno()));
    obs("pending_alarm", r).pid().state("child", int(load(page, 5))).state("parent", dur(sys!(alarm, 0).raw, 90, 100));
}

fn wait4() {
    let mut status = -1_i32;
    let child = fork(|| 42);
    let r = sys!(wait4, child, &mut status, 0, 0);
    obs("exit", r).pid().arg("pid", pid(child)).state("status", hex(status));
    let child = fork(|| 0x1ff);
    let r = sys!(wait4, child, &mut status, 0, 0);
    obs("truncated", r).pid().arg("status", hex(0x1ff)).state("status", hex(status));
    let child = sleeper();
    status = 77;
    let r = sys!(wait4, child, &mut status, WNOHANG, 0);
    obs("nohang", r).arg("options", hex(WNOHANG)).state("status", int(status));
    sys!(kill, child, SIGKILL).must();
    let r = sys!(wait4, child, &mut status, 0, 0);
    obs("signal", r).pid().state("status", hex(status));
    let child = fork(|| 1);
    let mut info = libc::siginfo_t::zero();
    sys!(waitid, libc::P_PID, child, &mut info, WEXITED | WNOWAIT, 0).must();
    let r = sys!(wait4, child, &mut status, WNOHANG, 0);
    obs("nohang_done", r).pid().arg("options", hex(WNOHANG)).state("status", hex(status));
    obs("echild", sys!(wait4, child, &mut status, 0, 0)).arg("pid", pid(child));
    obs("bad_options", sys!(wait4, -1, &mut status, 0x100, 0)).arg("options", hex(0x100));
    let child = fork(|| {
        let mut sum = 0_u64;
        for i in 0..30_000_000_u64 {
            sum = std::hint::black_box(sum ^ i);
        }
        0
    });
    let mut usage = libc::rusage::zero();
    let r = sys!(wait4, child, &mut status, 0, &mut usage);
    let us = usage.ru_utime.tv_sec * 1_000_000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    obs("rusage", r).pid().state("used_cpu", yes(us > 0)).state("maxrss", yes(usage.ru_maxrss > 0));
}

fn stopped() {
    let child = sleeper();
    let mut status = 0_i32;
    sys!(kill, child, SIGSTOP).must();
    let r = sys!(wait4, child, &mut status, WUNTRACED, 0);
    obs("stopped", r).pid().arg("options", hex(WUNTRACED)).state("status", hex(status));
    sys!(kill, child, SIGCONT).must();
    let r = sys!(wait4, child, &mut status, WCONTINUED, 0);
    obs("continued", r).pid().arg("options", hex(WCONTINUED)).state("status", hex(status));
    obs("not_stopped", sys!(wait4, child, &mut status, WNOHANG | WUNTRACED | WCONTINUED, 0));
    sys!(kill, child, SIGSTOP).must();
    sys!(kill, child, SIGKILL).must();
    let mut last = 0_i32;
    let r = sys!(wait4, child, &mut last, 0, 0);
    obs("killed", r).pid().state("status", hex(last));
}

fn waitid() {
    let child = fork(|| 9);
    let mut info = libc::siginfo_t::zero();
    let r = sys!(waitid, libc::P_PID, child, &mut info, WEXITED | WNOWAIT, 0);
    // SAFETY: waitid fills the fields of SIGCHLD.
    let (who, what) = unsafe { (info.si_pid(), info.si_status()) };
    obs("nowait", r)
        .arg("options", hex(WEXITED | WNOWAIT))
        .state("pid", yes(who == child))
        .state("status", int(what))
        .state("code", int(info.si_code))
        .state("signal", int(info.si_signo));
    let mut usage = libc::rusage::zero();
    let r = sys!(waitid, libc::P_PID, child, 0, WEXITED, &mut usage);
    obs("again", r).arg("options", hex(WEXITED));
    obs("gone", sys!(waitid, libc::P_PID, child, &mut info, WEXITED, 0));
    let child = sleeper();
    let mut info = libc::siginfo_t::zero();
    info.si_signo = 99;
    let r = sys!(waitid, libc::P_PID, child, &mut info, WEXITED | WNOHANG, 0);
    obs("nohang", r).arg("options", hex(WEXITED | WNOHANG)).state("signal", int(info.si_signo));
    sys!(setpgid, child, child).must();
    sys!(kill, -child, SIGKILL).must();
    let r = sys!(waitid, libc::P_PGID, child, &mut info, WEXITED | WSTOPPED, 0);
    // SAFETY: as above.
    let what = unsafe { info.si_status() };
    obs("pgid", r).state("status", int(what)).state("code", int(info.si_code));
    obs("no_options", sys!(waitid, libc::P_ALL, 0, &mut info, 0, 0)).arg("options", hex(0));
    obs("bad_type", sys!(waitid, 77, 0, &mut info, WEXITED, 0)).arg("type", int(77));
}

fn any() {
    let children = [fork(|| 1), fork(|| 2), fork(|| 3)];
    let mut seen = Vec::new();
    let mut first = answer("wait4", 0);
    for i in 0..3 {
        let mut status = 0_i32;
        let r = sys!(wait4, -1, &mut status, 0, 0);
        if i == 0 {
            first = r;
        }
        seen.push(list([yes(children.contains(&r.as_i32())), int(libc::WEXITSTATUS(status))]));
    }
    obs("any", answer("wait4", first.errno())).arg("pid", int(-1)).state("seen", set(seen));
    let child = sleeper();
    sys!(setpgid, child, child).must();
    let other = fork(|| 7);
    let mut status = 0_i32;
    let by_own = sys!(wait4, 0, &mut status, 0, 0);
    obs("by_group", by_own)
        .pid()
        .arg("pid", int(0))
        .state("is_other", yes(by_own.as_i32() == other))
        .state("status", hex(status));
    sys!(kill, child, SIGKILL).must();
    let r = sys!(wait4, -child, &mut status, 0, 0);
    obs("order", r).pid().state("is_child", yes(r.as_i32() == child)).state("status", hex(status));
}

fn autoreap() {
    let ignore = Sigaction { handler: 1, ..Sigaction::zero() };
    sys!(rt_sigaction, libc::SIGCHLD, &ignore, 0, 8).must();
    let child = fork(|| 1);
    let mut status = 55_i32;
    let r = sys!(wait4, child, &mut status, 0, 0);
    obs("ignored", r).state("status", int(status));
    let action = Sigaction { handler: 0, flags: libc::SA_NOCLDWAIT.bits(), ..Sigaction::zero() };
    sys!(rt_sigaction, libc::SIGCHLD, &action, 0, 8).must();
    let child = fork(|| 1);
    let r = sys!(wait4, child, &mut status, 0, 0);
    obs("nocldwait", r).arg("flags", hex(libc::SA_NOCLDWAIT)).state("status", int(status));
}

fn orphan() {
    sys!(prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).must();
    let page = shared();
    let p = pipe(0);
    let middle = fork(|| {
        let inner = fork(|| {
            let mut d = [0_u8; 1];
            sys!(read, p[0], &mut d, 1).must();
            store(page, 1, sys!(getppid).raw);
            12
        });
        store(page, 0, i64::from(inner));
        0
    });
    reap(middle);
    sys!(write, p[1], b"x", 1).must();
    let inner = i32::try_from(load(page, 0)).unwrap_or(0);
    let mut status = 0_i32;
    let r = sys!(wait4, inner, &mut status, 0, 0);
    obs("adopted", r).pid().state("status", hex(status)).state("parent", yes(load(page, 1) == i64::from(getpid())));
}

fn pidfd() {
    let child = sleeper();
    let r = sys!(pidfd_open, child, 0);
    let f = r.must_i32();
    obs("open", r).fd().state("cloexec", hex(sys!(fcntl, f, libc::F_GETFD).raw));
    obs("not_ready", sys!(fcntl, f, libc::F_GETFL)).hex().state("ready", hex(ready(f, libc::POLLIN)));
    let r = sys!(pidfd_send_signal, f, SIGKILL, 0, 0);
    let mut p = libc::pollfd { fd: f, events: libc::POLLIN, revents: 0 };
    sys!(poll, &mut p, 1, 5000).must();
    obs("send_signal", r).arg("sig", int(SIGKILL));
    obs("ready", answer("poll", 1)).state("revents", hex(p.revents & libc::POLLIN));
    let mut info = libc::siginfo_t::zero();
    let r = sys!(waitid, libc::P_PIDFD, f, &mut info, WEXITED, 0);
    // SAFETY: waitid fills the fields of SIGCHLD.
    let (who, what) = unsafe { (info.si_pid(), info.si_status()) };
    obs("wait", r).state("pid", yes(who == child)).state("status", int(what));
    obs("missing", sys!(pidfd_open, child, 0)).fd();
}

fn setsid() {
    let page = shared();
    let child = fork(|| {
        let r = sys!(setsid);
        store(page, 0, i64::from(r.raw == sys!(getpid).raw));
        store(page, 1, sys!(getsid, 0).raw - sys!(getpid).raw);
        store(page, 2, sys!(getpgid, 0).raw - sys!(getpid).raw);
        store(page, 3, sys!(setsid).raw);
        let session = sys!(getsid, 0).raw;
        store(page, 4, i64::from(in_child(|| i32::from(sys!(getsid, 0).raw == session))));
        store(page, 5, sys!(openat, libc::AT_FDCWD, c"/dev/tty", libc::O_RDWR).raw);
        0
    });
    reap(child);
    obs("leader", answer("setsid", 0))
        .state("returns_pid", int(load(page, 0)))
        .state("session", int(load(page, 1)))
        .state("group", int(load(page, 2)))
        .state("terminal", errno(-load(page, 5)));
    obs("again", answer("setsid", load(page, 3)));
    obs("child", answer("getsid", 0)).state("inherits", int(load(page, 4)));
}

fn setpgid() {
    let p = pipe(0);
    let child = sleeper();
    let r = sys!(setpgid, child, 0);
    obs("child", r).state("leads", yes(sys!(getpgid, child).as_i32() == child));
    let page = shared();
    in_child(|| {
        store(page, 0, sys!(setpgid, 0, child).raw);
        store(page, 1, i64::from(sys!(getpgrp).as_i32() == child));
        0
    });
    obs("own", answer("setpgid", load(page, 0))).state("joined", yes(load(page, 1) == 1));
    let missing = fork(|| 0);
    reap(missing);
    obs("foreign_group", sys!(setpgid, child, missing)).state("kept", yes(sys!(getpgid, child).as_i32() == child));
    obs("missing", sys!(setpgid, missing, 0));
    obs("negative", sys!(setpgid, 0, -1)).arg("pgid", int(-1));
    sys!(kill, child, SIGKILL).must();
    reap(child);
    let q = pipe(libc::O_CLOEXEC);
    let executed = fork(|| {
        sys!(dup2, p[0], 0).must();
        let argv = [c"cat".as_ptr(), std::ptr::null()];
        let _ = sys!(execve, c"/bin/cat", &argv, &argv[1..]);
        1
    });
    // The close-on-exec end goes when the child has executed.
    sys!(close, q[1]).must();
    let mut d = [0_u8; 1];
    sys!(read, q[0], &mut d, 1).must();
    obs("after_exec", sys!(setpgid, executed, 0));
    sys!(kill, executed, SIGKILL).must();
    reap(executed);
}

fn getters() {
    let r = sys!(getpgrp);
    obs("getpgrp", r).pid().state("same", yes(r.raw == sys!(getpgid, 0).raw));
    let r = sys!(getpgid, getpid());
    obs("getpgid", r).pid().state("same", yes(r.raw == sys!(getpgrp).raw));
    let r = sys!(getsid, getpid());
    obs("getsid", r).pid().state("same", yes(r.raw == sys!(getsid, 0).raw));
    let gone = fork(|| 0);
    reap(gone);
    obs("getsid_missing", sys!(getsid, gone));
    let me = getpid();
    let child = in_child(|| i32::from(sys!(getppid).as_i32() == me));
    obs("getppid", answer("getppid", 0)).state("is_parent", int(child));
}

fn stop_group() {
    let leader = fork(|| {
        sys!(setpgid, 0, 0).must();
        let inner = sleeper();
        await_sleep(inner, inner);
        sys!(kill, 0, SIGSTOP).must();
        sys!(kill, inner, SIGKILL).must();
        libc::WTERMSIG(reap(inner))
    });
    let mut status = 0_i32;
    sys!(wait4, leader, &mut status, WUNTRACED, 0).must();
    let stopped = status;
    sys!(kill, -leader, SIGCONT).must();
    let r = sys!(wait4, leader, &mut status, 0, 0);
    obs("stopped", r).pid().state("stop", hex(stopped)).state("status", hex(status));
}

fn pidfd_getfd() {
    put(c"f", b"abcdef");
    let p = pipe(0);
    let child = fork(|| {
        let f = open(c"f", libc::O_RDWR);
        sys!(dup2, f, 50).must();
        sys!(lseek, 50, 4, libc::SEEK_SET).must();
        sys!(write, p[1], b"r", 1).must();
        loop {
            let _ = sys!(pause);
        }
    });
    let mut d = [0_u8; 1];
    sys!(read, p[0], &mut d, 1).must();
    let pidfd = sys!(pidfd_open, child, 0).must_i32();
    let r = sys!(pidfd_getfd, pidfd, 50, 0);
    let copy = r.as_i32();
    let cloexec = sys!(fcntl, copy, libc::F_GETFD).raw;
    obs("copy", r).fd().state("offset", int(sys!(lseek, copy, 0, libc::SEEK_CUR).raw)).state("cloexec", hex(cloexec));
    sys!(lseek, copy, 1, libc::SEEK_SET).must();
    let info = std::ffi::CString::new(format!("/proc/{child}/fdinfo/50")).unwrap_or_default();
    let text_of = String::from_utf8_lossy(&get(&info)).into_owned();
    obs("shared", answer("lseek", 1)).state("offset_there", text(text_of.lines().next().unwrap_or_default()));
    obs("bad_target", sys!(pidfd_getfd, pidfd, 51, 0)).fd();
    obs("bad_flags", sys!(pidfd_getfd, pidfd, 50, 1)).fd().arg("flags", hex(1));
    obs("not_pidfd", sys!(pidfd_getfd, p[0], 50, 0)).fd();
    obs("ebadf", sys!(pidfd_getfd, 4000, 50, 0)).fd();
    sys!(kill, child, SIGKILL).must();
    reap(child);
    obs("ended", sys!(pidfd_getfd, pidfd, 50, 0)).fd();
}
