//! A running sandbox with a pretended kernel, and its processes.
#![allow(dead_code, reason = "each test crate uses a part")]

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// The command under test.
pub(crate) fn bevor() -> &'static str {
    env!("CARGO_BIN_EXE_bevor")
}

/// `bevor selftest-confinement signals`, ready.
pub(crate) struct Running {
    pub(crate) command: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) sentry: i32,
    pub(crate) gofer: i32,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::with(&["selftest-confinement", "signals"])
    }

    /// `bevor` with `arguments`, ready.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        // Whoever runs the tests in the background may ignore SIGINT, and an ignored signal is not forwarded.
        let mut command = Command::new("env")
            .arg("--default-signal")
            .arg(bevor())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(command.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let children = children(command.id());
        let sentry = *children.iter().find(|pid| ns_pid_is_one(**pid)).expect("one child is process 1 of its namespaces");
        let gofer = *children.iter().find(|pid| **pid != sentry).expect("the other is the gofer");
        // The sentry does not wait for it.
        let confined = || std::fs::read_to_string(format!("/proc/{gofer}/status")).unwrap().contains("Seccomp:\t2");
        while !confined() {
            std::thread::yield_now();
        }
        Self { command, stdout, sentry, gofer }
    }

    pub(crate) fn pids(&self) -> [i32; 3] {
        [i32::try_from(self.command.id()).unwrap(), self.sentry, self.gofer]
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pids()[0]).unwrap(), signal).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Handles that become readable when the processes end.
    pub(crate) fn handles(&self) -> Vec<OwnedFd> {
        // A process that is gone already (a spare stub) has ended.
        self.pids().iter().filter_map(|&pid| pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()).collect()
    }

    /// Waits for the command; its exit code and what it wrote on stderr.
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.command.stderr.take().unwrap(), &mut text).unwrap();
        (self.command.wait().unwrap().code(), text)
    }
}

/// Whether every process ends within 10 seconds.
pub(crate) fn all_end(handles: &[OwnedFd]) -> bool {
    handles.iter().all(|handle| {
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&limit)) == Ok(1)
    })
}

/// Direct children of a process.
pub(crate) fn children(pid: u32) -> Vec<i32> {
    let parent = format!("PPid:\t{pid}\n");
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|child: &i32| {
            std::fs::read_to_string(format!("/proc/{child}/status")).is_ok_and(|status| status.contains(&parent))
        })
        .collect()
}

/// Whether a process that may have ended meanwhile is a sentry: the first of its pid namespace, and in a user namespace of its own.
pub(crate) fn ns_pid_is_one(pid: i32) -> bool {
    let user = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user"));
    let own_user = user(&pid.to_string()).map_or(true, |own| user("self").is_ok_and(|ours| ours != own));
    own_user
        && std::fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|status| status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")))
}

/// Says why a test that needs root proves nothing here; whether it is root.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let _ = writeln!(std::io::stderr(), "not root: the parts that need root are left out");
    }
    root
}
