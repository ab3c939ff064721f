//! Signals: dispositions, masks, delivery, siginfo, restarting, waiting.

use libc::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGCHLD, SIGKILL, SIGRTMIN, SIGTERM, SIGUSR1, SIGUSR2};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("signal/sigaction", &["set", "old", "ignored", "sigkill", "bad_signal", "bad_size", "efault"], sigaction_call),
    probe("signal/mask", &["block", "unblock", "setmask", "unblockable", "bad_how", "bad_size"], mask_call),
    probe("signal/pending", &["blocked", "merged", "delivered", "ignored_dropped"], pending_call),
    probe("signal/in_handler", &["masked", "nodefer", "extra_mask", "resethand"], in_handler),
    probe("signal/siginfo", &["kill", "tgkill", "sigqueue", "forged"], siginfo),
    probe("signal/realtime_order", &["count", "order"], realtime_order),
    probe("signal/altstack", &["set", "runs_there", "while_on", "disabled", "too_small", "bad_flags"], altstack),
    probe("signal/restart", &["restarts", "eintr"], restart),
    probe("signal/suspend", &["sigsuspend", "mask_back", "pause"], suspend),
    probe("signal/timedwait", &["takes", "timeout", "poll", "bad_time", "not_handled"], timedwait),
    probe("signal/kill", &["exists", "missing", "bad_signal", "group", "default_death", "ignored"], kill),
    probe("signal/signalfd", &["create", "reads", "empty", "changed", "bad_fd"], signalfd),
    probe("signal/signalfd_old", &["create", "reads", "bad_size", "bad_fd", "not_signalfd"], signalfd_old),
    probe("signal/thread_queue", &["queued", "value", "other_group", "bad_signal", "forged", "missing"], thread_queue),
    probe("signal/child", &["exit_info", "killed_info"], child_info),
    probe("signal/across_fork", &["fork_keeps", "fork_pending"], across_fork),
    probe("signal/nested", &["order"], nested),
];

static COUNT: AtomicI64 = AtomicI64::new(0);
static LAST: [AtomicI64; 8] = [const { AtomicI64::new(0) }; 8];

fn last(i: usize) -> i64 {
    LAST[i].load(SeqCst)
}

extern "C" fn note(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::ucontext_t) {
    COUNT.fetch_add(1, SeqCst);
    let here = 0_u8;
    // SAFETY: the kernel passes a valid siginfo to SA_SIGINFO handlers; the fields read are those of kill and sigqueue.
    let (code, pid, uid, value) =
        unsafe { ((*info).si_code, (*info).si_pid(), (*info).si_uid(), (*info).si_value().sival_ptr.addr()) };
    let at = std::ptr::from_ref(&here).addr();
    let values =
        [i64::from(signal), i64::from(code), i64::from(pid), i64::from(uid), int_of(value), int_of(at), masked().cast_signed()];
    for (slot, v) in LAST.iter().zip(values) {
        slot.store(v, SeqCst);
    }
}

fn int_of(v: usize) -> i64 {
    v.bits().cast_signed()
}

fn shown(a: &Sigaction) -> Value {
    let own = (note as Handler as *const ()).addr();
    map([
        (
            "handler",
            text(match a.handler {
                0 => "default",
                1 => "ignore",
                h if h == own => "own",
                _ => "other",
            }),
        ),
        ("flags", hex(a.flags)),
        ("mask", hex(a.mask)),
    ])
}

fn ignore(signal: i32) {
    let action = Sigaction { handler: 1, ..Sigaction::zero() };
    sys!(rt_sigaction, signal, &action, 0, 8).must();
}

fn sigaction_call() {
    let action = sigaction(note, libc::SA_RESTART, bit(SIGUSR2) | bit(SIGKILL));
    let r = sys!(rt_sigaction, SIGUSR1, &action, 0, 8);
    obs("set", r).arg("flags", hex(libc::SA_RESTART)).state("now", shown(&disposition(SIGUSR1)));
    let mut old = Sigaction::zero();
    let default = Sigaction::zero();
    let r = sys!(rt_sigaction, SIGUSR1, &default, &mut old, 8);
    obs("old", r).state("old", shown(&old)).state("now", shown(&disposition(SIGUSR1)));
    ignore(SIGUSR1);
    let r = sys!(kill, getpid(), SIGUSR1);
    obs("ignored", r).state("now", shown(&disposition(SIGUSR1))).state("count", int(COUNT.load(SeqCst)));
    obs("sigkill", sys!(rt_sigaction, SIGKILL, &action, 0, 8)).arg("signal", int(SIGKILL));
    obs("bad_signal", sys!(rt_sigaction, 65, &action, 0, 8)).arg("signal", int(65));
    obs("bad_size", sys!(rt_sigaction, SIGUSR1, &action, 0, 4)).arg("size", int(4));
    obs("efault", sys!(rt_sigaction, SIGUSR1, NOWHERE, 0, 8));
}

fn mask_call() {
    let (one, two) = (bit(SIGUSR1), bit(SIGUSR2));
    let mut old = 99_u64;
    let r = sys!(rt_sigprocmask, SIG_BLOCK, &(one | two), &mut old, 8);
    obs("block", r)
        .arg("how", int(SIG_BLOCK))
        .state("old", hex(old))
        .state("now", hex(masked()))
        .state("status", text(status_of_self("SigBlk")));
    let r = sys!(rt_sigprocmask, SIG_UNBLOCK, &one, &mut old, 8);
    obs("unblock", r).arg("how", int(SIG_UNBLOCK)).state("old", hex(old)).state("now", hex(masked()));
    let r = sys!(rt_sigprocmask, SIG_SETMASK, &one, 0, 8);
    obs("setmask", r).arg("how", int(SIG_SETMASK)).state("now", hex(masked()));
    let r = sys!(rt_sigprocmask, SIG_SETMASK, &u64::MAX, 0, 8);
    obs("unblockable", r).state("now", hex(masked()));
    obs("bad_how", sys!(rt_sigprocmask, 9, &one, 0, 8)).arg("how", int(9));
    obs("bad_size", sys!(rt_sigprocmask, SIG_BLOCK, &one, 0, 16)).arg("size", int(16));
}

fn pending_call() {
    on_signal(SIGUSR1, note, 0, 0);
    mask(SIG_BLOCK, bit(SIGUSR1) | bit(SIGUSR2));
    sys!(kill, getpid(), SIGUSR1).must();
    let mut set = 0_u64;
    let r = sys!(rt_sigpending, &mut set, 8);
    obs("blocked", r).state("pending", hex(set)).state("count", int(COUNT.load(SeqCst)));
    let r = sys!(kill, getpid(), SIGUSR1);
    obs("merged", r).state("pending", hex(pending()));
    let r = sys!(rt_sigprocmask, SIG_UNBLOCK, &bit(SIGUSR1), 0, 8);
    obs("delivered", r).state("count", int(COUNT.load(SeqCst))).state("pending", hex(pending()));
    sys!(kill, getpid(), SIGUSR2).must();
    let before = pending();
    ignore(SIGUSR2);
    obs("ignored_dropped", answer("rt_sigaction", 0)).state("before", hex(before)).state("after", hex(pending()));
}

fn in_handler() {
    let run = |flags, extra| {
        on_signal(SIGUSR1, note, flags, extra);
        sys!(tgkill, getpid(), getpid(), SIGUSR1)
    };
    let r = run(0, 0);
    obs("masked", r).state("mask", hex(last(6))).state("after", hex(masked()));
    let r = run(libc::SA_NODEFER, 0);
    obs("nodefer", r).state("mask", hex(last(6)));
    let r = run(0, bit(SIGUSR2));
    obs("extra_mask", r).state("mask", hex(last(6))).state("after", hex(masked()));
    let r = run(libc::SA_RESETHAND, 0);
    obs("resethand", r).state("now", shown(&disposition(SIGUSR1))).state("count", int(COUNT.load(SeqCst)));
}

fn siginfo() {
    on_signal(SIGUSR1, note, 0, 0);
    let me = getpid();
    let report = |id, r| {
        obs(id, r)
            .state("signal", int(last(0)))
            .state("code", int(last(1)))
            .state("from_me", yes(last(2) == i64::from(me)))
            .state("uid", rel(last(3), sys!(getuid).raw));
    };
    report("kill", sys!(kill, me, SIGUSR1));
    report("tgkill", sys!(tgkill, me, me, SIGUSR1));
    // struct siginfo: signal, errno, code, padding, pid, uid, value.
    let mut info = [0_i32; 32];
    info[2] = -1;
    info[4] = 1234;
    info[5] = 5678;
    info[6] = 0x5566_7788;
    let r = sys!(rt_sigqueueinfo, me, SIGUSR1, &info);
    obs("sigqueue", r)
        .state("code", int(last(1)))
        .state("pid", int(last(2)))
        .state("uid", int(last(3)))
        .state("value", hex(last(4)));
    let status = in_child(|| {
        let mut info = [0_i32; 32];
        info[2] = 0;
        i32::try_from(sys!(rt_sigqueueinfo, me, SIGUSR1, &info).errno()).unwrap_or(99)
    });
    obs("forged", answer("rt_sigqueueinfo", -i64::from(status))).arg("code", int(0));
}

static ORDER: [AtomicI64; 8] = [const { AtomicI64::new(0) }; 8];

extern "C" fn order(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::ucontext_t) {
    let n = usize::try_from(COUNT.fetch_add(1, SeqCst)).unwrap_or(0);
    // SAFETY: as in `note`.
    let value = unsafe { (*info).si_value().sival_ptr.addr() };
    if let Some(slot) = ORDER.get(n) {
        slot.store(i64::from(signal) * 1000 + int_of(value), SeqCst);
    }
}

fn realtime_order() {
    let low = SIGRTMIN();
    for s in [low, low + 1] {
        on_signal(s, order, 0, u64::MAX);
        mask(SIG_BLOCK, bit(s));
    }
    let send = |signal, value| {
        let mut info = [0_i32; 32];
        info[2] = -1;
        info[6] = value;
        sys!(rt_sigqueueinfo, getpid(), signal, &info).must();
    };
    for (signal, value) in [(low + 1, 1), (low, 2), (low + 1, 3), (low, 4)] {
        send(signal, value);
    }
    let r = sys!(rt_sigprocmask, SIG_UNBLOCK, &(bit(low) | bit(low + 1)), 0, 8);
    obs("count", r).state("count", int(COUNT.load(SeqCst)));
    obs("order", r).state("order", list(ORDER.iter().take(4).map(|o| int(o.load(SeqCst) - i64::from(low) * 1000))));
}

fn altstack() {
    let at = map_pages(16);
    let stack = |sp: usize, flags, size| libc::stack_t {
        ss_sp: std::ptr::with_exposed_provenance_mut(sp),
        ss_flags: flags,
        ss_size: size,
    };
    let r = sys!(sigaltstack, &stack(at, 0, 65536), 0);
    let mut now = libc::stack_t::zero();
    sys!(sigaltstack, 0, &mut now).must();
    obs("set", r).state("same", yes(now.ss_sp.addr() == at)).state("size", uint(now.ss_size)).state("flags", hex(now.ss_flags));
    on_signal(SIGUSR1, on_stack, libc::SA_ONSTACK, 0);
    let r = sys!(kill, getpid(), SIGUSR1);
    let here = usize::try_from(last(5)).unwrap_or(0);
    obs("runs_there", r).state("on_it", yes((at..at + 65536).contains(&here)));
    obs("while_on", answer("sigaltstack", last(6))).state("flags", hex(last(7)));
    sys!(sigaltstack, &stack(0, libc::SS_DISABLE, 0), 0).must();
    sys!(sigaltstack, 0, &mut now).must();
    let r = sys!(kill, getpid(), SIGUSR1);
    let here = usize::try_from(last(5)).unwrap_or(0);
    obs("disabled", r).state("on_it", yes((at..at + 65536).contains(&here))).state("flags", hex(now.ss_flags));
    obs("too_small", sys!(sigaltstack, &stack(at, 0, 100), 0)).arg("size", int(100));
    obs("bad_flags", sys!(sigaltstack, &stack(at, 0x40, 65536), 0)).arg("flags", hex(0x40));
}

extern "C" fn on_stack(_: i32, _: *mut libc::siginfo_t, _: *mut libc::ucontext_t) {
    let here = 0_u8;
    LAST[5].store(int_of(std::ptr::from_ref(&here).addr()), SeqCst);
    let mut now = libc::stack_t::zero();
    let _ = sys!(sigaltstack, 0, &mut now);
    LAST[7].store(i64::from(now.ss_flags), SeqCst);
    let other = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 65536 };
    LAST[6].store(sys!(sigaltstack, &other, 0).raw, SeqCst);
}

fn restart() {
    let p = pipe(0);
    let parent = getpid();
    let with = |flags, byte: &'static [u8]| {
        COUNT.store(0, SeqCst);
        on_signal(SIGUSR1, note, flags, 0);
        let child = fork(|| {
            await_sleep(parent, parent);
            sys!(kill, parent, SIGUSR1).must();
            // The reader sleeps again, or has come back with EINTR.
            if !byte.is_empty() {
                await_sleep(parent, parent);
                sys!(write, p[1], byte, byte.len()).must();
            }
            0
        });
        let mut d = [0_u8; 2];
        let r = sys!(read, p[0], &mut d, 2);
        reap(child);
        (r, d[0])
    };
    let (r, byte) = with(libc::SA_RESTART, b"R");
    obs("restarts", r).arg("flags", hex(libc::SA_RESTART)).state("byte", int(byte)).state("count", int(COUNT.load(SeqCst)));
    let (r, byte) = with(0, b"");
    obs("eintr", r).arg("flags", hex(0)).state("byte", int(byte)).state("count", int(COUNT.load(SeqCst)));
}

fn suspend() {
    on_signal(SIGUSR1, note, libc::SA_RESTART, 0);
    mask(SIG_BLOCK, bit(SIGUSR1));
    sys!(kill, getpid(), SIGUSR1).must();
    let before = COUNT.load(SeqCst);
    let during = bit(SIGUSR2);
    let r = sys!(rt_sigsuspend, &during, 8);
    obs("sigsuspend", r)
        .state("before", int(before))
        .state("after", int(COUNT.load(SeqCst)))
        .state("mask_in_handler", hex(last(6)));
    let mut now = 0_u64;
    let r = sys!(rt_sigprocmask, SIG_BLOCK, 0, &mut now, 8);
    obs("mask_back", r).state("mask", hex(now));
    mask(SIG_UNBLOCK, bit(SIGUSR1));
    let parent = getpid();
    let child = fork(|| {
        await_sleep(parent, parent);
        i32::from(sys!(kill, parent, SIGUSR1).raw != 0)
    });
    let r = sys!(pause);
    obs("pause", r).state("child", int(reap(child))).state("count", int(COUNT.load(SeqCst)));
}

fn timedwait() {
    on_signal(SIGUSR1, note, 0, 0);
    mask(SIG_BLOCK, bit(SIGUSR1) | bit(SIGUSR2));
    sys!(kill, getpid(), SIGUSR1).must();
    let wanted = bit(SIGUSR1) | bit(SIGUSR2);
    let mut info = libc::siginfo_t::zero();
    let r = sys!(rt_sigtimedwait, &wanted, &mut info, 0, 8);
    // SAFETY: the signal was sent by kill, whose siginfo holds the sender.
    let sender = unsafe { info.si_pid() };
    obs("takes", r).state("code", int(info.si_code)).state("from_me", yes(sender == getpid())).state("pending", hex(pending()));
    let start = now();
    let r = sys!(rt_sigtimedwait, &wanted, 0, &timespec(10 * MS), 8);
    obs("timeout", r).state("waited", dur(now() - start, 10 * MS, 5000 * MS));
    obs("poll", sys!(rt_sigtimedwait, &wanted, 0, &timespec(0), 8));
    obs("bad_time", sys!(rt_sigtimedwait, &wanted, 0, &timespec(-1), 8));
    obs("not_handled", answer("rt_sigtimedwait", 0)).state("handler_runs", int(COUNT.load(SeqCst)));
}

fn kill() {
    let child = fork(|| {
        let _ = sys!(pause);
        0
    });
    obs("exists", sys!(kill, child, 0)).arg("sig", int(0));
    obs("bad_signal", sys!(kill, child, 65)).arg("sig", int(65));
    let r = sys!(kill, child, SIGTERM);
    let status = reap(child);
    obs("default_death", r).arg("sig", int(SIGTERM)).state("status", hex(status));
    obs("missing", sys!(kill, child, 0));
    let group = fork(|| {
        sys!(setpgid, 0, 0).must();
        let inner = fork(|| {
            let _ = sys!(pause);
            0
        });
        await_sleep(inner, inner);
        ignore(SIGUSR1);
        let r = sys!(kill, 0, SIGUSR1);
        if r.raw != 0 {
            return 50;
        }
        let status = reap(inner);
        libc::WTERMSIG(status)
    });
    obs("group", answer("kill", 0)).state("inner_signal", hex(reap(group)));
    ignore(SIGTERM);
    obs("ignored", sys!(kill, getpid(), SIGTERM)).state("pending", hex(pending()));
}

fn signalfd() {
    let set = bit(SIGUSR1) | bit(SIGUSR2);
    mask(SIG_BLOCK, set);
    let r = sys!(signalfd4, -1, &set, 8, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
    let f = r.must_i32();
    obs("create", r)
        .fd()
        .arg("flags", hex(libc::SFD_NONBLOCK | libc::SFD_CLOEXEC))
        .state("status", hex(status_flags(f)))
        .state("ready", hex(ready(f, libc::POLLIN)));
    sys!(kill, getpid(), SIGUSR2).must();
    let before = ready(f, libc::POLLIN);
    let mut record = [0_u32; 64];
    let r = sys!(read, f, &mut record, 256);
    obs("reads", r)
        .state("ready", hex(before))
        .state("signal", uint(record[0]))
        .state("code", int(record[2].cast_signed()))
        .state("from_me", yes(record[3].cast_signed() == getpid()))
        .state("pending", hex(pending()));
    obs("empty", sys!(read, f, &mut record, 256));
    let r = sys!(signalfd4, f, &bit(SIGUSR1), 8, 0);
    sys!(kill, getpid(), SIGUSR2).must();
    obs("changed", r).fd().state("ready", hex(ready(f, libc::POLLIN)));
    obs("bad_fd", sys!(signalfd4, 4000, &set, 8, 0)).fd();
}

fn child_info() {
    mask(SIG_BLOCK, bit(SIGCHLD));
    let wanted = bit(SIGCHLD);
    let look = |id, child: i32| {
        let mut info = libc::siginfo_t::zero();
        let r = sys!(rt_sigtimedwait, &wanted, &mut info, &timespec(5000 * MS), 8);
        // SAFETY: SIGCHLD's siginfo holds pid and status.
        let (pid_, status) = unsafe { (info.si_pid(), info.si_status()) };
        reap(child);
        obs(id, r).state("code", int(info.si_code)).state("status", int(status)).state("child", yes(pid_ == child));
    };
    look("exit_info", fork(|| 33));
    let child = fork(|| {
        let _ = sys!(pause);
        0
    });
    sys!(kill, child, SIGKILL).must();
    look("killed_info", child);
}

fn across_fork() {
    on_signal(SIGUSR1, note, 0, bit(SIGUSR2));
    mask(SIG_BLOCK, bit(SIGUSR2));
    sys!(kill, getpid(), SIGUSR2).must();
    let page = shared();
    in_child(|| {
        store(page, 0, masked().cast_signed());
        store(page, 1, i64::from(disposition(SIGUSR1).handler > 1));
        store(page, 2, pending().cast_signed());
        0
    });
    obs("fork_keeps", answer("fork", 0)).state("mask", hex(load(page, 0))).state("handler", yes(load(page, 1) == 1));
    obs("fork_pending", answer("fork", 0)).state("child", hex(load(page, 2))).state("parent", hex(pending()));
}

extern "C" fn outer(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    order(signal, info, context);
    let _ = sys!(kill, getpid(), SIGUSR2);
    order(signal + 500, info, context);
}

fn nested() {
    on_signal(SIGUSR1, outer, 0, 0);
    on_signal(SIGUSR2, order, 0, 0);
    let r = sys!(kill, getpid(), SIGUSR1);
    let seen = ORDER.iter().take(4).map(|o| int(o.load(SeqCst) / 1000));
    obs("order", r).state("order", list(seen)).state("mask", hex(masked()));
}

fn signalfd_old() {
    let set = bit(SIGUSR1);
    mask(SIG_BLOCK, set);
    let r = sys!(signalfd, -1, &set, 8);
    let f = r.must_i32();
    obs("create", r).fd().state("status", hex(status_flags(f))).state("cloexec", hex(sys!(fcntl, f, libc::F_GETFD).raw));
    sys!(kill, getpid(), SIGUSR1).must();
    let mut record = [0_u32; 64];
    let r = sys!(read, f, &mut record, 256);
    obs("reads", r).state("signal", uint(record[0])).state("pending", hex(pending()));
    obs("bad_size", sys!(signalfd, -1, &set, 4)).fd().arg("size", int(4));
    obs("bad_fd", sys!(signalfd, 4000, &set, 8)).fd();
    obs("not_signalfd", sys!(signalfd, 0, &set, 8)).fd();
}

fn thread_queue() {
    mask(SIG_BLOCK, bit(SIGUSR1));
    let me = getpid();
    let info = |code| {
        let mut info = [0_i32; 32];
        info[2] = code;
        info[4] = 1234;
        info[6] = 77;
        info
    };
    let r = sys!(rt_tgsigqueueinfo, me, me, SIGUSR1, &info(-1));
    obs("queued", r)
        .state("pending", hex(pending()))
        .state("own", text(status_of_self("SigPnd")))
        .state("shared", text(status_of_self("ShdPnd")));
    let mut got = [0_i32; 32];
    let r = sys!(rt_sigtimedwait, &bit(SIGUSR1), &mut got, &timespec(5000 * MS), 8);
    obs("value", r).state("code", int(got[2])).state("pid", int(got[4])).state("value", int(got[6]));
    let child = fork(|| {
        let _ = sys!(pause);
        0
    });
    obs("other_group", sys!(rt_tgsigqueueinfo, me, child, SIGUSR1, &info(-1)));
    obs("bad_signal", sys!(rt_tgsigqueueinfo, me, me, 65, &info(-1))).arg("sig", int(65));
    obs("forged", sys!(rt_tgsigqueueinfo, child, child, SIGUSR1, &info(0))).arg("code", int(0));
    sys!(kill, child, SIGKILL).must();
    reap(child);
    obs("missing", sys!(rt_tgsigqueueinfo, child, child, SIGUSR1, &info(-1)));
}
