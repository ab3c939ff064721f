//! Bad usage and bad input: one line that says what, status 125, nothing else.

use duct::cmd;

mod common;
use common::bevor;

/// Runs bevor; exit code, stdout, stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let out = cmd(bevor(), args).stdin_null().stdout_capture().stderr_capture().unchecked().run().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
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
