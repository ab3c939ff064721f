//! Starts a command in a group, hands on its output line by line as it appears, and never hangs.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::accounting::Group;
use crate::protocol::Lines;
use crate::tie::tie;

/// How much of standard error an error message quotes, in bytes.
const QUOTED_BYTES: usize = 500;

/// A command to run.
#[derive(Debug)]
pub(crate) struct Launch {
    /// Program and arguments.
    pub(crate) argv: Vec<OsString>,
    /// CPU to which the whole group is pinned.
    pub(crate) pin: Option<usize>,
    /// After this the group is killed and the run has failed.
    pub(crate) timeout: Duration,
}

/// Makes the child of `command` enter a control group and pin itself before it starts its program,
/// so that everything it starts inherits both.
pub(crate) fn on_exec(command: &mut Command, entrance: Option<File>, pin: Option<usize>) {
    let set = pin.map(|cpu| {
        // SAFETY: an all-zero cpu_set_t is an empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: CPU_SET checks the number against the set's size.
        unsafe { libc::CPU_SET(cpu, &mut set) };
        set
    });
    let prepare = move || {
        if let Some(file) = &entrance {
            // SAFETY: the descriptor is open and the buffer is one valid byte.
            let written = unsafe { libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) };
            if written != 1 {
                return Err(io::Error::last_os_error());
            }
        }
        if let Some(set) = &set {
            // SAFETY: the set is valid for its size; 0 names the calling thread.
            let result = unsafe { libc::sched_setaffinity(0, size_of_val(set), set) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes two system calls and allocates nothing, which is allowed between
    // fork and exec.
    unsafe { command.pre_exec(prepare) };
}

/// Starts `launch` in `group` with the given standard output and error.
pub(crate) fn spawn(launch: &Launch, group: &Group, stdout: Stdio, stderr: Stdio) -> Result<Child> {
    let (program, arguments) = launch.argv.split_first().context("empty command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    tie(&mut command)?;
    on_exec(&mut command, group.entrance()?, launch.pin);
    command.spawn().with_context(|| format!("cannot start {}", program.to_string_lossy()))
}

/// Called for each line of output as soon as it is there, with the id of the started process.
pub(crate) type OnLine<'a> = dyn FnMut(&str, u32) -> Result<()> + 'a;

/// Runs `launch` to its end. A status other than 0, a timeout and an error of `on_line` are errors
/// that quote the end of standard error.
pub(crate) fn run(launch: &Launch, group: &Group, on_line: &mut OnLine<'_>) -> Result<()> {
    let mut stderr = tempfile::tempfile()?;
    let mut child = spawn(launch, group, Stdio::piped(), stderr.try_clone()?.into())?;
    let outcome = follow(&mut child, launch.timeout, on_line);
    if outcome.is_err() {
        group.kill_all();
        // It may be outside of the group if it was killed before it entered. Errors mean it is gone.
        let _ = child.kill();
    }
    let waited = child.wait().context("cannot wait for the command");
    let complaint = match outcome.and(waited) {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => format!("{error:#}"),
    };
    let said = tail(&mut stderr).unwrap_or_default();
    if said.is_empty() {
        bail!("{complaint}");
    }
    bail!("{complaint}: {said}")
}

/// Hands on the child's output until end of file or the deadline.
fn follow(child: &mut Child, timeout: Duration, on_line: &mut OnLine<'_>) -> Result<()> {
    let deadline = Instant::now() + timeout;
    let mut stdout = child.stdout.take().context("no pipe")?;
    let mut lines = Lines::default();
    let mut buffer = [0_u8; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no end after {} s", timeout.as_secs());
        }
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(left.min(Duration::from_secs(1))).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, wait) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        let count = stdout.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        for line in lines.push(&buffer[..count]) {
            on_line(&line, child.id())?;
        }
    }
}

/// The end of what was written to standard error, as one line.
fn tail(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let from = bytes.len().saturating_sub(QUOTED_BYTES);
    let text = String::from_utf8_lossy(&bytes[from..]);
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::Accounting;

    fn shell(script: &str, timeout: Duration) -> (Result<()>, Vec<String>) {
        let group = Accounting::detect().unwrap().group().unwrap();
        let launch = Launch { argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(), pin: None, timeout };
        let mut lines = Vec::new();
        let result = run(&launch, &group, &mut |line, _| {
            lines.push(line.to_owned());
            Ok(())
        });
        (result, lines)
    }

    #[test]
    fn output_is_handed_on_line_by_line() {
        let (result, lines) = shell("echo a b; echo c", Duration::from_secs(30));
        result.unwrap();
        assert_eq!(lines, ["a b", "c"]);
    }

    #[test]
    fn failure_names_the_status_and_quotes_stderr() {
        let (result, _) = shell("echo oh >&2; echo dear >&2; exit 7", Duration::from_secs(30));
        assert_eq!(result.unwrap_err().to_string(), "exit status: 7: oh dear");
    }

    #[test]
    fn a_hanging_command_is_killed_at_the_deadline() {
        let group = Accounting::detect().unwrap().group().unwrap();
        let launch =
            Launch { argv: ["/bin/sleep", "1000"].map(Into::into).to_vec(), pin: None, timeout: Duration::from_millis(200) };
        let error = run(&launch, &group, &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "no end after 0 s");
        assert_eq!(group.pids().unwrap(), Vec::<i32>::new());
    }

    #[test]
    fn a_pinned_command_may_use_one_cpu_only() {
        let group = Accounting::detect().unwrap().group().unwrap();
        let launch = Launch {
            argv: vec!["nproc".into()],
            pin: crate::provenance::allowed_cpus().first().copied(),
            timeout: Duration::from_secs(30),
        };
        let mut lines = Vec::new();
        run(&launch, &group, &mut |line, _| {
            lines.push(line.to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(lines, ["1"]);
    }
}
