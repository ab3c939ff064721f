//! Identities, limits, prctl, and what the system says about itself.

use libc::{
    PR_GET_DUMPABLE, PR_GET_NAME, PR_GET_NO_NEW_PRIVS, PR_GET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("ids/get", &["uid", "euid", "gid", "egid", "pid", "tid", "resuid", "resgid"], get_ids),
    probe("ids/setresuid", &["effective", "back", "keep", "denied", "dropped", "getuid", "geteuid", "capabilities"], setresuid),
    probe("ids/setuid", &["root_drops_all", "setreuid", "setgid", "getgid", "getegid", "fsuid", "back"], setuid),
    probe("ids/groups", &["set", "count", "small", "too_many", "file_access", "denied"], groups),
    probe("prctl/name", &["set", "comm", "truncated", "thread"], name),
    probe("prctl/flags", &["no_new_privs", "no_new_privs_off", "dumpable", "bad_dumpable", "unknown"], prctl_flags),
    probe("prctl/pdeathsig", &["set", "forked", "delivered", "bad"], pdeathsig),
    probe(
        "rlimit/nofile",
        &["get", "lower", "getrlimit", "soft_over_hard", "bad_resource", "inherited", "other_process"],
        nofile,
    ),
    probe("rlimit/fsize", &["partial", "efbig", "signal"], fsize),
    probe("rlimit/address_space", &["mmap", "brk", "room", "beyond", "inherited", "lifted"], address_space),
    probe("rlimit/data", &["room", "beyond", "readable", "mprotect", "brk"], data_size),
    probe("misc/uname", &["uname", "efault"], uname),
    probe("misc/sysinfo", &["sysinfo"], sysinfo),
    probe("misc/getrandom", &["fills", "nonblock", "zero", "bad_flags", "efault"], getrandom),
    probe("misc/usage", &["times", "self", "children", "bad_who"], usage),
    probe("misc/affinity", &["get", "set", "empty", "small", "getcpu", "yield"], affinity),
    probe("misc/priority", &["nice", "get", "bad_which", "scheduler", "batch", "max", "fifo_max"], priority),
    probe("misc/membarrier", &["query", "register", "barrier", "bad"], membarrier),
    probe(
        "misc/syslog",
        &["open", "size", "all", "end", "none", "no_buffer", "negative", "efault", "level", "unknown", "denied"],
        syslog,
    ),
    probe("misc/sync", &["fsync", "fdatasync", "fsync_pipe", "ebadf"], sync),
];

fn get_ids() {
    let status = |key| status_of_self(key).split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (uids, gids) = (status("Uid"), status("Gid"));
    let matches = |v: &[String], i: usize, raw: i64| yes(v.get(i).is_some_and(|t| *t == raw.to_string()));
    let (u, e) = (sys!(getuid), sys!(geteuid));
    obs("uid", u).state("real", matches(&uids, 0, u.raw)).state("effective", matches(&uids, 1, e.raw));
    let (g, e) = (sys!(getgid), sys!(getegid));
    obs("gid", g).state("real", matches(&gids, 0, g.raw)).state("effective", matches(&gids, 1, e.raw));
    obs("euid", sys!(geteuid)).state("real", yes(sys!(geteuid).raw == u.raw));
    obs("egid", sys!(getegid)).state("real", yes(sys!(getegid).raw == g.raw));
    let p = sys!(getpid);
    obs("pid", p).pid().state("status", yes(status_of_self("Pid") == p.raw.to_string()));
    let t = sys!(gettid);
    obs("tid", t).pid().state("main", yes(t.raw == p.raw));
    let mut ids = [9_u32; 3];
    let [a, b, c] = &mut ids;
    let r = sys!(getresuid, a, b, c);
    obs("resuid", r).state("ids", list(ids.map(|i| yes(i64::from(i) == u.raw))));
    ids = [9; 3];
    let [a, b, c] = &mut ids;
    let r = sys!(getresgid, a, b, c);
    obs("resgid", r).state("ids", list(ids.map(|i| yes(i64::from(i) == g.raw))));
}

fn resuid() -> Value {
    let mut ids = [9_u32; 3];
    let [a, b, c] = &mut ids;
    sys!(getresuid, a, b, c).must();
    list(ids.map(uint))
}

fn setresuid() {
    let r = sys!(setresuid, -1, 1000, -1);
    obs("effective", r).arg("euid", int(1000)).state("ids", resuid()).state("fs_uid", text(status_of_self("Uid")));
    let r = sys!(setresuid, -1, 0, -1);
    obs("back", r).arg("euid", int(0)).state("ids", resuid());
    let r = sys!(setresuid, -1, -1, -1);
    obs("keep", r).state("ids", resuid());
    let r = sys!(setresuid, 1000, 1000, 1000);
    obs("dropped", r).state("ids", resuid()).state("capabilities", text(status_of_self("CapEff")));
    obs("getuid", sys!(getuid));
    obs("geteuid", sys!(geteuid));
    obs("denied", sys!(setresuid, 0, 0, 0)).state("ids", resuid());
    obs("capabilities", sys!(setgid, 5)).state("group", int(sys!(getgid).raw));
}

fn setuid() {
    sys!(chmod, c".", 0o777).must();
    let r = sys!(setfsuid, 1234);
    put(c"owned", b"");
    sys!(setfsuid, 0).must();
    obs("fsuid", r).arg("uid", int(1234)).state("owner", uint(lstat(c"owned").st_uid));
    let r = sys!(setgid, 2000);
    let mut ids = [9_u32; 3];
    let [a, b, c] = &mut ids;
    sys!(getresgid, a, b, c).must();
    obs("setgid", r).arg("gid", int(2000)).state("ids", list(ids.map(uint)));
    obs("getgid", sys!(getgid));
    obs("getegid", sys!(getegid));
    let r = sys!(setreuid, 1500, -1);
    obs("setreuid", r).arg("ruid", int(1500)).state("ids", resuid());
    let r = sys!(setuid, 1000);
    obs("root_drops_all", r).arg("uid", int(1000)).state("ids", resuid());
    obs("back", sys!(setuid, 0)).arg("uid", int(0)).state("ids", resuid());
}

fn groups() {
    let wanted = [7_u32, 3, 100_000];
    let r = sys!(setgroups, 3, &wanted);
    let mut got = [0_u32; 8];
    let n = sys!(getgroups, 8, &mut got).count();
    obs("set", r).state("groups", set(got[..n].iter().map(|g| uint(*g)))).state("status", text(status_of_self("Groups")));
    obs("count", sys!(getgroups, 0, 0));
    obs("small", sys!(getgroups, 2, &mut got)).arg("size", int(2));
    obs("too_many", sys!(setgroups, 70000, &wanted)).arg("size", int(70000));
    put(c"f", b"x");
    sys!(chown, c"f", 0, 3).must();
    sys!(chmod, c"f", 0o640).must();
    sys!(chmod, c".", 0o755).must();
    let page = shared();
    in_child(|| {
        sys!(setresuid, 1000, 1000, 1000).must();
        store(page, 0, i64::from(sys!(openat, libc::AT_FDCWD, c"f", libc::O_RDONLY).errno() == 0));
        store(page, 1, sys!(setgroups, 0, 0).raw);
        0
    });
    obs("file_access", answer("openat", 0)).state("readable", int(load(page, 0)));
    obs("denied", answer("setgroups", load(page, 1)));
}

fn name() {
    let r = sys!(prctl, PR_SET_NAME, c"my name", 0, 0, 0);
    let mut got = [b'.'; 17];
    sys!(prctl, PR_GET_NAME, &mut got, 0, 0, 0).must();
    obs("set", r).state("name", text(got)).state("status", text(status_of_self("Name")));
    obs("comm", answer("read", 0)).state("comm", text(get(c"/proc/self/comm")));
    let r = sys!(prctl, PR_SET_NAME, c"0123456789abcdefXYZ", 0, 0, 0);
    obs("truncated", r).state("comm", text(get(c"/proc/self/comm")));
    let child = in_child(|| i32::from(get(c"/proc/self/comm") == b"0123456789abcde\n"));
    obs("thread", answer("fork", 0)).state("inherited", int(child));
}

fn prctl_flags() {
    let get = |op| sys!(prctl, op, 0, 0, 0, 0).raw;
    let before = get(PR_GET_NO_NEW_PRIVS);
    let r = sys!(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    obs("no_new_privs", r)
        .state("before", int(before))
        .state("after", int(get(PR_GET_NO_NEW_PRIVS)))
        .state("status", text(status_of_self("NoNewPrivs")));
    let r = sys!(prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    obs("no_new_privs_off", r).state("kept", int(get(PR_GET_NO_NEW_PRIVS)));
    let r = sys!(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    obs("dumpable", r).state("now", int(get(PR_GET_DUMPABLE)));
    obs("bad_dumpable", sys!(prctl, PR_SET_DUMPABLE, 2, 0, 0, 0)).state("now", int(get(PR_GET_DUMPABLE)));
    obs("unknown", sys!(prctl, 9999, 0, 0, 0, 0)).arg("op", int(9999));
}

fn pdeathsig() {
    let get = || {
        let mut signal = -1_i32;
        sys!(prctl, PR_GET_PDEATHSIG, &mut signal, 0, 0, 0).must();
        signal
    };
    let r = sys!(prctl, PR_SET_PDEATHSIG, libc::SIGUSR1, 0, 0, 0);
    obs("set", r).state("signal", int(get()));
    obs("forked", answer("fork", 0)).state("child", int(in_child(get)));
    sys!(prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0).must();
    sys!(prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).must();
    let p = pipe(libc::O_CLOEXEC);
    let page = shared();
    let middle = fork(|| {
        let inner = fork(|| {
            mask(libc::SIG_BLOCK, bit(libc::SIGUSR2));
            sys!(prctl, PR_SET_PDEATHSIG, libc::SIGUSR2, 0, 0, 0).must();
            sys!(write, p[1], b"r", 1).must();
            let wanted = bit(libc::SIGUSR2);
            store(page, 1, sys!(rt_sigtimedwait, &wanted, 0, &timespec(5000 * MS), 8).raw);
            0
        });
        store(page, 0, i64::from(inner));
        let mut d = [0_u8; 1];
        sys!(read, p[0], &mut d, 1).must();
        0
    });
    reap(middle);
    reap(i32::try_from(load(page, 0)).unwrap_or(0));
    obs("delivered", answer("rt_sigtimedwait", load(page, 1)));
    obs("bad", sys!(prctl, PR_SET_PDEATHSIG, 65, 0, 0, 0)).arg("signal", int(65));
}

fn nofile() {
    let mut old = libc::rlimit64::zero();
    let r = sys!(prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut old);
    let limits = String::from_utf8_lossy(&get(c"/proc/self/limits")).into_owned();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap_or_default();
    obs("get", r)
        .state("ordered", yes(old.rlim_cur <= old.rlim_max))
        .state("proc", yes(line.split_ascii_whitespace().nth(3) == Some(old.rlim_cur.to_string().as_str())));
    let new = libc::rlimit64 { rlim_cur: 600, rlim_max: 700 };
    let mut replaced = libc::rlimit64::zero();
    let r = sys!(prlimit64, 0, libc::RLIMIT_NOFILE, &new, &mut replaced);
    let mut now = libc::rlimit64::zero();
    sys!(prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut now).must();
    obs("lower", r)
        .state("old", yes(replaced.rlim_cur == old.rlim_cur && replaced.rlim_max == old.rlim_max))
        .state("now", list([uint(now.rlim_cur), uint(now.rlim_max)]));
    now = libc::rlimit64::zero();
    let r = sys!(getrlimit, libc::RLIMIT_NOFILE, &mut now);
    obs("getrlimit", r).state("now", list([uint(now.rlim_cur), uint(now.rlim_max)]));
    let wrong = libc::rlimit64 { rlim_cur: 701, rlim_max: 700 };
    obs("soft_over_hard", sys!(setrlimit, libc::RLIMIT_NOFILE, &wrong));
    obs("bad_resource", sys!(prlimit64, 0, 99, 0, &mut now)).arg("resource", int(99));
    let child = in_child(|| {
        let mut l = libc::rlimit64::zero();
        sys!(prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut l).must();
        i32::from(l.rlim_cur == 600 && l.rlim_max == 700)
    });
    obs("inherited", answer("fork", 0)).state("same", int(child));
    let p = pipe(0);
    let other = fork(|| {
        let mut d = [0_u8; 1];
        sys!(read, p[0], &mut d, 1).must();
        let mut l = libc::rlimit64::zero();
        sys!(prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut l).must();
        i32::from(l.rlim_cur == 555)
    });
    let new = libc::rlimit64 { rlim_cur: 555, rlim_max: 700 };
    let r = sys!(prlimit64, other, libc::RLIMIT_NOFILE, &new, 0);
    sys!(write, p[1], b"x", 1).must();
    obs("other_process", r).state("seen_there", int(libc::WEXITSTATUS(reap(other))));
}

fn fsize() {
    let limit = libc::rlimit64 { rlim_cur: 10, rlim_max: 10 };
    let page = shared();
    let status = in_child(|| {
        sys!(prlimit64, 0, libc::RLIMIT_FSIZE, &limit, 0).must();
        mask(libc::SIG_BLOCK, bit(libc::SIGXFSZ));
        let f = open(c"f", libc::O_CREAT | libc::O_WRONLY);
        store(page, 0, sys!(write, f, b"0123456789abcdef", 16).raw);
        store(page, 1, sys!(write, f, b"x", 1).raw);
        store(page, 2, pending().cast_signed());
        mask(libc::SIG_UNBLOCK, bit(libc::SIGXFSZ));
        0
    });
    obs("partial", answer("write", load(page, 0))).arg("count", int(16)).state("data", bytes(get(c"f")));
    obs("efbig", answer("write", load(page, 1))).state("pending", hex(load(page, 2)));
    obs("signal", answer("rt_sigprocmask", 0)).state("death", int(status));
}

fn address_space() {
    let page = shared();
    in_child(|| {
        let limit = libc::rlimit64 { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        let top = sys!(brk, 0).raw;
        sys!(prlimit64, 0, libc::RLIMIT_AS, &limit, 0).must();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        store(page, 0, sys!(mmap, 0, 1 << 26, libc::PROT_READ, flags, -1, 0).raw);
        store(page, 1, sys!(brk, top + (1 << 26)).raw - top);
        0
    });
    obs("mmap", answer("mmap", load(page, 0))).addr().arg("length", int(1 << 26));
    obs("brk", answer("brk", load(page, 1)));
    in_child(|| {
        // A program has some MiB at least.
        set_soft(libc::RLIMIT_AS, 1 << 30);
        store(page, 0, anonymous(1 << 29, libc::PROT_READ));
        store(page, 1, anonymous(1 << 29, libc::PROT_READ));
        in_child(|| {
            store(page, 2, anonymous(1 << 29, libc::PROT_READ));
            0
        });
        set_soft(libc::RLIMIT_AS, libc::RLIM64_INFINITY);
        store(page, 3, anonymous(1 << 30, libc::PROT_READ));
        0
    });
    for (i, name) in ["room", "beyond", "inherited", "lifted"].into_iter().enumerate() {
        obs(name, answer("mmap", load(page, i))).addr();
    }
}

fn set_soft(resource: libc::__rlimit_resource_t, soft: u64) {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: libc::RLIM64_INFINITY };
    sys!(prlimit64, 0, resource, &limit, 0).must();
}

fn anonymous(len: usize, prot: i32) -> i64 {
    sys!(mmap, 0, len, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0).raw
}

fn data_size() {
    let page = shared();
    in_child(|| {
        let top = sys!(brk, 0).raw;
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        set_soft(libc::RLIMIT_DATA, 64 << 20);
        store(page, 0, anonymous(32 << 20, writable));
        store(page, 1, anonymous(64 << 20, writable));
        let readable = anonymous(64 << 20, libc::PROT_READ);
        store(page, 2, readable);
        store(page, 3, sys!(mprotect, readable, 64 << 20, writable).raw);
        store(page, 4, sys!(brk, top + (64 << 20)).raw - top);
        0
    });
    for (i, name) in ["room", "beyond", "readable"].into_iter().enumerate() {
        obs(name, answer("mmap", load(page, i))).addr();
    }
    obs("mprotect", answer("mprotect", load(page, 3)));
    obs("brk", answer("brk", load(page, 4)));
}

fn uname() {
    let mut u = libc::utsname::zero();
    let r = sys!(uname, &mut u);
    let part = |f: &[libc::c_char]| text(f.iter().take_while(|c| **c != 0).map(|c| c.cast_unsigned()).collect::<Vec<_>>());
    obs("uname", r)
        .state("sysname", part(&u.sysname))
        .state("machine", part(&u.machine))
        .state("nodename", part(&u.nodename))
        .state("release", yes(u.release.first().is_some_and(|c| c.cast_unsigned().is_ascii_digit())));
    obs("efault", sys!(uname, NOWHERE));
}

fn sysinfo() {
    let mut s = libc::sysinfo::zero();
    let r = sys!(sysinfo, &mut s);
    let boot = clock_ns(libc::CLOCK_BOOTTIME) / 1_000_000_000;
    obs("sysinfo", r)
        .state("uptime", dur(boot - s.uptime, -1, 2))
        .state("memory", yes(s.totalram > 0 && s.freeram <= s.totalram))
        .state("unit", uint(s.mem_unit))
        .state("processes", yes(s.procs > 0));
}

fn getrandom() {
    let mut a = [0_u8; 64];
    let mut b = [0_u8; 64];
    let r = sys!(getrandom, &mut a, 60, 0);
    sys!(getrandom, &mut b, 60, 0).must();
    obs("fills", r)
        .state("differ", yes(a != b))
        .state("beyond", bytes(&a[60..]))
        .state("zeroes", yes(a[..60].iter().filter(|x| **x == 0).count() < 20));
    obs("nonblock", sys!(getrandom, &mut a, 16, libc::GRND_NONBLOCK)).arg("flags", hex(libc::GRND_NONBLOCK));
    obs("zero", sys!(getrandom, &mut a, 0, 0));
    obs("bad_flags", sys!(getrandom, &mut a, 16, 0x100)).arg("flags", hex(0x100));
    obs("efault", sys!(getrandom, NOWHERE, 16, 0));
}

fn burn() {
    let start = clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID);
    while clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID) - start < 40 * MS {}
}

fn usage() {
    burn();
    let child = fork(|| {
        burn();
        0
    });
    reap(child);
    let mut t = libc::tms::zero();
    let r = sys!(times, &mut t);
    obs("times", r)
        .ret(yes(r.raw > 0))
        .state("self", yes(t.tms_utime + t.tms_stime >= 2))
        .state("children", yes(t.tms_cutime + t.tms_cstime >= 2));
    let mut u = libc::rusage::zero();
    let r = sys!(getrusage, libc::RUSAGE_SELF, &mut u);
    let us = |u: &libc::rusage| (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1_000_000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
    obs("self", r)
        .state("cpu_us", dur(us(&u), 20_000, 9_000_000))
        .state("maxrss", yes(u.ru_maxrss > 0))
        .state("minflt", yes(u.ru_minflt > 0));
    let r = sys!(getrusage, libc::RUSAGE_CHILDREN, &mut u);
    obs("children", r).state("cpu_us", dur(us(&u), 20_000, 9_000_000));
    obs("bad_who", sys!(getrusage, 99, &mut u)).arg("who", int(99));
}

fn affinity() {
    let mut set = [0_u64; 16];
    let r = sys!(sched_getaffinity, 0, 128, &mut set);
    let first = set[0].trailing_zeros();
    obs("get", r).ret(yes(r.raw >= 8 && r.raw % 8 == 0)).state("cpus", yes(set[0] != 0));
    let one = [1_u64 << first, 0];
    let r = sys!(sched_setaffinity, 0, 16, &one);
    let mut now = [0_u64; 16];
    sys!(sched_getaffinity, 0, 128, &mut now).must();
    obs("set", r)
        .state("only_it", yes(now[0] == one[0]))
        .state("status", yes(status_of_self("Cpus_allowed_list") == first.to_string()));
    obs("empty", sys!(sched_setaffinity, 0, 8, &0_u64));
    obs("small", sys!(sched_getaffinity, 0, 4, &mut now)).arg("len", int(4));
    let (mut cpu, mut node) = (99_u32, 99_u32);
    let r = sys!(getcpu, &mut cpu, &mut node, 0);
    obs("getcpu", r).state("cpu", yes(cpu == first));
    obs("yield", sys!(sched_yield));
}

fn priority() {
    let r = sys!(setpriority, 0, 0, 7);
    let stat = String::from_utf8_lossy(&get(c"/proc/self/stat")).into_owned();
    let nice = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(16)).unwrap_or_default().to_owned();
    obs("nice", r).arg("nice", int(7)).state("stat", text(nice));
    obs("get", sys!(getpriority, 0, 0));
    obs("bad_which", sys!(getpriority, 9, 0)).arg("which", int(9));
    let normal = sys!(sched_getscheduler, 0).raw;
    let r = sys!(sched_setscheduler, 0, libc::SCHED_BATCH, &0_i32);
    obs("batch", r).arg("policy", int(libc::SCHED_BATCH)).state("before", int(normal));
    obs("scheduler", sys!(sched_getscheduler, 0));
    obs("max", sys!(sched_get_priority_max, libc::SCHED_OTHER));
    obs("fifo_max", sys!(sched_get_priority_max, libc::SCHED_FIFO));
}

fn membarrier() {
    let r = sys!(membarrier, 0, 0, 0);
    let wanted = (1 << 3) | (1 << 4);
    obs("query", r).ret(yes(r.raw & wanted == wanted));
    obs("register", sys!(membarrier, 1 << 4, 0, 0)).arg("cmd", hex(1 << 4));
    obs("barrier", sys!(membarrier, 1 << 3, 0, 0)).arg("cmd", hex(1 << 3));
    obs("bad", sys!(membarrier, 1 << 30, 0, 0)).arg("cmd", hex(1 << 30));
}

fn sync() {
    put(c"f", b"data");
    let f = open(c"f", libc::O_RDWR);
    sys!(write, f, b"DA", 2).must();
    obs("fsync", sys!(fsync, f)).state("data", bytes(get(c"f")));
    obs("fdatasync", sys!(fdatasync, f)).state("data", bytes(get(c"f")));
    obs("fsync_pipe", sys!(fsync, pipe(0)[0]));
    obs("ebadf", sys!(fsync, 4000));
}

fn syslog() {
    const READ_ALL: i32 = 3;
    const CONSOLE_LEVEL: i32 = 8;
    const SIZE_BUFFER: i32 = 10;
    obs("open", sys!(syslog, 1, 0, 0)).state("close", int(sys!(syslog, 0, 0, 0).raw));
    let size = sys!(syslog, SIZE_BUFFER, 0, 0);
    obs("size", size).ret(yes(size.raw > 0));
    let mut log = [0_u8; 8192];
    let r = sys!(syslog, READ_ALL, &mut log, log.len());
    let read = log.get(..r.count()).unwrap_or_default();
    obs("all", r)
        .ret(yes(r.raw > 0))
        .state("level", yes(read.first() == Some(&b'<')))
        .state("line", yes(read.last() == Some(&b'\n')));
    // Of less than there may be, it gives whole lines; none is longer than this.
    let mut small = [0_u8; 2048];
    let r = sys!(syslog, READ_ALL, &mut small, small.len());
    let end = small.get(..r.count()).unwrap_or_default();
    obs("end", r).ret(yes((1..=2048).contains(&r.raw))).state("level", yes(end.first() == Some(&b'<')));
    obs("none", sys!(syslog, READ_ALL, &mut log, 0));
    obs("no_buffer", sys!(syslog, READ_ALL, 0, 100));
    obs("negative", sys!(syslog, READ_ALL, &mut log, -1));
    obs("efault", sys!(syslog, READ_ALL, 8, 8192));
    obs("level", sys!(syslog, CONSOLE_LEVEL, 0, 9)).state("zero", int(sys!(syslog, CONSOLE_LEVEL, 0, 0).raw));
    obs("unknown", sys!(syslog, 99, &mut log, 100));
    let denied = in_child(|| {
        sys!(setresuid, 1000, 1000, 1000).must();
        i32::try_from(sys!(syslog, CONSOLE_LEVEL, 0, 0).errno()).unwrap_or(-1)
    });
    obs("denied", answer("syslog", -i64::from(denied)));
}
