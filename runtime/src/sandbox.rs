//! The command's side of a sandbox: makes its processes, forwards signals, waits, and cleans up.

use std::os::fd::{AsRawFd, OwnedFd};

use bevor_abi::Errno;
use bevor_gofer::confine::{Confinement, Orders};
use bevor_hostcall::process::{
    Namespaces, close_all_but, ignored_signals, lift_file_size_limit, set_signal_mask, spawn, wait_signal,
};
use bevor_platform::Defence;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, wait as wait_any};

use crate::control::{Control, Message};
use crate::failure::Failure;
use crate::gofer;
use crate::sentry::{self, Ids, Inheritance, Kernel};
use crate::spec::Spec;

/// Signals that are passed on to the sandbox's first process.
const FORWARDED: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGWINCH,
];

/// First of the host ids that sandboxes of root use: two for each, by the command's pid. Above every range that useradd,
/// systemd and container engines hand out by default.
const ID_BASE: u32 = 0x7000_0000;
/// Where those are not mapped into the user namespace that Bevor itself runs in.
const ID_FALLBACK: u32 = 65_532;

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Runs `kernel` in a new sandbox; the exit status to end with.
pub(crate) fn run<K: Kernel>(spec: &Spec, kernel: K) -> Result<u8, Failure> {
    let ignored = ignored_signals();
    // The program's limit is the kernel's to keep; what the kernel writes has none.
    lift_file_size_limit();
    let forwarded = FORWARDED.iter().map(|&signal| bit(signal)).sum::<u64>() & !ignored;
    let watched = forwarded | bit(libc::SIGCHLD);
    let signal_mask = set_signal_mask(watched).map_err(start_failure("block signals"))?;

    let (ours, theirs) = Control::pair().map_err(start_failure("make a socket pair"))?;
    let (gofer_sentry, gofer_server) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(start_failure("make a socket pair"))?;

    let root = rustix::process::geteuid().is_root();
    let command = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).map_err(start_failure("name the command"))?;
    let has = |defence| spec.defences.has(defence);
    let confinement =
        Confinement { covers: has(Defence::Covers), paths: has(Defence::Paths), capabilities: has(Defence::Capabilities) };
    let orders = Orders { mounts: spec.gofer_mounts(), masks: spec.masks.clone(), confinement };
    // The gofer makes its other namespaces itself, while the sentry is made here.
    let apart = if root { Namespaces::PID } else { Namespaces::empty() };
    let gofer = spawn(apart, || {
        if let Err(e) = tie_to(&command).and_then(|()| close_all_but(&[2, gofer_server.as_raw_fd()])) {
            Failure::new(format_args!("cannot start the gofer: {e}")).report();
            return 1;
        }
        if has(Defence::Layout) { gofer::execute(&orders, &gofer_server) } else { gofer::serve(&orders, gofer_server) }
    })
    .map_err(start_failure("fork the gofer"))?;
    let mut children = Children { sentry: None, gofer: Pid::from_raw(gofer) };

    let inheritance = Inheritance {
        spec,
        control: theirs,
        gofer: gofer_sentry,
        ids: Ids { stub: u32::from(root), groups: root },
        ignored_signals: ignored,
        signal_mask,
    };
    let sentry = spawn(Namespaces::all(), || sentry::main(inheritance, kernel)).map_err(namespace_failure)?;
    children.sentry = Pid::from_raw(sentry);
    write_id_maps(sentry, root)?;
    ours.send(Message::Go).map_err(start_failure("start the sentry"))?;
    wait(&ours, watched, children)
}

fn start_failure<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Failure {
    move |e| Failure::new(format_args!("cannot start the sandbox: {step}: {e}"))
}

fn namespace_failure(e: Errno) -> Failure {
    let advice = match e {
        Errno::EPERM | Errno::EACCES => {
            "; run as root, or let ordinary users make user namespaces (see the sysctls user.max_user_namespaces, \
             kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns)"
        }
        Errno::ENOSPC | Errno::EUSERS => "; the limit of namespaces is reached (see the sysctls in /proc/sys/user)",
        _ => "",
    };
    Failure::new(format_args!("cannot create namespaces: {e}{advice}"))
}

/// Ends this process with its parent `command`, also if that is gone already.
fn tie_to(command: &OwnedFd) -> Result<(), Errno> {
    let failed = |e: rustix::io::Errno| Errno::from_code(e.raw_os_error()).unwrap_or(Errno::EIO);
    // Of its own session, so that a terminal's signals don't reach it.
    rustix::process::setsid().map_err(failed)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    // In a pid namespace of its own the process would not know its parent's number.
    let gone = poll(&mut [PollFd::new(command, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_err(failed)?;
    if gone == 0 { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Maps the sandbox's ids 0 (sentry) and 1 (stubs) to host ids that nobody else uses; for an ordinary user, 0 to the user.
fn write_id_maps(sentry: i32, root: bool) -> Result<(), Failure> {
    let write = |file: &str, text: &str| std::fs::write(format!("/proc/{sentry}/{file}"), text);
    let result = if root {
        let both = |base: u32| {
            let map = format!("0 {base} 1\n1 {} 1\n", base + 1);
            write("uid_map", &map).and_then(|()| write("gid_map", &map))
        };
        both(ID_BASE + 2 * std::process::id()).or_else(|_| both(ID_FALLBACK))
    } else {
        let user = format!("0 {} 1\n", rustix::process::geteuid().as_raw());
        let group = format!("0 {} 1\n", rustix::process::getegid().as_raw());
        write("setgroups", "deny").and_then(|()| write("uid_map", &user)).and_then(|()| write("gid_map", &group))
    };
    result.map_err(start_failure("map user ids"))
}

/// How long a gofer may take to end once the sentry has, before it is killed: a host's file system may keep it waiting.
const GOFER_GRACE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The sandbox's processes that are this process's children, while they live. They are killed when this is dropped; a gofer
/// without a sentry may end on its own before.
#[derive(Debug)]
struct Children {
    sentry: Option<Pid>,
    gofer: Option<Pid>,
}

impl Drop for Children {
    fn drop(&mut self) {
        if let (None, Some(gofer)) = (self.sentry, self.gofer) {
            // Whatever goes wrong here, the gofer is killed next.
            let _ = pidfd_open(gofer, PidfdFlags::empty())
                .and_then(|handle| poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&GOFER_GRACE)));
        }
        for pid in [self.sentry, self.gofer].into_iter().flatten() {
            // It may have ended in the meantime; it is a child, so the number is still its own.
            let _ = kill_process(pid, Signal::KILL);
        }
        // The sentry's end waits for every process of its pid namespace.
        while self.sentry.is_some() || self.gofer.is_some() {
            match wait_any(WaitOptions::empty()) {
                Ok(Some((pid, _))) => self.gone(pid),
                Err(rustix::io::Errno::INTR) => {}
                _ => break,
            }
        }
    }
}

impl Children {
    fn gone(&mut self, pid: Pid) {
        for child in [&mut self.sentry, &mut self.gofer] {
            if *child == Some(pid) {
                *child = None;
            }
        }
    }
}

/// Forwards signals until the sentry has ended.
fn wait(control: &Control, watched: u64, mut children: Children) -> Result<u8, Failure> {
    loop {
        let signal = match wait_signal(watched) {
            Ok(signal) => signal,
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(Failure::new(format_args!("cannot wait for the sandbox: {e}"))),
        };
        if signal != libc::SIGCHLD {
            forward(control, signal);
            continue;
        }
        while let Ok(Some((pid, status))) = wait_any(WaitOptions::NOHANG) {
            let was_sentry = children.sentry == Some(pid);
            let was_gofer = children.gofer == Some(pid);
            children.gone(pid);
            if was_sentry {
                return verdict(control, status);
            }
            // Status 0: the sentry has closed the connection, it is ending.
            if was_gofer && status.exit_status() != Some(0) {
                return Err(died("gofer", status));
            }
        }
    }
}

fn forward(control: &Control, signal: i32) {
    if let Ok(number) = u8::try_from(signal) {
        // If the sandbox is gone or its queue full, the signal is lost, as for a process that has just ended.
        let _ = control.send(Message::Signal(number));
    }
    if signal == libc::SIGTSTP {
        // Stop as well, so that a shell with job control takes the terminal back; SIGCONT is forwarded when it comes.
        let _ = kill_process(rustix::process::getpid(), Signal::STOP);
    }
}

/// What the sentry said before it ended.
fn verdict(control: &Control, status: WaitStatus) -> Result<u8, Failure> {
    let mut last = None;
    while let Some(message) = control.poll() {
        last = Some(message);
    }
    match last {
        Some(Message::Exit(status)) => Ok(status),
        // Reported on stderr by the sentry.
        Some(Message::Failed) => Ok(crate::failure::OWN_FAILURE),
        _ => Err(died("sentry", status)),
    }
}

fn died(who: &str, status: WaitStatus) -> Failure {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(libc::SIGSYS), _) => Failure::new(format_args!(
            "the {who} died of SIGSYS: it made a host call that its seccomp filter does not allow (a bug in Bevor)"
        )),
        (Some(signal), _) => Failure::new(format_args!("the {who} was killed by signal {signal}; the sandbox is gone")),
        (None, Some(101)) => Failure::new(format_args!("the {who} panicked (a bug in Bevor); the sandbox is gone")),
        (None, code) => {
            Failure::new(format_args!("the {who} ended unexpectedly with status {}; the sandbox is gone", code.unwrap_or(-1)))
        }
    }
}
