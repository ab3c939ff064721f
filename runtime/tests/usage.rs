//! Bad usage and bad input: one line that says what, status 125, nothing else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use duct::cmd;

mod common;
use common::bevor;

/// Runs bevor; exit code, stdout, stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let out = cmd(bevor(), args).stdin_null().stdout_capture().stderr_capture().unchecked().run().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

/// Whether a process whose command line holds `mark` is there. (The gofer ends when its socket closes, a moment after the command.)
fn is_left(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().any(|entry| {
        let path = entry.unwrap().path().join("cmdline");
        std::fs::read(path).is_ok_and(|line| line.split(|b| *b == 0).any(|word| word == mark.as_bytes()))
    })
}

/// A command that cannot be run: one line, the shell's status, no process left.
#[track_caller]
fn not_run(dir: &Path, command: &str, status: i32, says: &str) {
    // The processes of the sandbox have the command's own command line.
    let mark =
        format!("{:x}{status:x}{:x}", std::process::id(), command.bytes().fold(7_u64, |n, b| n.wrapping_mul(31) + u64::from(b)));
    let bind = format!("{}:/bad:ro", dir.display());
    let (code, out, err) = run(&["do", "--boot-nonce", &mark, "--bind", &bind, "--", command]);
    assert_eq!((code, out.as_str()), (status, ""), "{command}: {err}");
    assert!(err.starts_with("bevor: ") && err.ends_with('\n') && err.lines().count() == 1, "one line: {err:?}");
    assert!(err.contains(command) && err.contains(says), "{err:?} should say {says:?}");
    let end = Instant::now() + Duration::from_secs(10);
    while is_left(&mark) {
        assert!(Instant::now() < end, "{command} leaves a process behind");
        std::thread::yield_now();
    }
}

#[test]
fn commands_that_cannot_be_run_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: u32, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut dynamic = std::fs::read("/bin/true").unwrap();
    let loader = b"/lib64/ld-linux-x86-64.so.2\0";
    let at = dynamic.windows(loader.len()).position(|w| w == loader).expect("a dynamic program");
    dynamic[at + 1] = b'X';
    let mut foreign = std::fs::read("/bin/true").unwrap();
    foreign[18] = 0xb7;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    file("text", 0o755, b"just text\n");
    file("empty", 0o755, b"");
    file("cut", 0o755, b"\x7fELF");
    file("foreign", 0o755, &foreign);
    file("script", 0o755, b"#!/no/such/interpreter\n");
    file("dynamic", 0o755, &dynamic);
    file("plain", 0o644, b"#!/bin/sh\n");
    std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
    not_run(dir.path(), "no-such-command", 127, "command not found");
    not_run(dir.path(), "/bad/no/such/command", 127, "command not found");
    for name in ["text", "empty", "cut", "foreign"] {
        not_run(dir.path(), &format!("/bad/{name}"), 126, "not an executable that Bevor can run");
    }
    for name in ["script", "dynamic"] {
        not_run(dir.path(), &format!("/bad/{name}"), 126, "its interpreter is missing");
    }
    for name in ["plain", ""] {
        not_run(dir.path(), &format!("/bad/{name}"), 126, "permission denied");
    }
    not_run(dir.path(), "/bad/loop", 126, "Too many levels of symbolic links");
}

#[test]
fn a_destination_that_cannot_be_made_is_named() {
    refused(&["do", "--bind", "/etc:/etc/passwd/x", "--", "true"], "--bind: destination /etc/passwd/x: Not a directory");
    refused(&["do", "--bind", "/etc:/etc/passwd", "--", "true"], "--bind: destination /etc/passwd: Not a directory");
    refused(&["do", "--cwd", "/no/such", "--", "true"], "--cwd /no/such: No such file or directory");
}

#[track_caller]
fn refused(args: &[&str], says: &str) {
    let (code, out, err) = run(args);
    assert_eq!((code, out.as_str()), (125, ""), "{args:?}: {err}");
    assert!(err.starts_with("bevor: ") && err.ends_with('\n') && err.lines().count() == 1, "one line: {err:?}");
    assert!(err.contains(says), "{err:?} should say {says:?}");
}

#[test]
fn version_and_help_go_to_stdout() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("bevor "));
    let (code, out, _) = run(&["do", "--help"]);
    assert_eq!(code, 0);
    for status in ["125", "126", "127", "128+N"] {
        assert!(out.contains(status), "the help documents {status}");
    }
}

#[test]
fn unknown_words_are_refused() {
    refused(&["bogus"], "bogus");
    refused(&["do", "--bogus", "--", "true"], "--bogus");
    refused(&["do", "--local-calls=maybe", "--", "true"], "maybe");
    refused(&["do", "--boot-nonce=x", "--", "true"], "x");
    refused(&["do", "--file-memory=much", "--", "true"], "a number of bytes");
    refused(&["do", "true"], "true");
}

#[test]
fn a_missing_command_is_refused() {
    refused(&["do"], "no command given");
    refused(&["do", "--"], "no command given");
    refused(&["do", "--", ""], "no command given");
}

#[test]
fn a_bad_root_is_refused() {
    refused(&["do", "--root", "/does/not/exist", "--", "true"], "--root /does/not/exist: No such file or directory");
    refused(&["do", "--root", "/proc/version", "--", "true"], "not a directory");
}

#[test]
fn bad_binds_are_refused() {
    refused(&["do", "--bind", "/etc", "--", "true"], "expected SRC:DST");
    refused(&["do", "--bind", "/etc:/x:rx", "--", "true"], "expected SRC:DST");
    refused(&["do", "--bind", "/does/not/exist:/x", "--", "true"], "source /does/not/exist: No such file");
    refused(&["do", "--bind", "/dev/null:/x", "--", "true"], "neither a directory nor a regular file");
    refused(&["do", "--bind", "/etc:x", "--", "true"], "not an absolute path");
    refused(&["do", "--bind", "/etc:/x/../y", "--", "true"], "'..'");
    refused(&["do", "--bind", "/etc:/", "--", "true"], "use --root");
}

#[test]
fn other_bad_options_are_refused() {
    refused(&["do", "--env", "NOVALUE", "--", "true"], "expected K=V");
    refused(&["do", "--env", "=v", "--", "true"], "expected K=V");
    refused(&["do", "--cwd", "relative", "--", "true"], "not an absolute path");
    refused(&["do", "--debug-log", "/does/not/exist/log", "--", "true"], "--debug-log /does/not/exist/log: No such file");
    refused(&["do", "--fault", "openat", "--", "true"], "expected CALL:KIND");
    refused(&["do", "--fault", "openat:bogus", "--", "true"], "noop-success");
}

#[test]
fn the_kernel_log_begins_with_the_start() {
    let (code, out, err) = run(&["do", "--boot-nonce", "abc", "--", "dmesg"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    assert_eq!(lines[0], "Starting Bevor...");
    assert!(lines[1].starts_with("Linux version ") && lines.contains(&"Bevor: boot nonce abc"), "{out}");
}

/// Asks for what is not there: two calls twice each, a number that no call has, and sockets.
const WALLS: &str = r#"
use strict;
use Socket;
for my $nr (425, 101, 425, 101, 9999) { syscall($nr, 0, 0, 0, 0) }
socket(my $s, $_, SOCK_STREAM, 0) && die for (AF_INET, AF_INET6, AF_INET);
print "done\n";
"#;

#[test]
fn what_is_not_there_is_said_once() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    let said = [
        "called io_uring_setup(2), which is not there yet; see compat-table/TABLE.md",
        "called ptrace(2), which is not there yet; see compat-table/TABLE.md",
        "made system call 9999, which has no name; see compat-table/TABLE.md",
        "asked for an AF_INET socket, but there is no network yet, only AF_UNIX; see compat-table/TABLE.md",
        "asked for an AF_INET6 socket, but there is no network yet, only AF_UNIX; see compat-table/TABLE.md",
    ]
    .map(|line| format!("bevor: hint: perl {line}\n"))
    .concat();
    assert_eq!(run(&["do", "--hints", "--", "perl", "-e", WALLS]), (0, "done\n".to_owned(), said.clone()));
    assert_eq!(run(&["do", "--", "perl", "-e", WALLS]), (0, "done\n".to_owned(), String::new()));
    // The log has them in any case.
    assert_eq!(run(&["do", "--debug-log", path, "--", "perl", "-e", WALLS]), (0, "done\n".to_owned(), String::new()));
    assert_eq!(std::fs::read_to_string(path).unwrap(), said);
    let (_, _, err) = run(&["do", "--hints", "--debug-log", path, "--", "perl", "-e", WALLS]);
    assert_eq!((err.as_str(), std::fs::read_to_string(path).unwrap().as_str()), (said.as_str(), said.repeat(2).as_str()));
}

/// A program's name is its own to choose, and goes to the caller's terminal.
#[test]
fn a_hint_holds_no_control_characters_of_the_program() {
    let (_, _, err) = run(&["do", "--hints", "--", "perl", "-e", r#"$0 = "\e[2J\nx"; syscall(101, 0, 0, 0, 0)"#]);
    assert_eq!(err, "bevor: hint: \\x1b[2J\\nx called ptrace(2), which is not there yet; see compat-table/TABLE.md\n");
}

/// Nobody reads what the program has filled: hints are left out then, and the program goes on.
#[test]
fn a_full_stderr_holds_nobody_up() {
    let fill = r#"use Fcntl; fcntl(STDERR, F_SETFL, O_NONBLOCK); 1 while defined syswrite(STDERR, "x" x 4096); syscall(101, 0, 0, 0, 0)"#;
    let (reader, writer) = std::io::pipe().unwrap();
    let status = std::process::Command::new(bevor())
        .args(["do", "--hints", "--", "perl", "-e", fill])
        .stdin(std::process::Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    drop(reader);
}

#[test]
fn the_environment_is_the_callers_unless_it_is_to_be_clean() {
    let env = |args: &[&str]| {
        let args = [&["do"], args, &["--", "env"]].concat();
        let out = cmd(bevor(), args).env("BEVOR_TEST_SECRET", "s").stdin_null().read().unwrap();
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(env(&[]).contains(&"BEVOR_TEST_SECRET=s".to_owned()));
    // As env -i: nothing, and still the command was found.
    assert_eq!(env(&["--clean-env"]), [""; 0]);
    assert_eq!(env(&["--env", "B=2", "--clean-env", "--env", "A=1"]), ["B=2", "A=1"]);
}

#[test]
fn bad_paths_to_hide_are_refused() {
    refused(&["do", "--hide", "/does/not/exist", "--", "true"], "--hide /does/not/exist: No such file or directory");
    refused(&["do", "--hide", "etc", "--", "true"], "--hide etc: not an absolute path");
    refused(&["do", "--hide", "/", "--", "true"], "--hide /: --root shows the same");
    refused(&["do", "--bind", "/etc:/x", "--hide", "/usr/../etc", "--", "true"], "--bind shows the same");
    refused(&["do", "--hide", "/proc/version", "--", "true"], "of its own");
}

/// What tests switch off can be switched off in test builds only (`ci/build.sh` looks at the one that is shipped).
#[test]
fn defences_can_be_taken_away_in_test_builds_only() {
    if cfg!(debug_assertions) {
        refused(&["do", "--weaken", "bogus", "--", "true"], "no such defence");
        assert_eq!(run(&["do", "--weaken", "nonce,seals", "--", "true"]).0, 0);
    } else {
        refused(&["do", "--weaken", "nonce", "--", "true"], "unexpected argument '--weaken'");
    }
}

/// As on a host that lets this user make no user namespaces.
#[test]
fn a_host_without_namespaces_is_named_as_the_cause() {
    // In a user namespace of its own the limit of further ones can be set to 0 for this test alone.
    let script = format!("echo 0 > /proc/sys/user/max_user_namespaces && exec {} selftest-confinement exit42", bevor());
    let out =
        cmd!("unshare", "--user", "--map-root-user", "sh", "-c", script).stdin_null().stderr_capture().unchecked().run().unwrap();
    let err = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(125), "{err}");
    assert!(err.contains("cannot create namespaces: ENOSPC") && err.contains("/proc/sys/user"), "{err}");
}
