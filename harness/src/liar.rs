//! A deliberately lying runtime for `selfcheck`: runs a command under ptrace(2) and alters the answers of
//! chosen system calls, in probes only.
//!
//! It also answers syslog(2) with the boot nonce, as a sandbox does, so that the proof itself is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// What is done to a call's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Falsehood {
    /// The call isn't made and fails with this errno.
    Errno(Errno),
    /// The call isn't made and returns 0.
    Noop,
    /// The call is made and returns this instead.
    Ret(i64),
}

/// A lie about one system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lie {
    /// Its name.
    pub call: String,
    /// Its x86-64 number.
    pub number: i64,
    /// What is done.
    pub falsehood: Falsehood,
}

/// The calls that can be lied about: those that the fixture probes observe.
pub const CALLS: [(&str, i64); 8] = [
    ("getuid", libc::SYS_getuid),
    ("getgid", libc::SYS_getgid),
    ("getppid", libc::SYS_getppid),
    ("getpgid", libc::SYS_getpgid),
    ("umask", libc::SYS_umask),
    ("getpriority", libc::SYS_getpriority),
    ("dup", libc::SYS_dup),
    ("sched_yield", libc::SYS_sched_yield),
];

/// Errnos that a lie can name; none is a native answer of those calls.
pub const ERRNOS: [(&str, Errno); 3] = [("EDOM", Errno::EDOM), ("ENOSYS", Errno::ENOSYS), ("EXDEV", Errno::EXDEV)];

impl FromStr for Lie {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (call, what) = text.split_once('=').ok_or("a lie is CALL=errno:NAME, CALL=noop or CALL=ret:N")?;
        let number =
            CALLS.iter().find(|(n, _)| *n == call).map(|(_, n)| *n).ok_or_else(|| format!("can't lie about `{call}`"))?;
        let falsehood = match what.split_once(':') {
            None if what == "noop" => Falsehood::Noop,
            Some(("ret", n)) => Falsehood::Ret(n.parse().map_err(|_| format!("`{n}` is not a number"))?),
            Some(("errno", name)) => ERRNOS
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, e)| Falsehood::Errno(*e))
                .ok_or_else(|| format!("can't answer `{name}`"))?,
            _ => return Err(format!("`{what}` is not errno:NAME, noop or ret:N")),
        };
        Ok(Self { call: call.into(), number, falsehood })
    }
}

/// `liar --stopped`: asks to be traced, stops, and executes the command. Returns only on failure.
///
/// # Errors
/// [`Error::Infrastructure`] if tracing or execution fails.
pub fn stopped(command: &[OsString]) -> Result<ExitCode> {
    let [program, args @ ..] = command else {
        return Err(Error::input("liar: no command given"));
    };
    ptrace::traceme().map_err(|e| Error::infra(format!("liar: traceme: {e}")))?;
    raise(Signal::SIGSTOP).map_err(|e| Error::infra(format!("liar: stop: {e}")))?;
    let error = Command::new(program).args(args).exec();
    Err(Error::infra(format!("liar: can't execute {}: {error}", program.display())))
}

/// `liar`: runs `command` and lies to the probes in it. The exit code is the command's.
///
/// # Errors
/// [`Error::Infrastructure`] if tracing fails.
pub fn run(command: &[OsString], lies: &[Lie], nonce: Option<&str>) -> Result<ExitCode> {
    let child = Command::new("/proc/self/exe")
        .args(["liar", "--stopped", "--"])
        .args(command)
        .spawn()
        .map_err(|e| Error::infra(format!("liar: {e}")))?;
    let main = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let mut tracer = Tracer {
        lies,
        nonce,
        probes: BTreeSet::new(),
        known: BTreeSet::from([main]),
        pending: BTreeMap::new(),
        inside: BTreeSet::new(),
    };
    waitpid(main, Some(WaitPidFlag::__WALL)).map_err(trace_error)?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, options).map_err(trace_error)?;
    ptrace::syscall(main, None).map_err(trace_error)?;
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => {
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                let code = 128 + i32::from(u8::try_from(signal as i32).unwrap_or(0));
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)));
            }
            Ok(status) => match tracer.event(status) {
                // A tracee may be killed at any moment.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(e) => return Err(trace_error(e)),
            },
            Err(Errno::EINTR) => {}
            Err(e) => return Err(trace_error(e)),
        }
    }
}

fn trace_error(e: Errno) -> Error {
    Error::infra(format!("liar: ptrace: {e}"))
}

struct Tracer<'a> {
    lies: &'a [Lie],
    nonce: Option<&'a str>,
    /// Processes that run a probe.
    probes: BTreeSet<Pid>,
    /// Processes whose first stop was seen.
    known: BTreeSet<Pid>,
    /// Answers to put in at the call's exit.
    pending: BTreeMap<Pid, Answer>,
    /// Processes between a call's entry and its exit.
    inside: BTreeSet<Pid>,
}

enum Answer {
    Value(i64),
    Nonce { buffer: u64, length: u64 },
}

impl Tracer<'_> {
    fn event(&mut self, status: WaitStatus) -> nix::Result<()> {
        match status {
            WaitStatus::PtraceSyscall(pid) => {
                // Stops at a call's entry and exit alternate.
                if self.inside.remove(&pid) {
                    self.exit(pid)?;
                } else {
                    self.inside.insert(pid);
                    self.entry(pid)?;
                }
                ptrace::syscall(pid, None)
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == libc::PTRACE_EVENT_EXEC {
                    if is_probe(pid) {
                        self.probes.insert(pid);
                    } else {
                        self.probes.remove(&pid);
                    }
                } else if self.probes.contains(&pid)
                    && let Ok(child) = ptrace::getevent(pid).map(i32::try_from)
                    && let Ok(child) = child
                {
                    self.probes.insert(Pid::from_raw(child));
                }
                ptrace::syscall(pid, None)
            }
            WaitStatus::Stopped(pid, signal) => {
                let first = self.known.insert(pid);
                ptrace::syscall(pid, Some(signal).filter(|s| !(first && *s == Signal::SIGSTOP)))
            }
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) => {
                self.probes.remove(&pid);
                self.known.remove(&pid);
                self.pending.remove(&pid);
                self.inside.remove(&pid);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn entry(&mut self, pid: Pid) -> nix::Result<()> {
        const READ_ALL: u64 = 3;
        let mut regs = ptrace::getregs(pid)?;
        if regs.orig_rax == libc::SYS_syslog.unsigned_abs() && regs.rdi == READ_ALL && self.nonce.is_some() {
            let answer = Answer::Nonce { buffer: regs.rsi, length: regs.rdx };
            self.pending.insert(pid, answer);
            return Ok(());
        }
        let lie = self.lies.iter().find(|l| l.number.unsigned_abs() == regs.orig_rax && self.probes.contains(&pid));
        let Some(lie) = lie else { return Ok(()) };
        let (value, made) = match lie.falsehood {
            Falsehood::Errno(e) => (-i64::from(e as i32), false),
            Falsehood::Noop => (0, false),
            Falsehood::Ret(v) => (v, true),
        };
        self.pending.insert(pid, Answer::Value(value));
        if !made {
            // No call has this number, so the kernel does nothing.
            regs.orig_rax = u64::MAX;
            ptrace::setregs(pid, regs)?;
        }
        Ok(())
    }

    fn exit(&mut self, pid: Pid) -> nix::Result<()> {
        let Some(answer) = self.pending.remove(&pid) else {
            return Ok(());
        };
        let mut regs = ptrace::getregs(pid)?;
        regs.rax = match answer {
            Answer::Value(v) => v.cast_unsigned(),
            Answer::Nonce { buffer, length } => {
                let mut text = format!("<6>[    0.000000] Bevor: boot nonce {}\n", self.nonce.unwrap_or_default());
                text.truncate(usize::try_from(length).unwrap_or(usize::MAX));
                let written = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/mem")).and_then(|mut mem| {
                    mem.seek(SeekFrom::Start(buffer))?;
                    mem.write_all(text.as_bytes())
                });
                match written {
                    Ok(()) => u64::try_from(text.len()).unwrap_or(0),
                    Err(_) => (-i64::from(Errno::EFAULT as i32)).cast_unsigned(),
                }
            }
        };
        ptrace::setregs(pid, regs)
    }
}

/// Whether `pid` executes a probe: `run` is its first or second argument, as in `probes-c run ID`.
fn is_probe(pid: Pid) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|b| *b == 0).skip(1).take(2).any(|a| a == b"run")
}

#[cfg(test)]
mod tests {
    use super::{Falsehood, Lie};

    #[test]
    fn lies_are_parsed_and_bad_ones_refused() {
        let lie: Lie = "getuid=ret:-3".parse().unwrap();
        assert_eq!(lie.falsehood, Falsehood::Ret(-3));
        assert_eq!("umask=noop".parse::<Lie>().unwrap().falsehood, Falsehood::Noop);
        for bad in ["getuid", "execve=noop", "getuid=errno:EBOGUS", "getuid=ret:x", "getuid=maybe"] {
            assert!(bad.parse::<Lie>().is_err(), "{bad}");
        }
    }
}
