//! What a guest can make has an end, kind by kind, and comes back; what it makes on the host has one, too, and where the host's memory runs
//! out, a guest's process goes, not the sandbox.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bevor_core::memory::Kind;
use tempfile::TempDir;

mod common;
use common::{bevor, children, is_root, ns_pid_is_one};

/// The compiled guest `name`.
fn guest(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("cc")
        .args(["-static", "-O1", "-pthread", "-I"])
        .arg(package.join("../kernel/stub/c"))
        .arg("-o")
        .arg(dir.path().join(name))
        .arg(package.join(format!("tests/hostile/{name}.c")))
        .status()
        .expect("a C compiler");
    assert!(status.success());
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    dir
}

/// A shell in a sandbox that runs what it is told.
struct Shell {
    command: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    sentry: i32,
}

impl Shell {
    fn start(guest: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(bevor())
            .args(["do", "--file-memory", "64M", "--bind", &format!("{}:/hostile:ro", guest.display())])
            .args(options)
            .args(["--", "/bin/sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (command.stdin.take().unwrap(), BufReader::new(command.stdout.take().unwrap()));
        let mut shell = Self { command, stdin, stdout, sentry: 0 };
        shell.run("true");
        let children = children(shell.command.id());
        shell.sentry = *children.iter().find(|pid| ns_pid_is_one(**pid)).expect("the sentry");
        shell
    }

    /// What a command line writes.
    fn run(&mut self, line: &str) -> String {
        self.stdin.write_all(format!("{line}\necho status $?\n").as_bytes()).unwrap();
        let mut text = String::new();
        while !text.contains("status ") {
            let read = self.stdout.read_line(&mut text).unwrap();
            assert!(read > 0, "the sandbox has ended: {text}");
        }
        text
    }

    /// MiB that the sentry has written.
    fn memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.sentry)).unwrap();
        let field = text.lines().find_map(|l| l.strip_prefix("Private_Dirty:")?.trim().strip_suffix(" kB"));
        field.unwrap().trim().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

#[test]
fn every_kind_of_object_has_an_end_and_comes_back() {
    let dir = guest("kinds");
    let mut shell = Shell::start(dir.path(), &[]);
    let before = shell.memory();
    for kind in Kind::ALL {
        let text = shell.run(&format!("/hostile/kinds {kind:?}"));
        let errno = match kind {
            // Each has a socket behind it, of which there are fewer.
            Kind::PendingConnection | Kind::SocketName => Kind::Socket.errno(),
            kind => kind.errno(),
        };
        let refused = format!(", then {errno:?}\n");
        assert!(text.contains(&refused) && text.ends_with("one more\nstatus 0\n"), "{kind:?}: {text}");
        assert!(shell.run("/bin/ls / >/dev/null && echo fine").contains("fine"), "{kind:?}: a bystander");
    }
    // Each keeps the place of its process.
    let text = shell.run("/hostile/kinds Zombie");
    assert!(text.contains(", then EAGAIN\n") && text.ends_with("one more\nstatus 0\n"), "{text}");
    // The sentry's memory is back, once it has time for that.
    let end = Instant::now() + Duration::from_secs(90);
    while shell.memory() > before + 12 && Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let after = shell.memory();
    assert!(after <= before + 12, "{before} MiB of the sentry have become {after}");
    // The same guest where nothing has a ceiling.
    let mut shell = Shell::start(dir.path(), &["--weaken", "objects"]);
    for kind in ["Timer", "QueuedSignal", "Lock", "EpollInstance", "Zombie"] {
        let text = shell.run(&format!("/hostile/kinds {kind}"));
        assert!(text.contains("then no end"), "{kind}: {text}");
    }
}

#[test]
fn host_processes_of_a_sandbox_have_an_end() {
    let dir = guest("strays");
    let strays = |most: u64| {
        // The command's limit is that of all its stubs together.
        let output = Command::new("prlimit")
            .arg(format!("--nproc={most}:{most}"))
            .arg(bevor())
            .args(["do", "--bind", &format!("{}:/hostile:ro", dir.path().display())])
            .args(["--", "/hostile/strays", "600"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    if !is_root() {
        // The limit counts what else the user runs.
        return;
    }
    let text = strays(200);
    let count: u64 = text.split(' ').next().unwrap().parse().expect(&text);
    assert!((100..200).contains(&count) && text.ends_with("then EAGAIN\n"), "{text}");
    assert_eq!(strays(2000), "600 strays, then no end\n", "the attack where the limit is higher");
}

/// A memory control group of version 1 or 2, with a limit.
struct Group(PathBuf);

impl Group {
    fn make(bytes: u64) -> Option<Self> {
        let name = format!("bevor-test-{}", std::process::id());
        let unified = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(|root| {
            std::fs::read_to_string(format!("{root}/cgroup.subtree_control"))
                .is_ok_and(|c| c.split_whitespace().any(|c| c == "memory"))
        });
        let (root, limit) = match unified {
            Some(root) => (root, "memory.max"),
            None => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        };
        let path = Path::new(root).join(name);
        std::fs::create_dir(&path).ok()?;
        let group = Self(path);
        std::fs::write(group.0.join(limit), bytes.to_string()).ok()?;
        // Nothing to swap to, where that is counted.
        let _ = std::fs::write(group.0.join("memory.swap.max"), "0");
        let _ = std::fs::write(group.0.join("memory.memsw.limit_in_bytes"), bytes.to_string());
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        while std::fs::remove_dir(&self.0).is_err() && Instant::now() < end {
            std::thread::yield_now();
        }
    }
}

#[test]
fn where_memory_runs_out_a_guests_process_goes() {
    let group = if is_root() { Group::make(128 << 20) } else { None };
    let Some(group) = group else {
        let _ = writeln!(std::io::stderr(), "no memory control group can be made here: nothing is shown");
        return;
    };
    let dir = guest("strays");
    let mut shell = Shell::start(dir.path(), &[]);
    let command = i32::try_from(shell.command.id()).unwrap();
    let gofers: Vec<i32> = children(shell.command.id());
    let of_sandbox = |pid: &i32| {
        let ns = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        ns(*pid).is_some() && ns(*pid) == ns(shell.sentry)
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    for pid in all.filter(of_sandbox).chain(gofers.iter().copied()).chain([command]).collect::<Vec<i32>>() {
        // A spare may have ended.
        let _ = std::fs::write(group.0.join("cgroup.procs"), pid.to_string());
    }
    for _ in 0..3 {
        let text = shell.run("/hostile/strays oom");
        assert_eq!(text, "killed\nstatus 0\n");
    }
    assert!(shell.run("/bin/ls / >/dev/null && echo fine").contains("fine"));
    let alive = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "));
    assert!(gofers.iter().all(alive), "sentry and gofer");
    drop(shell);
}
