//! A gofer that was taken over, played by ptrace: what it can reach with the filter, capabilities and descriptors that it has.

use std::io::{IoSlice, IoSliceMut};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

mod common;
use common::{Running, is_root};

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
        let running = Running::start();
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
