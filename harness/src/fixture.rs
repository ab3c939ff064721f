//! Built-in probes and a small agent for them: what the harness tests itself with, and what `selfcheck` lies to.
//!
//! They speak the very protocol of `syscall-tests/README.md`, so that the whole way from the agent to
//! the comparison is exercised without the probe binaries.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::json;

use crate::error::{Error, Result};

/// The fixture family's manifest.
pub const MANIFEST: &str = include_str!("fixture.yaml");

/// Ids of the misbehaving fixtures, which only the harness's own tests run.
pub const MISBEHAVING: [&str; 6] = ["crash", "hang", "flood", "garbage", "broken", "varying"];

type Stream = String;

fn plan(out: &mut Stream, ids: &[&str]) {
    let _ = writeln!(out, "{}", json!({ "plan": ids }));
}

fn obs(out: &mut Stream, id: &str, call: &str, kind: &str, answer: nix::Result<i64>, state: serde_json::Value) {
    let (ret, errno) = match answer {
        Ok(v) => (json!({"t": kind, "v": v}), None),
        Err(e) => (json!({"t": "int", "v": -1}), Some(format!("{e:?}"))),
    };
    let line = json!({"obs": id, "call": call, "args": {}, "ret": ret, "errno": errno, "state": state});
    let _ = writeln!(out, "{line}");
}

fn end(out: &mut Stream) {
    let _ = writeln!(out, "{}", json!({"end": true}));
}

/// The raw call, so that the answer is the kernel's and not libc's.
#[allow(unsafe_code)]
fn raw(number: libc::c_long, a: libc::c_long, b: libc::c_long) -> nix::Result<i64> {
    // SAFETY: callers pass numbers of calls that take integers only, or a pointer to a live C string.
    Errno::result(unsafe { libc::syscall(number, a, b) })
}

fn identities(out: &mut Stream) {
    plan(out, &["getuid", "getgid", "getppid", "getpgid"]);
    obs(out, "getuid", "getuid", "int", raw(libc::SYS_getuid, 0, 0), json!({}));
    obs(out, "getgid", "getgid", "int", raw(libc::SYS_getgid, 0, 0), json!({}));
    obs(out, "getppid", "getppid", "pid", raw(libc::SYS_getppid, 0, 0), json!({}));
    obs(out, "getpgid", "getpgid", "pid", raw(libc::SYS_getpgid, 0, 0), json!({}));
    end(out);
}

fn umask(out: &mut Stream) {
    plan(out, &["set", "get"]);
    let _ = raw(libc::SYS_umask, 0o22, 0);
    let first = raw(libc::SYS_umask, 0o77, 0);
    let now = status_field("Umask");
    obs(out, "set", "umask", "int", first, json!({"status": {"t": "str", "v": now}}));
    obs(out, "get", "umask", "int", raw(libc::SYS_umask, 0o22, 0), json!({}));
    end(out);
}

fn priority(out: &mut Stream) {
    plan(out, &["get", "bad_which"]);
    obs(out, "get", "getpriority", "int", raw(libc::SYS_getpriority, 0, 0), json!({}));
    obs(out, "bad_which", "getpriority", "int", raw(libc::SYS_getpriority, 9, 0), json!({}));
    end(out);
}

fn duplicate(out: &mut Stream) {
    plan(out, &["dup", "closed"]);
    let copy = raw(libc::SYS_dup, 2, 0);
    let same = copy.is_ok_and(|fd| {
        let link = |fd: i64| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok();
        link(fd) == link(2)
    });
    obs(out, "dup", "dup", "fd", copy, json!({"same": {"t": "bool", "v": same}}));
    obs(out, "closed", "dup", "fd", raw(libc::SYS_dup, 999, 0), json!({}));
    end(out);
}

fn yields(out: &mut Stream) {
    plan(out, &["yield"]);
    obs(out, "yield", "sched_yield", "int", raw(libc::SYS_sched_yield, 0, 0), json!({}));
    end(out);
}

fn status_field(name: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim().to_owned()
}

/// `fixture run NAME`: one fixture probe; the stream goes to descriptor 3 by way of /proc.
///
/// # Errors
/// [`Error::Input`] for an unknown name, [`Error::Infrastructure`] if the stream can't be written.
pub fn run(id: &str) -> Result<ExitCode> {
    let mut out = String::new();
    let name = id.strip_prefix("fixture/").unwrap_or(id);
    match name {
        "identities" => identities(&mut out),
        "umask" => umask(&mut out),
        "priority" => priority(&mut out),
        "duplicate" => duplicate(&mut out),
        "yield" => yields(&mut out),
        "crash" => {
            plan(&mut out, &["before", "after"]);
            obs(&mut out, "before", "getuid", "int", Ok(0), json!({}));
        }
        "hang" => plan(&mut out, &["never"]),
        "flood" => {
            plan(&mut out, &["big"]);
            let filler = "x".repeat(64 << 10);
            for _ in 0..64 {
                let _ = writeln!(out, "{}", json!({ "obs": filler }));
            }
        }
        "garbage" => out.push_str("not json\n"),
        "broken" => {
            plan(&mut out, &["never"]);
            let _ = writeln!(out, "{}", json!({"broken": "mkdir of the work directory: EACCES"}));
            end(&mut out);
        }
        "varying" => {
            plan(&mut out, &["random"]);
            let v = std::process::id();
            obs(&mut out, "random", "getpid", "int", Ok(i64::from(v)), json!({}));
            end(&mut out);
        }
        _ => return Err(Error::input(format!("no fixture probe `{id}`"))),
    }
    std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/fd/3")
        .and_then(|mut f| f.write_all(out.as_bytes()))
        .map_err(|e| Error::infra(format!("fixture: can't write the stream: {e}")))?;
    match name {
        "crash" => {
            let _ = nix::sys::signal::raise(Signal::SIGABRT);
        }
        "hang" => nix::unistd::pause(),
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    hello: bool,
    #[serde(default)]
    quit: bool,
    run: Option<String>,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// `fixture agent`: the agent's protocol over the fixture probes.
///
/// # Errors
/// [`Error::Infrastructure`] if stdin or stdout fails, [`Error::Input`] for an order it doesn't know.
pub fn agent() -> Result<ExitCode> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::infra(format!("agent: stdin: {e}")))?;
        let order: Order = serde_json::from_str(&line).map_err(|e| Error::input(format!("agent: bad order: {e}")))?;
        if order.quit {
            break;
        }
        if order.hello {
            let uname = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned());
            say(&json!({"hello": {"dmesg": kernel_log(), "uname": uname.unwrap_or_default()}}))?;
        }
        let _ = order.lang;
        if let Some(id) = order.run {
            run_child(&id, Duration::from_millis(order.timeout_ms.unwrap_or(10_000)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(event: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{event}").and_then(|()| out.flush()).map_err(|e| Error::infra(format!("agent: stdout: {e}")))
}

fn run_child(id: &str, timeout: Duration) -> Result<()> {
    let infra = |e: std::io::Error| Error::infra(format!("agent: {id}: {e}"));
    // The stream is the child's descriptor 3: a shell moves its stdout there, which needs no fork of ours.
    let mut child = Command::new("/bin/sh")
        .args(["-c", "exec 3>&1 >/dev/null; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().map_err(infra)?)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .args(["fixture", "run", id])
        .env("BEVOR_OBS_FD", "3")
        .spawn()
        .map_err(infra)?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let stdout = child.stdout.take();
    let (sender, lines) = mpsc::sync_channel(64);
    let reader = std::thread::spawn(move || {
        let Some(stdout) = stdout else { return };
        for line in BufReader::new(stdout.take(8 << 20)).lines().map_while(std::io::Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let deadline = std::time::Instant::now() + timeout;
    let mut timed_out = false;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => say(&json!({"line": line, "probe": id}))?,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                timed_out = true;
                let _ = killpg(group, Signal::SIGKILL);
                break;
            }
        }
    }
    drop(lines);
    let status = child.wait().map_err(infra)?;
    let _ = killpg(group, Signal::SIGKILL);
    let _ = reader.join();
    let done = if timed_out {
        json!({"probe": id, "timeout": true})
    } else if let Some(signal) = status.signal() {
        json!({"probe": id, "signal": signal})
    } else {
        json!({"probe": id, "exit": status.code()})
    };
    say(&json!({ "done": done }))
}

/// The last 4 KiB of the kernel's log (syslog(2), SYSLOG_ACTION_READ_ALL), or nothing.
#[allow(unsafe_code)]
fn kernel_log() -> String {
    const READ_ALL: libc::c_int = 3;
    let mut buffer = vec![0u8; 4096];
    // SAFETY: the buffer is live and 4096 bytes long, which is the length passed.
    let n = unsafe { libc::klogctl(READ_ALL, buffer.as_mut_ptr().cast(), 4096) };
    buffer.truncate(usize::try_from(n).unwrap_or(0));
    String::from_utf8_lossy(&buffer).into_owned()
}
