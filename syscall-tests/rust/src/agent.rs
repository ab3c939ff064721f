//! The agent: runs probes one after another inside the container, on orders from standard input.
//!
//! It asks little of the kernel under test: fork, execve, pipe2, poll, read, write, wait4, mkdir, kill. It sets nothing
//! that a probe would inherit but its working directory, its environment, session and descriptors 0 to 3.

use std::ffi::{CStr, CString, OsStr};
use std::io::{BufRead, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::helpers::{MS, Plain, Sigaction, now};
use crate::sys::sys;

const DEFAULT_TIMEOUT_MS: i64 = 10_000;
/// How often a child is looked for where the kernel gives no pidfd.
const TICK_MS: i64 = 10;
/// Bytes of observations taken from one probe.
const OUTPUT_LIMIT: usize = 4 << 20;
/// SYSLOG_ACTION_READ_ALL of syslog(2).
const READ_ALL: i32 = 3;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    hello: Option<bool>,
    quit: Option<bool>,
    run: Option<String>,
    #[serde(default)]
    lang: Option<Lang>,
    timeout_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Lang {
    C,
    Rust,
}

/// How a probe ended.
enum Ending {
    Exit(i32),
    Signal(i32),
    Timeout,
    Failed(String),
}

/// Serves orders until `quit` or the end of standard input. `program` is the path that this binary was started by.
pub(crate) fn serve(program: &str) -> i32 {
    let home = home(program);
    let _ = sys!(prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return 1 };
        let order: Order = match serde_json::from_str(&line) {
            Ok(order) => order,
            Err(e) => {
                emit(&json!({"error": format!("not an order: {e}")}));
                continue;
            }
        };
        if order.quit == Some(true) {
            return 0;
        }
        if order.hello == Some(true) {
            emit(&json!({"hello": {"dmesg": dmesg(), "uname": uname()}}));
        }
        if let Some(probe) = order.run {
            let timeout = order.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
            let program = home.join(match order.lang.unwrap_or(Lang::Rust) {
                Lang::C => "probes-c",
                Lang::Rust => "probes-rust",
            });
            let done = match run(&program, &probe, timeout) {
                Ending::Exit(status) => json!({"probe": probe, "exit": status}),
                Ending::Signal(signal) => json!({"probe": probe, "signal": signal}),
                Ending::Timeout => json!({"probe": probe, "timeout": true}),
                Ending::Failed(why) => {
                    emit(&json!({"probe": probe, "line": json!({"broken": why}).to_string()}));
                    json!({"probe": probe, "exit": 127})
                }
            };
            emit(&json!({"done": done}));
        }
    }
    0
}

/// The folder of the binaries: where this one was started from.
fn home(program: &str) -> PathBuf {
    let path =
        if program.contains('/') { PathBuf::from(program) } else { std::fs::read_link("/proc/self/exe").unwrap_or_default() };
    let dir = path.parent().unwrap_or(Path::new("/"));
    if dir.is_absolute() { dir.to_path_buf() } else { std::env::current_dir().unwrap_or_default().join(dir) }
}

fn emit(event: &Json) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}

fn dmesg() -> String {
    let mut log = vec![0_u8; 16384];
    let n = sys!(syslog, READ_ALL, log.as_mut_slice(), log.len()).count();
    log.truncate(n);
    String::from_utf8_lossy(&log).into_owned()
}

fn uname() -> String {
    let mut u = libc::utsname::zero();
    let _ = sys!(uname, &mut u);
    let part = |field: &[libc::c_char]| -> String {
        field.iter().take_while(|c| **c != 0).map(|c| char::from(c.cast_unsigned())).collect()
    };
    [&u.sysname, &u.release, &u.version, &u.machine].map(|f| part(f)).join(" ")
}

fn run(program: &Path, probe: &str, timeout_ms: i64) -> Ending {
    let dir = match work_dir() {
        Ok(dir) => dir,
        Err(e) => return Ending::Failed(format!("mkdir of the work directory: {e}")),
    };
    let ending = run_in(program, probe, timeout_ms, &dir);
    let _ = std::fs::remove_dir_all(&dir);
    ending
}

fn work_dir() -> std::io::Result<PathBuf> {
    let base = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let mut last = std::io::Error::from_raw_os_error(libc::EEXIST);
    for i in 0..1000 {
        let dir = base.join(format!("probe-{}-{i}", std::process::id()));
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// What execve takes, made before fork so that the child allocates nothing.
struct Exec {
    program: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    dir: CString,
}

fn run_in(program: &Path, probe: &str, timeout_ms: i64, dir: &Path) -> Ending {
    let c = |s: &OsStr| CString::new(s.as_bytes()).unwrap_or_default();
    let mut dir_variable = b"BEVOR_PROBE_DIR=".to_vec();
    dir_variable.extend_from_slice(dir.as_os_str().as_bytes());
    let exec = Exec {
        program: c(program.as_os_str()),
        argv: vec![c(program.as_os_str()), c("run".as_ref()), c(probe.as_ref())],
        envp: vec![
            c("BEVOR_OBS_FD=3".as_ref()),
            CString::new(dir_variable).unwrap_or_default(),
            c("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".as_ref()),
            c("LANG=C.UTF-8".as_ref()),
        ],
        dir: c(dir.as_os_str()),
    };
    let mut ends = [-1_i32; 2];
    let made = sys!(pipe2, &mut ends, libc::O_CLOEXEC);
    if made.errno() != 0 {
        return Ending::Failed(format!("pipe2: {}", crate::errno::errno_name(made.errno())));
    }
    let forked = sys!(fork);
    if forked.raw == 0 {
        become_probe(&exec, ends[1]);
    }
    let _ = sys!(close, ends[1]);
    let ending = if forked.errno() == 0 {
        watch(forked.as_i32(), ends[0], probe, timeout_ms)
    } else {
        Ending::Failed(format!("fork: {}", crate::errno::errno_name(forked.errno())))
    };
    let _ = sys!(close, ends[0]);
    ending
}

/// The child: its own session, null standard streams, the observations on 3, everything else closed by execve.
fn become_probe(exec: &Exec, out: i32) -> ! {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let _ = sys!(setsid);
    for signal in 1..=64 {
        let _ = sys!(rt_sigaction, signal, &Sigaction::zero(), 0, 8);
    }
    let _ = sys!(rt_sigprocmask, libc::SIG_SETMASK, &0_u64, 0, 8);
    let null: &CStr = c"/dev/null";
    let null = sys!(openat, libc::AT_FDCWD, null, libc::O_RDWR | libc::O_CLOEXEC).as_i32();
    // Out of the way first: either could be one of the numbers below.
    let out = sys!(fcntl, out, libc::F_DUPFD_CLOEXEC, 10).as_i32();
    for standard in 0..3 {
        let _ = sys!(dup2, null, standard);
    }
    let _ = sys!(dup2, out, 3);
    let _ = sys!(chdir, exec.dir.as_c_str());
    let (argv, envp) = (pointers(&exec.argv), pointers(&exec.envp));
    let _ = sys!(execve, exec.program.as_c_str(), argv.as_slice(), envp.as_slice());
    loop {
        let _ = sys!(exit_group, 127);
    }
}

/// Passes the probe's lines on until it has ended or its time is up, then kills what is left of it.
fn watch(pid: i32, out: i32, probe: &str, timeout_ms: i64) -> Ending {
    let deadline = now() + timeout_ms.saturating_mul(MS);
    let pidfd = sys!(pidfd_open, pid, 0).as_i32();
    let mut lines = Lines::new(out, probe);
    let status = loop {
        let mut status = 0_i32;
        if sys!(wait4, pid, &mut status, libc::WNOHANG, 0).as_i32() == pid {
            break Some(status);
        }
        let left = (deadline - now()).max(0).div_euclid(MS);
        if left == 0 || lines.overflowed() {
            break None;
        }
        let patience = if pidfd >= 0 { left } else { left.min(TICK_MS) };
        let mut polled = [
            libc::pollfd { fd: if lines.open { out } else { -1 }, events: libc::POLLIN, revents: 0 },
            libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 },
        ];
        let _ = sys!(poll, polled.as_mut_slice(), 2, patience);
        if polled[0].revents != 0 {
            lines.pump();
        }
    };
    let _ = sys!(kill, -pid, libc::SIGKILL);
    if status.is_none() {
        let _ = sys!(kill, pid, libc::SIGKILL);
        let mut ignored = 0_i32;
        let _ = sys!(wait4, pid, &mut ignored, 0, 0);
    }
    if pidfd >= 0 {
        let _ = sys!(close, pidfd);
    }
    sweep();
    lines.drain();
    match status {
        None => Ending::Timeout,
        Some(s) if libc::WIFSIGNALED(s) => Ending::Signal(libc::WTERMSIG(s)),
        Some(s) => Ending::Exit(libc::WEXITSTATUS(s)),
    }
}

/// Kills and reaps descendants that left the probe's group and came to this process as orphans.
fn sweep() {
    for _ in 0..1000 {
        let mut ignored = 0_i32;
        let reaped = sys!(wait4, -1, &mut ignored, libc::WNOHANG, 0);
        if reaped.errno() != 0 {
            return;
        }
        if reaped.raw == 0 {
            let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
            let mut found = false;
            for child in children.split_ascii_whitespace().filter_map(|w| w.parse::<i32>().ok()) {
                found = true;
                let _ = sys!(kill, child, libc::SIGKILL);
            }
            if !found {
                return;
            }
            let _ = sys!(sched_yield);
        }
    }
}

/// The probe's output, cut into lines.
struct Lines<'a> {
    fd: i32,
    probe: &'a str,
    partial: Vec<u8>,
    taken: usize,
    open: bool,
}

impl<'a> Lines<'a> {
    fn new(fd: i32, probe: &'a str) -> Self {
        let flags = sys!(fcntl, fd, libc::F_GETFL).as_i32();
        let _ = sys!(fcntl, fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
        Self { fd, probe, partial: Vec::new(), taken: 0, open: true }
    }

    fn overflowed(&self) -> bool {
        self.taken > OUTPUT_LIMIT
    }

    /// Takes what one read gives; false if there was nothing.
    fn pump(&mut self) -> bool {
        let mut chunk = [0_u8; 16384];
        let read = sys!(read, self.fd, chunk.as_mut_slice(), chunk.len());
        if read.raw == 0 {
            self.open = false;
        }
        let n = read.count();
        self.taken += n;
        self.partial.extend_from_slice(chunk.get(..n).unwrap_or_default());
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.pass(&line[..end]);
        }
        n > 0
    }

    /// Takes what is left, up to a last line without its end.
    fn drain(&mut self) {
        while !self.overflowed() && self.pump() {}
        if !self.partial.is_empty() {
            let rest = std::mem::take(&mut self.partial);
            self.pass(&rest);
        }
    }

    fn pass(&self, line: &[u8]) {
        emit(&json!({"line": String::from_utf8_lossy(line), "probe": self.probe}));
    }
}
