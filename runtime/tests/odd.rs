//! Programs that do odd things to their own memory (`odd/*.c`).

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

mod common;
use common::bevor;

/// A program, compiled. Not in /tmp: a file of the sandbox's own is mapped differently.
fn compile(name: &str, flags: &[&str]) -> TempDir {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/odd/{name}.c"));
    let status =
        Command::new("cc").args(["-O1", "-o"]).arg(dir.path().join("it")).arg(source).args(flags).status().expect("a C compiler");
    assert!(status.success(), "{name}.c does not compile");
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    dir
}

/// What the script prints; `$1` is the program's directory.
fn run(options: &[&str], script: &str, dir: &TempDir) -> String {
    let out = Command::new(bevor())
        .arg("do")
        .args(options)
        .args(["--", "/bin/sh", "-c", script, "sh"])
        .arg(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

#[test]
fn a_program_can_unmap_the_vdso() {
    let dir = compile("no_vdso", &["-static"]);
    assert_eq!(run(&[], "$1/it", &dir), "without\nagain\n");
    assert_eq!(run(&["--local-calls=off"], "$1/it", &dir), "without\nagain\n");
}

#[test]
fn who_loads_programs_without_an_interpreter_maps_what_is_in_the_file() {
    let dir = compile("translator", &["-static"]);
    assert_eq!(run(&[], "/bin/true; /bin/true; $1/it; $1/it", &dir), "same 8\nsame 8\n");
}

#[test]
fn answers_that_are_known_are_the_cpus() {
    let library = compile("answered", &["-shared", "-fPIC", "-DLIBRARY"]);
    let dir = compile("answered", &["-ldl"]);
    // A copy is made aside, after the second mapping, of a file that has not changed for two seconds.
    let lines = run(&[], &format!("for i in $(seq 5000); do $1/it {}/it && break; done", library.path().display()), &dir);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines.iter().all(|line| line.ends_with("same 2")), "{lines:?}");
    assert_eq!(lines.last(), Some(&"answered 2 same 2"));
}

#[test]
fn a_signals_context_shows_no_trampoline() {
    let dir = compile("signalled", &["-ldl"]);
    assert_eq!(run(&[], "/bin/true; /bin/true; $1/it", &dir), "unknown 0\n");
}

#[test]
fn a_program_that_steps_through_a_call_goes_on_stepping() {
    let dir = compile("stepping", &[]);
    assert_eq!(run(&[], "/bin/true; /bin/true; $1/it", &dir), "stepped on 1, right 1\n".repeat(3));
}

#[test]
fn text_written_through_memory_is_what_is_mapped_next() {
    let dir = compile("shared_text", &[]);
    let bind = format!("{}:/mnt", dir.path().display());
    assert_eq!(run(&["--bind", &bind], "/mnt/it /mnt/text", &dir), "1 1 1 1 2 \n");
}
