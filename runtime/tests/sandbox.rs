//! The life of a sandbox: status, signals, confinement, and that nothing outlives it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use duct::cmd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

mod common;
use common::{Running, all_end, bevor, children, is_root, ns_pid_is_one};

fn selftest(action: &str) -> (i32, String, String) {
    let out =
        cmd!(bevor(), "selftest-confinement", action).stdin_null().stdout_capture().stderr_capture().unchecked().run().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

#[test]
fn the_status_comes_back() {
    assert_eq!(selftest("exit42"), (42, String::new(), String::new()));
    assert_eq!(selftest("fail"), (125, String::new(), "bevor: failed as asked\n".to_owned()));
}

#[test]
fn threads_and_memory_work_under_the_filter() {
    assert_eq!(selftest("threads"), (0, String::new(), String::new()));
}

#[test]
fn host_files_come_through_the_gofer() {
    let (code, out, err) = selftest("read-through-gofer");
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, std::fs::read_to_string("/etc/passwd").unwrap());
}

/// Every call that the gofer's own filter has to let through.
#[test]
fn changes_go_through_the_confined_gofer() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let dir = tempfile::tempdir().unwrap();
    let out = cmd!(bevor(), "selftest-confinement", "write-through-gofer", dir.path())
        .stdin_null()
        .stderr_capture()
        .unchecked()
        .run()
        .unwrap();
    assert_eq!((out.status.code(), String::from_utf8(out.stderr).unwrap()), (Some(0), String::new()));
    let moved = dir.path().join("moved");
    assert_eq!(std::fs::read(&moved).unwrap(), b"written");
    let meta = moved.metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.nlink(), meta.mtime()), (0o644, 1, 1_000_000_000));
    assert!(dir.path().join("dir/fifo").metadata().unwrap().file_type().is_fifo());
    assert!(dir.path().join("dir/socket").metadata().unwrap().file_type().is_socket());
    assert_eq!(std::fs::read_link(dir.path().join("dir/symlink")).unwrap(), std::path::Path::new("/etc/passwd"));
    assert!(!std::path::Path::new("/bevor-was-here").exists());
}

#[test]
fn the_gofer_opens_proc_files_of_stubs_and_of_nobody_else() {
    assert_eq!(selftest("read-stub"), (0, String::new(), String::new()));
}

#[test]
fn a_panic_is_reported_and_is_no_status_of_the_guest() {
    let (code, _, err) = selftest("panic");
    assert_eq!(code, 125);
    assert!(err.contains("panicked as asked") && err.contains("the sentry panicked"), "{err}");
}

#[test]
fn host_calls_outside_the_filter_end_the_sentry() {
    for action in ["open", "socket", "exec", "pipe"] {
        let (code, _, err) = selftest(action);
        assert_eq!(code, 125, "{action}: {err}");
        assert!(err.contains("SIGSYS"), "{action}: {err}");
    }
}

#[test]
fn signals_reach_the_sandbox() {
    let mut running = Running::start();
    for (signal, number) in [(Signal::USR1, "10"), (Signal::HUP, "1"), (Signal::WINCH, "28"), (Signal::INT, "2")] {
        running.signal(signal);
        assert_eq!(running.line(), number);
    }
    running.signal(Signal::TERM);
    assert_eq!(running.line(), "15");
    let handles = running.handles();
    let (code, _) = running.finish();
    assert_eq!(code, Some(128 + 15));
    assert!(all_end(&handles));
}

#[test]
fn killing_any_process_ends_them_all() {
    for victim in 0..3 {
        let running = Running::start();
        let handles = running.handles();
        let pid = running.pids()[victim];
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        let (code, err) = running.finish();
        assert!(all_end(&handles), "something outlives process {victim}");
        if victim > 0 {
            assert_eq!(code, Some(125), "{err}");
            assert!(err.contains("killed by signal 9"), "{err}");
        }
    }
}

/// Without what ties the sentry to the command, the sandbox lives on: the test above sees what it says.
#[test]
fn a_sentry_that_is_not_tied_outlives_the_command() {
    let mut command = Command::new(bevor())
        .args(["do", "--weaken", "tie", "--", "/bin/sh", "-c", "echo started; while :; do sleep 1; done"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // The gofer dies with the command, and the shell complains in a loop that it finds no sleep any more.
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(command.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let sentry = *children(command.id()).iter().find(|pid| ns_pid_is_one(**pid)).expect("the sentry");
    let handle = pidfd_open(Pid::from_raw(sentry).unwrap(), PidfdFlags::empty()).unwrap();
    command.kill().unwrap();
    command.wait().unwrap();
    let limit = Timespec { tv_sec: 1, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)), Ok(0));
    kill_process(Pid::from_raw(sentry).unwrap(), Signal::KILL).unwrap();
    assert!(all_end(&[handle]));
}

/// Value of a line of /proc/PID/status.
fn status(pid: i32, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{key}:"))).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

#[test]
fn the_processes_have_given_up_what_they_do_not_need() {
    if !is_root() {
        return;
    }
    let running = Running::start();
    let (sentry, gofer) = (running.sentry, running.gofer);
    for space in ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{space}")).unwrap();
        assert_ne!(of(&sentry.to_string()), of("self"), "the sentry has a {space} namespace of its own");
        // In another user or cgroup namespace it would not see the files' owners, or gain nothing.
        let same = ["user", "cgroup"].contains(&space);
        assert_eq!(of(&gofer.to_string()) == of("self"), same, "the gofer's {space} namespace");
    }
    for pid in [sentry, gofer] {
        let root: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/root/")).unwrap().collect();
        assert_eq!(root.len(), 0, "the root is empty");
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        assert_eq!(mounts.lines().count(), 1, "{mounts}");
        assert!(mounts.contains(" / / ro,"), "{mounts}");
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "Seccomp"), "2");
    }
    // SYS_RESOURCE, SYS_NICE, SYS_PTRACE and KILL; CHOWN, DAC_OVERRIDE, FOWNER, FSETID.
    for (pid, wanted) in [(sentry, 1_u64 << 24 | 1 << 23 | 1 << 19 | 1 << 5), (gofer, 0b1_1011)] {
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(u64::from_str_radix(&status(pid, set), 16).unwrap(), wanted, "{set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&status(pid, set), 16).unwrap(), 0, "{set}");
        }
    }
    let uid: u32 = status(sentry, "Uid").split_whitespace().next().unwrap().parse().unwrap();
    assert!(uid >= 0x7000_0000, "the sentry runs as nobody else: {uid}");
    running.signal(Signal::TERM);
    running.finish();
}

#[test]
fn an_ordinary_user_can_run_a_sandbox() {
    if !is_root() {
        // Then every other test has shown it.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("bevor");
    std::fs::copy(bevor(), &copy).unwrap();
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open.clone()).unwrap();
    std::fs::set_permissions(&copy, open).unwrap();
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let out = cmd!("setpriv", user[0], user[1], user[2], &copy, "selftest-confinement", "read-through-gofer")
        .dir("/")
        .stdin_null()
        .stdout_capture()
        .unchecked()
        .run()
        .unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(out.stdout, std::fs::read("/etc/passwd").unwrap());
    // What it makes in its own folders belongs to it there, whoever that is inside.
    let own = dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(65534), Some(65534)).unwrap();
    // One that it may only write.
    std::fs::write(own.join("log"), "1").unwrap();
    std::fs::set_permissions(own.join("log"), std::os::unix::fs::PermissionsExt::from_mode(0o222)).unwrap();
    let mut bind = own.as_os_str().to_owned();
    bind.push(":/mnt");
    let script =
        "mkdir /mnt/d && ln -s a /mnt/s && echo x > /mnt/d/a && cat /mnt/d/a && printf 23 >> /mnt/log && truncate -s 2 /mnt/log";
    let out = cmd!("setpriv", user[0], user[1], user[2], copy, "do", "--bind", bind, "--", "sh", "-c", script)
        .dir("/")
        .stdin_null()
        .stderr_to_stdout()
        .read();
    assert_eq!(out.unwrap(), "x");
    assert_eq!(std::fs::read(own.join("log")).unwrap(), b"12");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&own.join("d/a").metadata().unwrap()), 65534);
}

#[test]
fn a_host_file_that_is_cut_off_while_it_is_read_is_just_shorter() {
    use std::io::Write as _;
    // Not in /tmp: the sandbox has its own.
    let file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    file.as_file().set_len(64 * 4096).unwrap();
    let page = "dd bs=4096 count=1 <&3 2>&- | wc -c";
    let script = format!(
        "exec 3<{}; i=0; while [ $i -lt 24 ]; do {page} >&2; i=$((i+1)); done; echo ready; read go; {page}; echo alive",
        file.path().display()
    );
    let mut guest = Command::new(bevor())
        .args(["do", "--", "/bin/sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(guest.stdout.take().unwrap()).lines();
    assert_eq!(output.next().unwrap().unwrap(), "ready");
    // By now it is read through a mapping, whose pages go.
    file.as_file().set_len(4096).unwrap();
    guest.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let rest: Vec<String> = output.map_while(Result::ok).collect();
    assert_eq!((rest, guest.wait().unwrap().code()), (vec!["0".to_owned(), "alive".to_owned()], Some(0)));
}

/// Each name of a host file that is kept costs the gofer a descriptor.
#[test]
fn more_host_files_than_descriptors_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..3000 {
        let sub = dir.path().join(format!("{}", i % 30));
        if i < 30 {
            std::fs::create_dir(&sub).unwrap();
        }
        std::fs::write(sub.join(format!("{i}")), "x").unwrap();
    }
    let mut bind = dir.path().as_os_str().to_owned();
    bind.push(":/data:ro");
    let look = "find /data -type f -size +0 | wc -l; cat /data/*/* | wc -c; find /data | wc -l; ls -d /etc";
    let script = format!("ulimit -n 800 && exec \"$0\" do --bind \"$1\" -- sh -c '{look}'");
    let out = cmd!("sh", "-c", script, bevor(), &bind).stdin_null().stderr_to_stdout().read().unwrap();
    assert_eq!(out, "3000\n3000\n3031\n/etc");
    // The same for a process that counts as having much open, and so has less for its files.
    let hoards = "exec 100</dev/null; find /data -type f -size +0 | wc -l; cat /data/*/* /data/*/* /data/*/* | wc -c; ls -d /etc";
    let script = format!("ulimit -n 800 && exec \"$0\" do --bind \"$1\" -- bash -c '{hoards}'");
    let out = cmd!("sh", "-c", script, bevor(), bind).stdin_null().stderr_to_stdout().read().unwrap();
    assert_eq!(out, "3000\n9000\n/etc");
}

/// A file in memory that is large or mapped costs two descriptors; a small one none.
#[test]
fn more_files_in_memory_than_descriptors_can_be_kept() {
    let make = "cd /tmp; for i in $(seq 1500); do head -c 9000 /dev/zero > $i || exit 1; done; cat * | wc -c";
    let large = "for i in $(seq 300); do head -c 100000 /dev/zero > large$i || exit 2; done; cat large* | wc -c; ls -d /etc";
    let script = format!("ulimit -n 800 && exec \"$0\" do -- sh -c '{make}; {large}'");
    let out = cmd!("sh", "-c", script, bevor()).stdin_null().stderr_to_stdout().read().unwrap();
    assert_eq!(out, "13500000\n30000000\n/etc");
}
