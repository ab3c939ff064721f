//! A gofer that was taken over, played by ptrace: what it can reach with the filter, capabilities and descriptors that it has.

use std::io::{IoSlice, IoSliceMut};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

mod common;
use common::{Running, all_end, is_root};

/// A live gofer, stopped in recvmsg(2).
struct Taken {
    pid: Pid,
    saved: libc::user_regs_struct,
    /// Room for a path below its stack.
    scratch: u64,
    running: Running,
}

impl Taken {
    fn new() -> Self {
        Self::of(Running::start())
    }

    /// The gofer of a sandbox with a writable bind of the host's root, which lacks a defence.
    fn without(defence: Option<&str>) -> Self {
        let weaken = defence.map_or(vec![], |defence| vec!["--weaken", defence]);
        let rest = ["--bind", "/:/host", "--", "/bin/sh", "-c", "echo ready; exec sleep 1000"];
        Self::of(Running::with(&[&["do"][..], &weaken, &rest].concat()))
    }

    fn of(running: Running) -> Self {
        let pid = Pid::from_raw(running.gofer);
        // The sentry is ready before the gofer, which it has not asked for anything yet.
        let proc = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        while !proc("status").contains("\nSeccomp:\t2\n") || !proc("syscall").starts_with(&format!("{} ", libc::SYS_recvmsg)) {
            std::thread::yield_now();
        }
        ptrace::attach(pid).unwrap();
        waitpid(pid, None).unwrap();
        let saved = ptrace::getregs(pid).unwrap();
        Self { pid, saved, scratch: saved.rsp - 4096, running }
    }

    /// Makes a host call from inside; its result, or the signal that it died of.
    fn call(&self, number: i64, args: [u64; 5]) -> Result<i64, Signal> {
        let mut regs = self.saved;
        // Its own system call instruction.
        regs.rip -= 2;
        (regs.rax, regs.orig_rax) = (number.cast_unsigned(), u64::MAX);
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8] = args;
        ptrace::setregs(self.pid, regs).unwrap();
        // Its entry and its end. One that the filter refuses ends with its own number, and the signal comes then.
        for stop in 0..3 {
            if stop == 2 && ptrace::getregs(self.pid).unwrap().rax != number.cast_unsigned() {
                break;
            }
            ptrace::syscall(self.pid, None).unwrap();
            match waitpid(self.pid, None).unwrap() {
                WaitStatus::Signaled(_, signal, _) => return Err(signal),
                // About to be delivered.
                WaitStatus::Stopped(_, signal) if signal != Signal::SIGTRAP => return Err(signal),
                _ => {}
            }
        }
        Ok(ptrace::getregs(self.pid).unwrap().rax.cast_signed())
    }

    fn put(&self, data: &[u8]) -> u64 {
        let remote = RemoteIoVec { base: usize::try_from(self.scratch).unwrap(), len: data.len() };
        assert_eq!(process_vm_writev(self.pid, &[IoSlice::new(data)], &[remote]).unwrap(), data.len());
        self.scratch
    }

    fn open(&self, directory: i32, path: &str, flags: i32) -> Result<i64, Signal> {
        let path = self.put(format!("{path}\0").as_bytes());
        let fd =
            self.call(libc::SYS_openat, [u64::from(directory.cast_unsigned()), path, u64::from(flags.cast_unsigned()), 0, 0])?;
        if fd >= 0 {
            self.call(libc::SYS_close, [fd.cast_unsigned(), 0, 0, 0, 0])?;
        }
        Ok(fd)
    }

    fn descriptors(&self) -> Vec<i32> {
        let dir = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        dir.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = self.running.command.kill();
        let _ = ptrace::kill(self.pid);
        let _ = self.running.command.wait();
    }
}

#[test]
fn no_path_leads_out_of_what_the_gofer_has() {
    if !is_root() {
        return;
    }
    let taken = Taken::new();
    let descriptors = taken.descriptors();
    let knobs = ["sys/kernel/core_pattern", "sysrq-trigger", "sys/vm/drop_caches"];
    let mut opened = 0;
    for &fd in &descriptors {
        for knob in knobs {
            for up in ["", "../", "../../", "../../../", "../../../../", "/proc/", "proc/", "../../../proc/"] {
                let path = format!("{up}{knob}");
                let result = taken.open(fd, &path, libc::O_WRONLY).unwrap();
                assert!(result < 0, "descriptor {fd} leads to {path}");
            }
        }
        opened += u32::from(taken.open(fd, "etc/passwd", libc::O_RDONLY).unwrap() >= 0);
        assert_eq!(taken.open(fd, "/etc/passwd", libc::O_RDONLY).unwrap(), -i64::from(libc::ENOENT), "the root is empty");
    }
    assert_eq!(opened, 1, "the files that it is to give out are there");
    // Paths without a descriptor begin in the current directory; there is only one kind of call left that takes them.
    let enodata = [-i64::from(libc::ENODATA), -i64::from(libc::EOPNOTSUPP)];
    let attribute = |path: &str| {
        let at = taken.put(format!("{path}\0user.none\0").as_bytes());
        taken.call(libc::SYS_getxattr, [at, at + u64::try_from(path.len()).unwrap() + 1, at + 512, 0, 0]).unwrap()
    };
    assert!(descriptors.iter().any(|fd| enodata.contains(&attribute(&fd.to_string()))));
    for path in ["../../../etc/passwd", "../../../../etc", "../sys", "../../sys", "/etc"] {
        assert_eq!(attribute(path), -i64::from(libc::ENOENT), "{path}");
    }
    assert_eq!(taken.call(libc::SYS_getxattr, [0; 5]).unwrap(), -i64::from(libc::EFAULT));
    let mut word = [0; 4];
    let remote = RemoteIoVec { base: usize::try_from(taken.scratch).unwrap(), len: word.len() };
    process_vm_readv(taken.pid, &mut [IoSliceMut::new(&mut word)], &[remote]).unwrap();
    assert_eq!(&word, b"/etc", "the calls were made with these paths");
}

#[test]
fn a_call_without_a_descriptor_ends_the_gofer() {
    if !is_root() {
        return;
    }
    let cwd = u64::from(libc::AT_FDCWD.cast_unsigned());
    let calls = [
        (libc::SYS_openat, 0),
        (libc::SYS_openat2, 0),
        (libc::SYS_statx, 0),
        (libc::SYS_mkdirat, 0),
        (libc::SYS_unlinkat, 0),
        (libc::SYS_fchmodat, 0),
        (libc::SYS_fchownat, 0),
        (libc::SYS_symlinkat, 1),
        (libc::SYS_linkat, 0),
        (libc::SYS_linkat, 2),
        (libc::SYS_renameat2, 2),
        (libc::SYS_mknodat, 0),
    ];
    for (number, at) in calls {
        let taken = Taken::new();
        let mut args = [0; 5];
        // With descriptors of its own the call is made, and fails for its null path.
        assert!(taken.call(number, args).unwrap() < 0, "call {number}");
        args[at] = cwd;
        assert_eq!(taken.call(number, args), Err(Signal::SIGSYS), "call {number}, argument {at}");
    }
}

/// Mount points of what tells of the host or turns its knobs, and a file in each that is there.
const PSEUDO: [&str; 6] = [
    "proc/version",
    "proc/sys/kernel/core_pattern",
    "proc/1/environ",
    "sys/kernel/mm/transparent_hugepage/enabled",
    "sys/fs/cgroup/cgroup.procs",
    "dev/pts/ptmx",
];

#[test]
fn pseudo_file_systems_are_not_in_the_gofers_trees() {
    if !is_root() {
        return;
    }
    let opened = |taken: &Taken| {
        let mut opened = Vec::new();
        for fd in taken.descriptors() {
            let ours = PSEUDO.into_iter().filter(|path| taken.open(fd, path, libc::O_RDONLY).unwrap() >= 0);
            opened.extend(ours);
        }
        opened
    };
    let taken = Taken::without(None);
    assert_eq!(opened(&taken), [""; 0]);
    let real = taken.descriptors().into_iter().any(|fd| taken.open(fd, "etc/passwd", libc::O_RDWR).unwrap() >= 0);
    assert!(real, "the writable bind is there");
    // What is shown in their place is nobody's to change or to remove, which would take the host's mount with it.
    let flags = u64::from((libc::O_CREAT | libc::O_WRONLY).unsigned_abs());
    let roots = taken.descriptors().into_iter().filter(|&fd| taken.open(fd, "proc", libc::O_PATH).unwrap() >= 0);
    for fd in roots {
        let fd = u64::from(fd.unsigned_abs());
        let path = taken.put(b"proc/new\0");
        assert_eq!(taken.call(libc::SYS_openat, [fd, path, flags, 0o644, 0]).unwrap(), -i64::from(libc::EROFS));
    }
    assert!(opened(&Taken::without(Some("covers"))).contains(&"proc/version"));
}

#[test]
fn the_gofer_has_the_capabilities_of_file_access_only() {
    if !is_root() {
        return;
    }
    // Process 1 of the sandbox is the sentry, in whose memory all secrets of the guest are.
    let reaches_sentry =
        |taken: &Taken| taken.descriptors().into_iter().any(|fd| taken.open(fd, "1/mem", libc::O_RDWR).unwrap() >= 0);
    let taken = Taken::without(None);
    let status = std::fs::read_to_string(format!("/proc/{}/status", taken.pid)).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID.
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0b1_1011), "{set}");
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0), "{set}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".into(), "2".into()));
    assert!(!reaches_sentry(&taken));
    assert!(reaches_sentry(&Taken::without(Some("capabilities"))));
}

#[test]
fn paths_without_a_descriptor_of_its_own_are_what_the_filter_stops() {
    if !is_root() {
        return;
    }
    let open = |defence| Taken::without(defence).open(libc::AT_FDCWD, "/etc/passwd", libc::O_RDONLY);
    assert_eq!(open(None), Err(Signal::SIGSYS));
    assert!(open(Some("paths")).unwrap() >= 0);
}

/// As a host file system that does not answer: whoever asks waits (until the sandbox ends, even if killed); the others go on.
#[test]
fn a_gofer_that_never_answers_holds_up_the_call_and_nothing_else() {
    let script = "trap go=1 USR1; echo ready; while [ -z \"$go\" ]; do :; done
        (echo </etc/never) & echo going; kill -9 $!; echo killed; while :; do :; done";
    let mut running = Running::with(&["do", "--", "/bin/sh", "-c", script]);
    let gofer = Pid::from_raw(running.gofer);
    nix::sys::signal::kill(gofer, Signal::SIGSTOP).unwrap();
    running.signal(rustix::process::Signal::USR1);
    assert_eq!([running.line(), running.line()], ["going", "killed"]);
    let handles = running.handles();
    running.signal(rustix::process::Signal::KILL);
    assert!(all_end(&handles));
    running.command.wait().unwrap();
}

#[test]
fn the_gofer_has_a_layout_of_its_own() {
    // Where the program, its heap and libc are.
    let layout = |pid: i32| -> Vec<String> {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let of = |what: &str| maps.lines().find(|line| line.ends_with(what)).unwrap().split('-').next().unwrap().to_owned();
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        [program.to_str().unwrap(), "libc.so.6", "[stack]", "[vdso]"].map(of).to_vec()
    };
    let same = |weaken: &[&str]| {
        let script = ["--", "/bin/sh", "-c", "echo ready; exec sleep 1000"];
        let running = Running::with(&[&["do"], weaken, &script].concat());
        let shared = layout(running.gofer).into_iter().zip(layout(running.sentry)).filter(|(a, b)| a == b).count();
        running.signal(rustix::process::Signal::KILL);
        running.finish();
        shared
    };
    assert_eq!(same(&[]), 0);
    assert_eq!(same(&["--weaken", "layout"]), 4);
}
