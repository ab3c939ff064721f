//! What only some may do: further identities, capabilities, chroot, host names, personality, scheduling parameters.

use libc::AT_FDCWD;

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe(
        "ids/setresgid",
        &["effective", "keep", "setregid", "fsgid", "fsgid_file", "dropped", "denied", "regid_denied"],
        setresgid,
    ),
    probe(
        "ids/capabilities",
        &["get", "drop", "gone", "raise_denied", "effective_over_permitted", "inheritable", "version", "missing", "efault"],
        capabilities,
    ),
    probe("dir/chroot", &["enters", "up", "absolute", "file", "missing", "denied"], chroot),
    probe(
        "misc/hostname",
        &["host", "shorter", "domain", "too_long", "negative", "efault", "domain_too_long", "denied"],
        hostname,
    ),
    probe("misc/personality", &["get", "set", "forked", "executed", "back"], personality),
    probe(
        "misc/scheduling",
        &["get", "set", "bad_priority", "bad_policy", "min", "min_fifo", "min_bad", "interval", "negative", "missing", "null"],
        scheduling,
    ),
];

fn gids() -> Value {
    let mut ids = [9_u32; 3];
    let [a, b, c] = &mut ids;
    sys!(getresgid, a, b, c).must();
    list(ids.map(uint))
}

fn setresgid() {
    sys!(chmod, c".", 0o777).must();
    let r = sys!(setresgid, -1, 1000, -1);
    obs("effective", r).arg("egid", int(1000)).state("ids", gids()).state("status", text(status_of_self("Gid")));
    let r = sys!(setresgid, -1, -1, -1);
    obs("keep", r).state("ids", gids());
    let r = sys!(setregid, 2000, 3000);
    obs("setregid", r).arg("rgid", int(2000)).arg("egid", int(3000)).state("ids", gids());
    let r = sys!(setfsgid, 4000);
    put(c"owned", b"");
    let again = sys!(setfsgid, -1);
    obs("fsgid", r).arg("gid", int(4000)).state("status", text(status_of_self("Gid")));
    obs("fsgid_file", again).state("group", uint(lstat(c"owned").st_gid));
    let page = shared();
    in_child(|| {
        sys!(setresuid, 1000, 1000, 1000).must();
        store(page, 0, sys!(setresgid, 7, -1, -1).raw);
        store(page, 1, sys!(setregid, -1, 7).raw);
        store(page, 2, sys!(setresgid, 3000, 2000, -1).raw);
        store(page, 3, sys!(getgid).raw * 10_000 + sys!(getegid).raw);
        0
    });
    obs("dropped", answer("setresgid", load(page, 2))).state("ids", int(load(page, 3)));
    obs("denied", answer("setresgid", load(page, 0)));
    obs("regid_denied", answer("setregid", load(page, 1)));
}

/// The header of capget and capset: version 3, which has two words per set.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// The sets: effective, permitted, inheritable, each first word; then the second ones.
type Sets = [u32; 6];

const VERSION_3: u32 = 0x2008_0522;
/// CAP_CHOWN and CAP_KILL.
const TWO: u32 = 1 | 1 << 5;

fn own_sets() -> Sets {
    let mut sets = [0; 6];
    sys!(capget, &mut Header { version: VERSION_3, pid: 0 }, &mut sets).must();
    sets
}

fn capabilities() {
    let set = |sets: &Sets| sys!(capset, &mut Header { version: VERSION_3, pid: 0 }, sets);
    let mut sets = [9; 6];
    let r = sys!(capget, &mut Header { version: VERSION_3, pid: 0 }, &mut sets);
    let all = |low: usize| format!("{:08x}{:08x}", sets[low + 3], sets[low]);
    obs("get", r)
        .state("effective", yes(all(0) == status_of_self("CapEff")))
        .state("permitted", yes(all(1) == status_of_self("CapPrm")))
        .state("inheritable", yes(all(2) == status_of_self("CapInh")));
    let r = set(&[1, TWO, 0, 0, 0, 0]);
    obs("drop", r)
        .state("effective", text(status_of_self("CapEff")))
        .state("permitted", text(status_of_self("CapPrm")))
        .state("sets", list(own_sets().map(hex)));
    obs("gone", sys!(chroot, c".")).state("kept", errno(sys!(chown, c".", 5, -1).errno()));
    let r = set(&[1, TWO | 2, 0, 0, 0, 0]);
    obs("raise_denied", r).state("permitted", text(status_of_self("CapPrm")));
    let r = set(&[TWO | 2, TWO, 0, 0, 0, 0]);
    obs("effective_over_permitted", r).state("effective", text(status_of_self("CapEff")));
    let r = set(&[TWO, TWO, TWO, 0, 0, 0]);
    obs("inheritable", r).state("effective", text(status_of_self("CapEff"))).state("inheritable", text(status_of_self("CapInh")));
    let mut wrong = Header { version: 1, pid: 0 };
    let r = sys!(capget, &mut wrong, &mut sets);
    obs("version", r).arg("version", hex(1)).state("preferred", hex(wrong.version));
    let gone = fork(|| 0);
    reap(gone);
    obs("missing", sys!(capget, &mut Header { version: VERSION_3, pid: gone }, &mut sets));
    obs("efault", sys!(capset, &mut Header { version: VERSION_3, pid: 0 }, NOWHERE));
}

fn chroot() {
    sys!(mkdir, c"new", 0o755).must();
    put(c"new/inside", b"in");
    put(c"outside", b"out");
    let page = shared();
    in_child(|| {
        store(page, 0, sys!(chroot, c"new").raw);
        store(page, 1, sys!(openat, AT_FDCWD, c"/inside", libc::O_RDONLY).errno());
        // The working directory stays outside.
        store(page, 2, sys!(openat, AT_FDCWD, c"outside", libc::O_RDONLY).errno());
        sys!(chdir, c"/").must();
        store(page, 3, sys!(openat, AT_FDCWD, c"../inside", libc::O_RDONLY).errno());
        let mut cwd = [b'.'; 4];
        store(page, 4, sys!(getcwd, &mut cwd, 4).raw * 256 + i64::from(cwd[0]));
        store(page, 5, sys!(openat, AT_FDCWD, c"../../outside", libc::O_RDONLY).errno());
        0
    });
    obs("enters", answer("chroot", load(page, 0)))
        .state("inside", errno(load(page, 1)))
        .state("cwd_outside", errno(load(page, 2)));
    obs("up", answer("openat", -load(page, 3))).state("beyond", errno(load(page, 5)));
    obs("absolute", answer("getcwd", load(page, 4)));
    obs("file", sys!(chroot, c"outside"));
    obs("missing", sys!(chroot, c"missing"));
    in_child(|| {
        sys!(setresuid, 1000, 1000, 1000).must();
        store(page, 6, sys!(chroot, c"/").raw);
        0
    });
    obs("denied", answer("chroot", load(page, 6)));
}

/// Node and domain name as uname shows them.
fn names() -> (String, String) {
    let mut u = libc::utsname::zero();
    sys!(uname, &mut u).must();
    let part = |f: &[libc::c_char]| f.iter().take_while(|c| **c != 0).map(|c| char::from(c.cast_unsigned())).collect();
    (part(&u.nodename), part(&u.domainname))
}

fn hostname() {
    let long = [b'x'; 65];
    let r = sys!(sethostname, b"some-name", 9);
    obs("host", r).state("name", text(names().0)).state("proc", text(get(c"/proc/sys/kernel/hostname")));
    let r = sys!(sethostname, b"other", 3);
    obs("shorter", r).arg("len", int(3)).state("name", text(names().0));
    let r = sys!(setdomainname, b"example.org", 11);
    obs("domain", r).state("name", text(names().1)).state("host", text(names().0));
    let r = sys!(sethostname, &long, 65);
    obs("too_long", r).arg("len", int(65)).state("name", text(names().0));
    obs("negative", sys!(sethostname, &long, -1)).arg("len", int(-1));
    obs("efault", sys!(sethostname, NOWHERE, 4)).state("name", text(names().0));
    obs("domain_too_long", sys!(setdomainname, &long, 65)).arg("len", int(65)).state("name", text(names().1));
    let page = shared();
    in_child(|| {
        sys!(setresuid, 1000, 1000, 1000).must();
        store(page, 0, sys!(sethostname, b"no", 2).raw);
        0
    });
    obs("denied", answer("sethostname", load(page, 0))).state("name", text(names().0));
}

fn personality() {
    let get_only = 0xffff_ffff_u32;
    obs("get", sys!(personality, get_only)).hex();
    let wanted = libc::ADDR_NO_RANDOMIZE;
    let r = sys!(personality, wanted);
    obs("set", r).hex().arg("persona", hex(wanted)).state("now", hex(sys!(personality, get_only).raw));
    let forked = in_child(|| i32::from(sys!(personality, get_only).raw == i64::from(wanted)));
    obs("forked", answer("fork", 0)).state("same", int(forked));
    let executed = in_child(|| {
        let argv =
            [c"grep".as_ptr(), c"-q".as_ptr(), c"^00040000".as_ptr(), c"/proc/self/personality".as_ptr(), std::ptr::null()];
        let _ = sys!(execve, c"/bin/grep", &argv, &argv[4..]);
        99
    });
    obs("executed", answer("execve", 0)).state("grep", int(executed));
    let r = sys!(personality, 0);
    obs("back", r).hex().arg("persona", hex(0)).state("now", hex(sys!(personality, get_only).raw));
}

fn scheduling() {
    let mut priority = 9_i32;
    let r = sys!(sched_getparam, 0, &mut priority);
    obs("get", r).state("priority", int(priority));
    obs("set", sys!(sched_setparam, 0, &0_i32)).arg("priority", int(0));
    let r = sys!(sched_setparam, 0, &1_i32);
    obs("bad_priority", r).arg("priority", int(1)).state("policy", int(sys!(sched_getscheduler, 0).raw));
    obs("bad_policy", sys!(sched_setscheduler, 0, 99, &0_i32)).arg("policy", int(99));
    obs("min", sys!(sched_get_priority_min, libc::SCHED_OTHER)).arg("policy", int(libc::SCHED_OTHER));
    obs("min_fifo", sys!(sched_get_priority_min, libc::SCHED_FIFO)).arg("policy", int(libc::SCHED_FIFO));
    obs("min_bad", sys!(sched_get_priority_min, 99)).arg("policy", int(99));
    let mut slice = timespec(-1_000_000_000);
    let r = sys!(sched_rr_get_interval, 0, &mut slice);
    obs("interval", r).state("ns", dur(slice.tv_sec * 1_000_000_000 + slice.tv_nsec, 0, 1000 * MS));
    obs("negative", sys!(sched_getparam, -1, &mut priority)).arg("pid", int(-1));
    let gone = fork(|| 0);
    reap(gone);
    obs("missing", sys!(sched_getparam, gone, &mut priority));
    obs("null", sys!(sched_setparam, 0, 0));
}
