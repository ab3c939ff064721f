//! Where the parts of a process lie: other places for each image of a sandbox (ASLR), the same ones under ADDR_NO_RANDOMIZE.

use std::path::Path;
use std::process::{Command, Stdio};

mod common;
use common::bevor;

/// The six addresses, line by line, that `script` (with the program at /places) writes.
fn places(script: &str) -> Vec<Vec<u64>> {
    let dir = tempfile::tempdir().unwrap();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = dir.path().join("places");
    let status = Command::new("cc")
        .args(["-O1", "-pie", "-fPIE", "-o"])
        .arg(&program)
        .arg(package.join("tests/hostile/places.c"))
        .status()
        .expect("a C compiler");
    assert!(status.success());
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let mut bind = dir.path().as_os_str().to_owned();
    bind.push(":/hostile:ro");
    let output = Command::new(bevor())
        .args(["do", "--bind"])
        .arg(bind)
        .args(["--", "/bin/sh", "-c", script])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("FAIL"), "{text}");
    let number = |word: &str| u64::from_str_radix(word, 16).expect(&text);
    text.lines().map(|line| line.split(' ').map(number).collect()).collect()
}

const NAMES: [&str; 6] = ["program", "interpreter", "stack", "mappings", "break", "vDSO"];

#[test]
fn each_image_has_places_of_its_own() {
    // Forked and then executed, executed in place, by somebody with other rights, with arguments that fill the channel, and in little memory.
    let script = "p=/hostile/places; $p; $p; $p; sh -c \"exec $p\"; setpriv --reuid 1000 --regid 1000 --clear-groups $p; \
                  BIG=$(head -c 100000 /dev/zero | tr '\\0' x) $p; (ulimit -v 100000; $p; $p)";
    let lines = places(script);
    assert_eq!(lines.len(), 8);
    for (column, name) in NAMES.iter().enumerate() {
        let mut seen: Vec<_> = lines.iter().map(|line| line[column]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), lines.len(), "{name}: {lines:x?}");
    }
}

#[test]
fn without_chance_all_images_are_alike() {
    let lines = places("setarch -R /hostile/places; setarch -R /hostile/places; cat /proc/sys/kernel/randomize_va_space");
    assert_eq!(lines[0], lines[1], "{lines:x?}");
    assert_eq!(lines[2], [2]);
}
