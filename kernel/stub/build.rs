//! Compiles and links the stub with the system's C compiler: freestanding, no vector registers, fixed address.

use std::path::PathBuf;
use std::process::Command;

const SOURCES: [&str; 9] =
    ["gate.S", "entry.S", "user.S", "dispatch.c", "local.c", "marshal.c", "patch.c", "process.c", "signal.c"];

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let source = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR")).join("c");
    println!("cargo::rerun-if-changed={}", source.display());
    let mut build = cc::Build::new();
    // Not the profile's flags: the stub is the same program in every profile.
    build.opt_level(2).debug(false).warnings(true).extra_warnings(true).warnings_into_errors(true).no_default_flags(true);
    let mut command: Command = build.get_compiler().to_command();
    command
        .args(["-O2", "-g0", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-array-bounds", "-Wno-unused-parameter"])
        .args(["-ffreestanding", "-nostdlib", "-static", "-no-pie", "-fpie", "-mgeneral-regs-only"])
        .args(["-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"])
        .args(["-mno-red-zone", "-fno-strict-aliasing", "-fno-tree-loop-distribute-patterns", "-fomit-frame-pointer"])
        .args(["-Wl,--build-id=none", "-Wl,-z,max-page-size=4096", "-Wl,-z,noexecstack", "-Wl,--fatal-warnings"])
        .arg("-Wl,--no-warn-rwx-segments")
        .arg(format!("-Wl,-T,{}", source.join("link.ld").display()))
        .args(SOURCES.map(|s| source.join(s)))
        .arg("-o")
        .arg(out.join("stub.elf"));
    let status = command.status().expect("the C compiler can be started (install gcc)");
    assert!(status.success(), "the stub does not build: {command:?}");
}
