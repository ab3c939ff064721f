//! Objects that are made and dropped, over and over, leave nothing in the sentry or the gofer: kind by kind (`hostile/soak.c`), the host's
//! figures before and after.
//!
//! The usual run makes a few thousand of each. The long one (`ci/full soak`) makes 100,000, and prints what each kind left:
//! `SOAK_ROUNDS=100000 cargo test -p bevor --test soak -- --nocapture` (SOAK_KINDS=a,b: these kinds).

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

mod common;
use common::{bevor, children};

/// What may be left, in KiB: the allocator's slack.
const LEFT: i64 = 1024;
/// Descriptors that may be left: spares, and names that are still cached.
const DESCRIPTORS: i64 = 64;

/// The compiled guest, and a folder to bind.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/soak.c");
    let program = dir.path().join("soak");
    let status = Command::new("cc").args(["-static", "-O1", "-pthread", "-o"]).arg(program).arg(source).status();
    assert!(status.expect("a C compiler").success());
    let rw = dir.path().join("rw");
    std::fs::create_dir(&rw).unwrap();
    for (path, mode) in [(dir.path(), 0o755), (&rw, 0o777)] {
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode);
        std::fs::set_permissions(path, mode).unwrap();
    }
    dir
}

fn kinds(dir: &Path) -> Vec<String> {
    if let Ok(some) = std::env::var("SOAK_KINDS") {
        return some.split(',').map(str::to_owned).collect();
    }
    let list = Command::new(dir.join("soak")).arg("list").output().unwrap();
    String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A guest that makes objects of one kind.
struct Guest {
    command: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Sentry and gofer.
    processes: Vec<i32>,
}

impl Guest {
    fn start(dir: &Path, kind: &str, warm: u64) -> Self {
        let bind = |from: &Path, to: &str| format!("{}:{to}", from.display());
        let mut command = Command::new(bevor())
            .args(["do", "--bind", &bind(dir, "/soak:ro"), "--bind", &bind(&dir.join("rw"), "/rw")])
            .args(["--", "/soak/soak", "/rw", kind, &warm.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = command.stdin.take().unwrap();
        let stdout = BufReader::new(command.stdout.take().unwrap());
        let mut guest = Self { command, stdin, stdout, processes: Vec::new() };
        guest.expect("ready", kind);
        guest.processes = children(guest.command.id());
        guest
    }

    fn expect(&mut self, word: &str, kind: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word, "{kind}");
    }

    fn make(&mut self, rounds: u64, kind: &str) {
        self.stdin.write_all(format!("{rounds}\n").as_bytes()).unwrap();
        self.expect("done", kind);
    }

    /// KiB of written memory, and descriptors, of sentry and gofer: the least within `limit`, since what has ended is cleared away, and the
    /// heap trimmed, once there is time for it. `enough` ends the wait.
    fn settled(&self, limit: Duration, enough: impl Fn(i64, i64) -> bool) -> (i64, i64) {
        let end = Instant::now() + limit;
        let (mut memory, mut descriptors) = (i64::MAX, i64::MAX);
        while Instant::now() < end && !enough(memory, descriptors) {
            memory = memory.min(self.processes.iter().map(|pid| written(*pid)).sum());
            descriptors = descriptors.min(self.processes.iter().map(|pid| open(*pid)).sum());
            std::thread::yield_now();
        }
        (memory, descriptors)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

fn written(pid: i32) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field =
        |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok());
    // Older hosts do not tell how much of the dirty memory is whose.
    field("Pss_Dirty:").or_else(|| field("Private_Dirty:")).expect(&text)
}

fn open(pid: i32) -> i64 {
    i64::try_from(std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()).unwrap()
}

/// What is left of `rounds` rounds after `warm` ones, kind by kind; the kinds that leave too much.
fn run(warm: u64, rounds: u64) -> (String, Vec<String>) {
    let dir = folder();
    let todo = Mutex::new(kinds(dir.path()).into_iter());
    let results = Mutex::new((String::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(kind) = { todo.lock().unwrap().next() } {
                    let start = Instant::now();
                    let mut guest = Guest::start(dir.path(), &kind, warm);
                    let before = guest.settled(Duration::from_secs(1), |_, _| false);
                    guest.make(rounds, &kind);
                    let after = guest.settled(Duration::from_secs(20), |memory, files| {
                        memory < before.0 + LEFT && files < before.1 + DESCRIPTORS
                    });
                    let (memory, files) = (after.0 - before.0, after.1 - before.1);
                    let line = format!("{kind:14} {:6} KiB {memory:+6} KiB {files:+5} fds {:6.1?}", before.0, start.elapsed());
                    println!("{line}");
                    let mut results = results.lock().unwrap();
                    let _ = writeln!(results.0, "{line}");
                    if memory > LEFT || files > DESCRIPTORS {
                        results.1.push(kind);
                    }
                }
            });
        }
    });
    results.into_inner().unwrap()
}

/// Some thousand rounds, or as many as SOAK_ROUNDS says.
#[test]
fn what_is_made_and_dropped_leaves_nothing() {
    let rounds = std::env::var("SOAK_ROUNDS").ok().map_or(4000, |n| n.parse().expect("SOAK_ROUNDS is a number"));
    let (text, leaks) = run(10_000.min(rounds), rounds);
    assert!(leaks.is_empty(), "{leaks:?} leave something:\n{text}");
}
