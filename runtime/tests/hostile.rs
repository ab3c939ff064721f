//! Guests that attack (`hostile/*.c`): whatever they do, nothing outside of their own address spaces is reached, the sandbox goes
//! on, and nothing is left behind.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

mod common;
use common::{all_end, bevor, children, ns_pid_is_one};

/// The compiled guests.
fn guests() -> &'static Path {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let names =
            ["calls", "stub", "channel", "exhaust", "hoard", "victim", "storms", "leftover", "readonly", "flight", "burn"];
        // Programs without an interpreter map no patched copies.
        for (name, linked) in names.into_iter().map(|name| (name, "-static")).chain([("stub", "-rdynamic")]) {
            let program = if linked == "-static" { name.to_owned() } else { format!("{name}-dynamic") };
            let status = Command::new("cc")
                .args([linked, "-O1", "-pthread", "-I"])
                .arg(package.join("../kernel/stub/c"))
                .arg("-o")
                .arg(dir.path().join(program))
                .arg(package.join(format!("tests/hostile/{name}.c")))
                .status()
                .expect("a C compiler");
            assert!(status.success(), "{name}.c does not compile");
        }
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        dir
    })
    .path()
}

/// A sandbox whose shell runs a hostile guest and then one that is not.
struct Sandbox {
    command: Child,
    output: Vec<u8>,
    ended: bool,
    pid_namespace: PathBuf,
    /// Keeps its number from being another's.
    namespace_held: Option<File>,
    gofer: i32,
    sentry: i32,
    log: tempfile::NamedTempFile,
    deadline: Instant,
}

impl Sandbox {
    fn start(script: &str, seconds: u64) -> Self {
        Self::with_options(&[], script, seconds)
    }

    fn with_options(options: &[&str], script: &str, seconds: u64) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut bind = guests().as_os_str().to_owned();
        bind.push(":/hostile:ro");
        let command = Command::new(bevor())
            .args(["do", "--debug-log"])
            .arg(log.path())
            .arg("--bind")
            .arg(bind)
            .args(options)
            .args(["--", "/bin/sh", "-c"])
            .arg(format!("echo started; read go; {script}; echo status $?; /bin/echo ALIVE"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut sandbox = Self {
            command,
            output: Vec::new(),
            ended: false,
            pid_namespace: PathBuf::new(),
            namespace_held: None,
            gofer: 0,
            sentry: 0,
            log,
            deadline,
        };
        sandbox.read_until("started\n");
        let children = children(sandbox.command.id());
        let sentry = *children.iter().find(|pid| ns_pid_is_one(**pid)).expect("the sentry");
        sandbox.sentry = sentry;
        sandbox.gofer = *children.iter().find(|pid| **pid != sentry).expect("the gofer");
        sandbox.pid_namespace = std::fs::read_link(format!("/proc/{sentry}/ns/pid")).unwrap();
        sandbox.namespace_held = Some(File::open(format!("/proc/{sentry}/ns/pid")).unwrap());
        // Now that its processes are known, they may end.
        sandbox.command.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        sandbox
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// Reads output until it contains `mark`, or to its end.
    fn read_until(&mut self, mark: &str) {
        if !self.read(mark) {
            let text = self.text();
            let _ = self.command.kill();
            let log = std::fs::read_to_string(self.log.path()).unwrap_or_default();
            panic!("the sandbox hangs; it has written:\n{text}\nits log:\n{}", tail(&log));
        }
    }

    /// As [`Sandbox::read_until`]; whether that came in time.
    fn read(&mut self, mark: &str) -> bool {
        while !self.ended && !self.text().contains(mark) {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let limit = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap(), tv_nsec: 0 };
            let stdout = self.command.stdout.as_mut().unwrap();
            if left.is_zero() || poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&limit)) == Ok(0) {
                return false;
            }
            let mut chunk = [0; 4096];
            let n = stdout.read(&mut chunk).unwrap();
            self.output.extend_from_slice(&chunk[..n]);
            self.ended = n == 0;
        }
        true
    }

    /// How many descriptors the sentry has.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.sentry)).unwrap().count()
    }

    /// Host processes in the sandbox.
    fn processes(&self) -> Vec<i32> {
        let is_ours = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|ns| ns == self.pid_namespace);
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(|pid| is_ours(*pid))
            .collect()
    }

    /// The sandbox's end: all is as if the guest had been harmless. Returns what it wrote.
    fn finish(mut self, status: i32) -> String {
        drop(self.command.stdin.take());
        self.read_until("\u{0}");
        let gofer = pidfd_open(Pid::from_raw(self.gofer).unwrap(), PidfdFlags::empty()).ok();
        let code = self.command.wait().unwrap().code();
        let text = self.text();
        let log = std::fs::read_to_string(self.log.path()).unwrap();
        let about = format!("{text}\nlog:\n{}", tail(&log));
        assert!(text.ends_with(&format!("status {status}\nALIVE\n")), "{about}");
        assert!(!text.contains("FAIL"), "{about}");
        assert_eq!(code, Some(0), "{about}");
        assert!(!log.contains("panicked"), "{about}");
        assert!(gofer.is_none_or(|gofer| all_end(&[gofer])), "the gofer outlives the sandbox");
        let left = self.processes();
        assert!(left.is_empty(), "processes {left:?} outlive the sandbox");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(guests().to_str().unwrap()), "{mounts}");
        text
    }
}

/// Runs a script where `defence` is missing: the attack is a real one, and the test notices what comes of it. Returns what was written
/// until the end, or until `mark`, or for 20 seconds, and the command's status.
fn without(defence: &str, script: &str, mark: &str) -> (String, Option<i32>) {
    let script = format!("export PATIENCE=1500; {script}");
    let mut sandbox = Sandbox::with_options(&["--weaken", defence], &script, 20);
    drop(sandbox.command.stdin.take());
    sandbox.read(mark);
    let ended = sandbox.ended;
    if !ended {
        let _ = sandbox.command.kill();
    }
    let code = sandbox.command.wait().unwrap().code();
    (sandbox.text(), code.filter(|_| ended))
}

/// That the attack fails a check of its own where `defence` is missing.
fn succeeds_without(defence: &str, command: &str) -> String {
    let (text, _) = without(defence, &format!("/hostile/{command}"), "FAIL");
    assert!(text.contains("FAIL"), "{command} without {defence}: {text}");
    text
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(4000);
    text.get(start..).unwrap_or(text)
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // One that has ended does not mind.
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

/// Runs one attack to its end.
fn attack(command: &str, seconds: u64) -> String {
    Sandbox::start(&format!("/hostile/{command}"), seconds).finish(0)
}

/// What the guest `calls` tries to reach from outside.
struct Targets {
    dir: TempDir,
    victim: Child,
    listener: UnixListener,
    socket: String,
}

impl Targets {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let victim = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let socket = format!("bevor-hostile-{}", victim.id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&socket).unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { dir, victim, listener, socket }
    }

    fn args(&self) -> [String; 3] {
        [self.dir.path().to_str().unwrap().to_owned(), self.victim.id().to_string(), self.socket.clone()]
    }

    /// Which of them were reached: file, directory, process, socket.
    fn reached(mut self) -> [bool; 4] {
        // A killed process takes its time to end.
        let end = Instant::now() + Duration::from_millis(500);
        let mut exited = false;
        while !exited && Instant::now() < end {
            exited = self.victim.try_wait().unwrap().is_some();
            std::thread::yield_now();
        }
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let entries = |name: &str| self.dir.path().join(name).exists();
        [entries("canary"), entries("canary.d"), exited, self.listener.accept().is_ok()]
    }
}

/// How many host calls of the guest `calls` succeeded.
fn succeeded(text: &str) -> u32 {
    text.lines().find_map(|line| line.strip_prefix("succeeded: ")).expect(text).parse().unwrap()
}

#[test]
fn host_calls_from_the_gate_reach_nothing() {
    for mode in ["gate", "rewritten"] {
        let targets = Targets::new();
        let text = attack(&format!("calls {mode} {}", targets.args().join(" ")), 40);
        assert_eq!(succeeded(&text), 0, "{text}");
        assert_eq!(targets.reached(), [false; 4], "{mode}");
        // Without the filter the calls are made; what keeps them from these targets then is the sandbox's namespaces.
        let targets = Targets::new();
        succeeds_without("filter", &format!("calls {mode} {}", targets.args().join(" ")));
        assert_eq!(targets.reached(), [false; 4], "{mode}");
    }
    // The same calls without a sandbox in the way: the attack is a real one.
    let targets = Targets::new();
    let control = Command::new(guests().join("calls")).arg("native").args(targets.args()).output().unwrap();
    let text = String::from_utf8(control.stdout).unwrap();
    assert!(succeeded(&text) >= 12, "{text}");
    assert_eq!(targets.reached(), [true; 4]);
}

#[test]
fn a_stub_taken_apart_harms_only_itself() {
    attack("stub unmap", 60);
    succeeds_without("deadline", "stub unmap");
}

#[test]
fn masked_host_signals_save_nobody() {
    attack("stub mask", 60);
    succeeds_without("deadline", "stub mask");
}

#[test]
fn other_entries_and_segment_bases_lead_nowhere() {
    attack("stub entry", 40);
    let text = succeeds_without("entries", "stub entry");
    assert!(text.contains("int 0x80 succeeds"), "{text}");
}

#[test]
fn the_sentrys_memory_is_not_cut_off() {
    attack("stub shrink", 40);
    // The filter is the first line of defence, the seals are the second.
    let (text, code) = without("filter", "/hostile/stub shrink", "ALIVE\n");
    assert!(text.contains("ftruncate of the slab: -1\n") && text.ends_with("ALIVE\n"), "{code:?}: {text}");
    let (text, code) = without("filter,seals", "/hostile/stub shrink", "ALIVE\n");
    assert!(!text.contains("ALIVE") && code == Some(125), "{code:?}: {text}");
}

#[test]
fn shared_text_cannot_be_written() {
    attack("stub-dynamic text", 40);
    succeeds_without("seals", "stub-dynamic text");
}

#[test]
fn forged_requests_and_claims_are_refused() {
    // Thousands of notifications, each of which waits its turn on a busy machine.
    let text = attack("channel 5", 120);
    assert!(text.contains("storms"), "{text}");
    let text = succeeds_without("nonce", "channel 1 claims");
    assert!(text.contains("a claim "), "{text}");
    succeeds_without("caller", "channel 1");
}

#[test]
fn ten_thousand_forks_leak_nothing() {
    let mut sandbox = Sandbox::start("read x; /hostile/exhaust forks; echo counted; read x", 60);
    let before = sandbox.descriptors();
    sandbox.command.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    sandbox.read_until("counted\n");
    // The main shell, the zygote, the sentry, spares; ended children are reaped soon after.
    let end = Instant::now() + Duration::from_secs(10);
    while (sandbox.processes().len() > 8 || sandbox.descriptors() > before + 64) && Instant::now() < end {
        std::thread::yield_now();
    }
    let left = sandbox.processes();
    assert!(left.len() <= 8, "{} host processes are left after the guest's", left.len());
    let after = sandbox.descriptors();
    assert!(after <= before + 64, "{before} descriptors of the sentry have become {after}");
    sandbox.finish(1);
    // A leak shows.
    let mut sandbox =
        Sandbox::with_options(&["--weaken", "release"], "read x; /hostile/exhaust forks 300; echo counted; read x", 60);
    let before = sandbox.descriptors();
    sandbox.command.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    sandbox.read_until("counted\n");
    let after = sandbox.descriptors();
    assert!(after > before + 200, "{before} descriptors of the sentry have become {after}");
}

#[test]
fn limits_hold_fork_bombs_and_thread_storms() {
    let text = attack("exhaust bomb", 40);
    assert!(text.contains("bomb: "), "{text}");
    succeeds_without("processes", "exhaust bomb");
    attack("exhaust threads", 40);
    succeeds_without("processes", "exhaust threads");
}

#[test]
fn used_up_descriptors_and_memory_are_errors() {
    for what in ["files", "memory", "sizes"] {
        attack(&format!("exhaust {what}"), 60);
    }
    // What an unbounded memory does: `the_kernel_keeps_no_more_memory_than_it_may`.
    succeeds_without("descriptors", "exhaust files");
}

#[test]
fn what_the_kernel_keeps_of_a_kind_has_a_ceiling() {
    // Whatever the caller's own limit; then another program runs.
    let script = "/hostile/exhaust timers >/tmp/out 2>&1 && cat /tmp/out || echo endless; /bin/ls / >/dev/null && echo bystander";
    let run = |weaken: &[&str]| Sandbox::with_options(&[&["--file-memory", "64M"], weaken].concat(), script, 60).finish(0);
    let text = run(&[]);
    assert!(text.contains("timers: ") && text.contains("bystander") && !text.contains("endless"), "{text}");
    assert!(run(&["--weaken", "objects"]).contains("endless"), "the attack without the defence");
}

#[test]
fn what_is_nested_in_queues_and_watches_neither_overflows_nor_goes_round() {
    for how in ["chain", "watchers"] {
        attack(&format!("flight {how}"), 60);
        let (text, code) = without("nesting", &format!("/hostile/flight {how}"), "ALIVE\n");
        assert!(!text.contains("ALIVE") && code != Some(0), "{how}: {code:?}: {text}");
    }
    attack("flight circle", 60);
    let text = succeeds_without("nesting", "flight circle");
    assert!(text.contains("a circle"), "{text}");
}

#[test]
fn what_lies_in_queues_is_bounded_and_goes_when_nobody_can_receive_it() {
    for (how, defence) in [("cycles", "cycles"), ("carried", "objects"), ("pending", "objects")] {
        let script = format!("/hostile/flight {how}");
        Sandbox::with_options(&["--file-memory", "64M"], &script, 60).finish(0);
        let weak = ["--file-memory", "64M", "--weaken", defence];
        let mut sandbox = Sandbox::with_options(&weak, &script, 60);
        sandbox.read_until("FAIL");
    }
}

#[test]
fn a_datagram_that_is_too_long_is_refused_before_it_is_copied() {
    let peak = |options: &[&str]| {
        let mut sandbox = Sandbox::with_options(options, "/hostile/flight gather; echo done $?; read x", 60);
        sandbox.read_until("done 0\n");
        let status = std::fs::read_to_string(format!("/proc/{}/status", sandbox.sentry)).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak.unwrap() / 1024
    };
    let (with, without) = (peak(&[]), peak(&["--weaken", "objects"]));
    assert!(with < 150 && without > 250, "{with} MiB and {without} MiB");
}

#[test]
fn others_get_on_while_one_keeps_the_kernel_busy() {
    for how in ["polls", "crowd", "brood", "nests", "maps", "seekers", "locks", "vectors", "names", "signals", "vast"] {
        let text = Sandbox::with_options(&["--file-memory", "256M"], &format!("/hostile/burn {how}"), 120).finish(0);
        assert!(text.contains("then killed"), "{how}: {text}");
    }
    let text = succeeds_without("turns", "burn crowd");
    assert!(text.contains("the bystander does not get on"), "{text}");
}

/// Milliseconds of CPU time that a process has used.
fn cpu_time(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

#[test]
fn timers_that_nobody_waits_for_cost_little() {
    for how in ["timers", "ignored"] {
        let used = used_by_standing_timers(how);
        println!("{how}: {used} ms of 2000");
        // Looked at every 10 ms, 10,000 timers take a CPU for themselves.
        assert!(used < 700, "{how}: the sentry uses {used} ms in 2 s");
    }
}

/// Milliseconds of CPU time that the sentry uses in 2 s for the guest `burn`'s timers.
fn used_by_standing_timers(how: &str) -> u64 {
    let script = format!("/hostile/burn {how}; read x");
    let mut sandbox = Sandbox::with_options(&["--file-memory", "256M"], &script, 120);
    sandbox.read_until("standing still\n");
    // The first seconds are for those that have just been made.
    let measure = |sandbox: &Sandbox, time: Duration| {
        let (before, start) = (cpu_time(sandbox.sentry), Instant::now());
        while start.elapsed() < time {
            std::thread::park_timeout(time.saturating_sub(start.elapsed()));
        }
        cpu_time(sandbox.sentry) - before
    };
    measure(&sandbox, Duration::from_secs(3));
    let used = measure(&sandbox, Duration::from_secs(2));
    sandbox.command.stdin.as_mut().unwrap().write_all(b"go\n\n").unwrap();
    sandbox.read_until("then killed\n");
    used
}

/// How many MiB the kernel keeps for the guest `hoard` when it may keep `limit`; what else the guest says.
fn hoarded(how: &str, limit: &str) -> (u64, String) {
    let text = Sandbox::with_options(&["--file-memory", limit], &format!("/hostile/hoard {how}"), 60).finish(0);
    let kept = text.lines().find_map(|line| line.strip_prefix("kept ")?.strip_suffix(" MiB")?.parse().ok());
    (kept.expect("a figure"), text)
}

#[test]
fn the_kernel_keeps_no_more_memory_than_it_may() {
    for how in ["files", "sparse", "mapped", "held", "inherited", "pipes", "sockets", "names"] {
        let (kept, text) = hoarded(how, "64M");
        assert!((16..=64).contains(&kept) && !text.contains("without end"), "{how}: {text}");
        // Where nothing bounds it, the same guest gets more.
        let (kept, text) = hoarded(how, "1G");
        assert!(kept > 64 && !text.contains("without end"), "{how}: {text}");
    }
}

#[test]
fn memory_comes_back_when_nobody_has_the_file() {
    assert_eq!(hoarded("unlinked", "64M").0, 256);
}

#[test]
fn what_may_only_be_read_is_not_mapped_for_writing() {
    for how in ["shared", "private", "memfd", "program"] {
        attack(&format!("readonly {how}"), 20);
        let text = succeeds_without("read-only", &format!("readonly {how}"));
        assert!(text.contains("is mapped for writing"), "{text}");
    }
    // The gofer opens host files as it was asked to; there is nothing to take away.
    attack("readonly host", 20);
    // The attack shows by itself that it would work before.
    attack("readonly sealed", 20);
}

/// The host process in which the guest `victim` runs.
fn host_process_of_victim(sandbox: &Sandbox) -> i32 {
    let has_mark = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|m| m.contains("515151510000-"));
    sandbox.processes().into_iter().find(has_mark).expect("the victim's host process")
}

#[test]
fn a_stub_killed_from_outside_takes_only_its_process_along() {
    for how in ["pause", "spin"] {
        let mut sandbox = Sandbox::start(&format!("/hostile/victim {how}"), 20);
        sandbox.read_until("ready\n");
        let victim = host_process_of_victim(&sandbox);
        kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).unwrap();
        sandbox.finish(128 + 9);
    }
    // Where nobody notices, the shell waits for ever.
    let mut sandbox = Sandbox::with_options(&["--weaken", "reaper"], "/hostile/victim pause", 20);
    sandbox.read_until("ready\n");
    kill_process(Pid::from_raw(host_process_of_victim(&sandbox)).unwrap(), Signal::KILL).unwrap();
    sandbox.deadline = Instant::now() + Duration::from_secs(2);
    assert!(!sandbox.read("status"), "{}", sandbox.text());
}

#[test]
fn what_comes_and_goes_quickly_is_not_lost() {
    for how in ["kill", "stop", "orphans", "threads", "selves"] {
        Sandbox::start(&format!("/hostile/storms {how}"), 60).finish(0);
    }
}

#[test]
fn a_thread_that_a_program_leaves_behind_sees_no_program_with_other_rights() {
    let root = rustix::process::geteuid().is_root();
    // The first is the attack where it concerns nobody else.
    let ways = ["same", "dumpable", "privileges", "unreadable"].into_iter().chain(root.then_some("setuid"));
    for how in ways {
        let bind = format!("{}:/hostile:ro", guests().display());
        let output = Command::new(bevor()).args(["do", "--bind", &bind, "--", "/hostile/leftover", how]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, if how == "same" { "stays\n" } else { "gone\n" }, "{how}: {output:?}");
    }
}

/// A program that was given a file by somebody with other rights does not leave it to the next.
#[test]
fn descriptors_of_private_files_do_not_outlive_execve() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "secret").unwrap();
    let binds = [format!("{}:/hostile:ro", guests().display()), format!("{}:/secret:ro", dir.path().display())];
    for (mode, expected) in [(0o644, "stays\n"), (0o600, "gone\n")] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let args = ["do", "--bind", &binds[0], "--bind", &binds[1], "--", "/hostile/leftover", "descriptor", "/secret/secret"];
        let output = Command::new(bevor()).args(args).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{mode:o}: {output:?}");
    }
}

/// A program that has mapped and closed a file has no descriptor of it: of one that it may write at once, of a public one from setuid on.
#[test]
fn descriptors_of_mapped_files_do_not_stay() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "secret").unwrap();
    let binds = [format!("{}:/hostile:ro", guests().display()), format!("{}:/secret", dir.path().display())];
    let run = |weaken: &[&str], how| {
        let args = ["--bind", &binds[0], "--bind", &binds[1], "--", "/hostile/leftover", how, "/secret/secret"];
        let output = Command::new(bevor()).arg("do").args(weaken).args(args).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), format!("{output:?}"))
    };
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    for (weaken, how, expected) in
        [(&[][..], "mapped", "gone\n"), (&[], "dropped", "gone\n"), (&["--weaken", "keeping"], "mapped", "stays\n")]
    {
        let (text, all) = run(weaken, how);
        assert_eq!(text, expected, "{how} {weaken:?}: {all}");
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(&[], "dropped").0, "gone\n");
    assert_eq!(run(&["--weaken", "keeping"], "dropped").0, "stays\n");
}
