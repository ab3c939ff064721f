//! One container: a column's command with the agent in it, spoken to over pipes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bevor_bench::tie::tie;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::manifest::Probe;
use crate::stream::{Outcome, RawRun};

/// Placeholder in a column's command that stands for the boot nonce.
pub const NONCE: &str = "{nonce}";
/// Placeholder in a column's command that stands for a fresh folder on the host, one for each container.
pub const WORK: &str = "{work}";
/// What the error of a container without proof says.
pub(crate) const LACKS_NONCE: &str = "its kernel log lacks the boot nonce";
/// Bytes of agent output that one probe may cause.
pub const OUTPUT_LIMIT: usize = 1 << 20;
/// How long a container may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(30);
/// What the harness allows beyond the agent's own time limit before it kills the container.
const GRACE: Duration = Duration::from_secs(5);
/// Lines of the container's own standard error that are kept.
const LOG_LINES: usize = 200;
/// Longest line read from a container, in bytes.
const LINE_LIMIT: u64 = 8 << 20;

/// A column: a way to run the probes.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name in results and the table.
    pub name: String,
    /// Command to which the agent's is appended; may hold [`NONCE`].
    pub command: Vec<String>,
}

impl Column {
    /// Whether the column must prove by the nonce that it answered itself.
    #[must_use]
    pub fn needs_proof(&self) -> bool {
        self.command.iter().any(|a| a.contains(NONCE))
    }
}

/// How the agent is started inside a container.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// Lines in a sandbox's own log that fail the probe they appear under.
#[derive(Debug, Clone, Default)]
pub struct LogPolicy {
    /// Substrings of warnings that are known and listed.
    pub allowed: Vec<String>,
}

/// An entry of `log-allow.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowedLine {
    text: String,
    why: String,
}

impl LogPolicy {
    /// Reads the listed warnings (`[{text, why}]`); no file lists none.
    ///
    /// # Errors
    /// [`Error::Input`] if the file isn't of that form, or an entry is empty or has no reason.
    pub fn load(path: &std::path::Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(Error::input(format!("can't read {}: {e}", path.display()))),
        };
        let lines: Vec<AllowedLine> =
            serde_yaml::from_str(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
        if lines.iter().any(|l| l.text.trim().is_empty() || l.why.trim().is_empty()) {
            return Err(Error::input(format!("{}: an entry without text or reason", path.display())));
        }
        Ok(Self { allowed: lines.into_iter().map(|l| l.text).collect() })
    }

    /// The first panic or unlisted warning among `lines`.
    #[must_use]
    pub fn offence<'a>(&self, lines: &'a [String]) -> Option<&'a str> {
        lines.iter().map(String::as_str).find(|line| {
            line.contains("panicked at")
                || (["WARN", "warning:", "ERROR"].iter().any(|w| line.contains(w))
                    && !self.allowed.iter().any(|a| line.contains(a.as_str())))
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    hello: Option<Hello>,
    line: Option<String>,
    probe: Option<String>,
    done: Option<Done>,
}

#[derive(Debug, Deserialize)]
struct Hello {
    #[serde(default)]
    dmesg: String,
    #[serde(default)]
    uname: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    probe: String,
    exit: Option<i32>,
    signal: Option<i32>,
    timeout: Option<bool>,
}

enum FromReader {
    Event(Event),
    Garbage(String),
    Overflow,
}

/// A started container whose agent has said hello.
pub struct Container {
    child: Child,
    group: Pid,
    stdin: Option<ChildStdin>,
    events: Receiver<FromReader>,
    budget: Arc<AtomicUsize>,
    log: Arc<Mutex<VecDeque<String>>>,
    policy: LogPolicy,
    dead: bool,
    /// What stands for [`WORK`], removed with it.
    #[expect(dead_code, reason = "its drop removes the folder")]
    work: Option<tempfile::TempDir>,
    /// Kernel release that the agent saw.
    pub uname: String,
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Container {
    /// Starts `agent` in `column` and checks the column's proof.
    ///
    /// # Errors
    /// [`Error::Infrastructure`] if it doesn't start, doesn't say hello, or its kernel log lacks the nonce.
    pub fn start(column: &Column, agent: &Agent, policy: &LogPolicy) -> Result<Self> {
        let nonce = fresh_nonce()?;
        let work = match column.command.iter().any(|a| a.contains(WORK)) {
            true => Some(work_folder().map_err(|e| Error::infra(format!("column {}: no work folder: {e}", column.name)))?),
            false => None,
        };
        let folder = work.as_ref().map(|w| w.path().display().to_string()).unwrap_or_default();
        let mut argv =
            column.command.iter().map(|a| a.replace(NONCE, &nonce).replace(WORK, &folder)).chain(agent.command.iter().cloned());
        let program = argv.next().ok_or_else(|| Error::input(format!("column {}: empty command", column.name)))?;
        let mut command = Command::new(&program);
        // An agent that is busy does not see its orders end.
        tie(&mut command)
            .map_err(|e| Error::infra(format!("column {}: can't tie {program} to the harness: {e}", column.name)))?;
        let mut child = command
            .args(argv)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .envs(common_environment())
            .spawn()
            .map_err(|e| Error::infra(format!("column {}: can't start {program}: {e}", column.name)))?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let (sender, events) = sync_channel(256);
        let budget = Arc::new(AtomicUsize::new(OUTPUT_LIMIT));
        let log = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(out) = child.stdout.take() {
            let budget = Arc::clone(&budget);
            std::thread::spawn(move || read_events(out, &sender, &budget));
        }
        if let Some(err) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || read_log(err, &log));
        }
        let stdin = child.stdin.take();
        let mut container =
            Self { child, group, stdin, events, budget, log, policy: policy.clone(), dead: false, work, uname: String::new() };
        let hello = container.hello().map_err(|e| Error::infra(format!("column {}: {e}", column.name)))?;
        if column.needs_proof() && !hello.dmesg.contains(&format!("Bevor: boot nonce {nonce}")) {
            return Err(Error::infra(format!(
                "column {}: {LACKS_NONCE} {nonce}: nothing shows that the sandbox answered",
                column.name
            )));
        }
        container.uname = hello.uname;
        Ok(container)
    }

    fn order(&mut self, order: &serde_json::Value) -> std::io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        writeln!(stdin, "{order}").and_then(|()| stdin.flush())
    }

    fn hello(&mut self) -> std::result::Result<Hello, String> {
        let asked = self.order(&json!({"hello": true}));
        let answer = match self.events.recv_timeout(HELLO_TIMEOUT) {
            Ok(FromReader::Event(Event { hello: Some(h), .. })) => Ok(h),
            Ok(FromReader::Event(_)) => Err("the agent answered something else than hello".to_owned()),
            Ok(FromReader::Garbage(g)) => Err(format!("not the agent's protocol: {g}")),
            Ok(FromReader::Overflow) => Err("too much output before hello".to_owned()),
            Err(RecvTimeoutError::Timeout) => Err("no hello from the agent in 30 s".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err("the container ended before the agent's hello".to_owned()),
        };
        answer.map_err(|what| {
            self.kill();
            let log = self.log_tail();
            let asked = asked.err().map(|e| format!(" (stdin: {e})")).unwrap_or_default();
            if log.is_empty() { format!("{what}{asked}") } else { format!("{what}{asked}: {log}") }
        })
    }

    /// The end of the kernel log as the agent sees it now; `None` if it no longer says.
    pub fn kernel_log(&mut self) -> Option<String> {
        if self.dead {
            return None;
        }
        self.hello().ok().map(|hello| hello.dmesg)
    }

    /// Process id of the column's command.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the container can run another probe.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.dead
    }

    /// Runs one probe. Never fails: what goes wrong is the run's outcome, and may leave the container unusable.
    pub fn run(&mut self, probe: &Probe) -> RawRun {
        let mut lines = Vec::new();
        self.budget.store(OUTPUT_LIMIT, Ordering::SeqCst);
        if let Ok(mut log) = self.log.lock() {
            log.clear();
        }
        let order = json!({"run": probe.id, "lang": probe.lang.name(), "timeout_ms": probe.timeout_ms});
        let mut outcome = match self.order(&order) {
            Ok(()) => self.collect(probe, &mut lines),
            Err(e) => Outcome::Container(format!("the agent takes no order: {e}")),
        };
        if matches!(outcome, Outcome::Container(_) | Outcome::Timeout | Outcome::Overflow | Outcome::Crashed(_)) {
            self.kill();
        }
        let log: Vec<String> = self.log.lock().map(|l| l.iter().cloned().collect()).unwrap_or_default();
        if let Some(line) = self.policy.offence(&log) {
            outcome = Outcome::SandboxLog(line.to_owned());
            self.kill();
        }
        RawRun { lines, outcome }
    }

    fn collect(&mut self, probe: &Probe, lines: &mut Vec<String>) -> Outcome {
        let deadline = Instant::now() + Duration::from_millis(probe.timeout_ms) + GRACE;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(FromReader::Event(event)) => {
                    if let Some(line) = event.line {
                        if event.probe.as_deref().is_none_or(|p| p == probe.id) {
                            lines.push(line);
                        }
                    } else if let Some(done) = event.done.filter(|d| d.probe == probe.id) {
                        return match (done.timeout, done.signal, done.exit) {
                            (Some(true), _, _) => Outcome::Timeout,
                            (_, Some(signal), _) => Outcome::Crashed(signal_name(signal)),
                            (_, _, Some(0)) => Outcome::Completed,
                            (_, _, Some(status)) => Outcome::Exited(status),
                            _ => Outcome::Container("the agent gave no ending".into()),
                        };
                    }
                }
                Ok(FromReader::Garbage(g)) => {
                    return Outcome::Container(format!("not the agent's protocol: {g}"));
                }
                Ok(FromReader::Overflow) => return Outcome::Overflow,
                Err(RecvTimeoutError::Timeout) => return Outcome::Timeout,
                Err(RecvTimeoutError::Disconnected) => {
                    return Outcome::Container("it ended".into());
                }
            }
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = log.len().saturating_sub(3);
        log.iter().skip(skip).cloned().collect::<Vec<_>>().join("; ")
    }

    /// Kills the process group, then the container's first process, and reaps it.
    pub fn kill(&mut self) {
        if std::mem::replace(&mut self.dead, true) {
            return;
        }
        self.stdin = None;
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the agent to leave and waits a moment for the container to end by itself.
    pub fn quit(mut self) {
        if !self.dead && self.order(&json!({"quit": true})).is_ok() {
            self.stdin = None;
            // The stream's end is the container's: the reader thread hangs up when every writer is gone.
            let deadline = Instant::now() + GRACE;
            while self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
        }
        self.kill();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder that every user of the sandbox can use, on a tmpfs if the host has one, so that it differs from the reference's by the
/// sandbox and not by the host's file system.
fn work_folder() -> std::io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o1777))?;
    Ok(dir)
}

/// The environment every column starts with.
fn common_environment() -> [(&'static str, &'static str); 4] {
    [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
    ]
}

fn fresh_nonce() -> Result<String> {
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|e| Error::infra(format!("can't read /dev/urandom: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn read_events(out: impl Read, sender: &SyncSender<FromReader>, budget: &AtomicUsize) {
    let mut reader = BufReader::new(out);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                let left = budget.load(Ordering::SeqCst);
                if n > left {
                    let _ = sender.send(FromReader::Overflow);
                    return;
                }
                budget.store(left - n, Ordering::SeqCst);
            }
        }
        let message = match serde_json::from_slice(&line) {
            Ok(event) => FromReader::Event(event),
            Err(_) => {
                FromReader::Garbage(String::from_utf8_lossy(&line).chars().take(120).collect::<String>().trim_end().to_owned())
            }
        };
        if sender.send(message).is_err() {
            return;
        }
    }
}

fn read_log(err: impl Read, log: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(err);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(4096).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}

/// Name of signal `number`, or the number itself.
#[must_use]
pub fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.as_str().to_owned())
}

/// Where the agent's program lies for a jail that hides the host's /tmp and other mounts: a `--bind` if needed.
#[must_use]
pub fn bind_for(program: &std::path::Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let dir: PathBuf = program.parent()?.to_path_buf();
    let device = |p: &std::path::Path| std::fs::metadata(p).ok().map(|m| m.dev());
    let hidden = dir.starts_with("/tmp") || device(&dir) != device(std::path::Path::new("/"));
    let dir = dir.to_str()?;
    hidden.then(|| format!("{dir}:{dir}:ro"))
}

#[cfg(test)]
mod tests {
    use super::LogPolicy;

    #[test]
    fn panics_and_unlisted_warnings_are_offences() {
        let policy = LogPolicy { allowed: vec!["no such call".into()] };
        let offence = |line: &str| policy.offence(&[line.to_owned()]).is_some();
        assert!(offence("thread 'main' panicked at src/x.rs:1:1"));
        assert!(offence("WARN slow"));
        assert!(!offence("WARN no such call: 999"));
        assert!(!offence("INFO started"));
    }

    #[test]
    fn a_listed_warning_needs_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log-allow.yaml");
        assert!(LogPolicy::load(&path).unwrap().allowed.is_empty());
        std::fs::write(&path, "- { text: slow, why: '' }\n").unwrap();
        assert!(LogPolicy::load(&path).is_err());
        std::fs::write(&path, "- { text: slow, why: known }\n").unwrap();
        assert_eq!(LogPolicy::load(&path).unwrap().allowed, ["slow"]);
    }
}
