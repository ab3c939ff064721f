//! Compiles the C programs that the benchmark runs, with the compiler that the `cc` crate finds.
//!
//! The programs are embedded in the library (`src/programs.rs`). A static C library is optional: if
//! linking with it fails, an empty file takes the static program's place and its rows are skipped.

use std::path::{Path, PathBuf};

/// Compiles and links `source` to `output`; true on success.
fn link(source: &Path, output: &Path, extra: &[&str]) -> bool {
    let mut command = cc::Build::new().opt_level(2).debug(false).pic(false).get_compiler().to_command();
    command.args(["-std=gnu11", "-Wall", "-Wextra", "-pthread"]).arg("-o").arg(output).arg(source).args(extra);
    matches!(command.status(), Ok(status) if status.success())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=go");
    let Some(out) = std::env::var_os("OUT_DIR").map(PathBuf::from) else {
        println!("cargo::error=OUT_DIR is not set");
        return;
    };
    let microbench = Path::new("c/microbench.c");
    for (source, name) in [(microbench, "microbench"), (Path::new("c/waitbench.c"), "waitbench")] {
        if !link(source, &out.join(name), &["-fPIE", "-pie"]) {
            println!("cargo::error=cannot compile {}", source.display());
        }
    }
    let static_program = out.join("microbench-static");
    if !link(microbench, &static_program, &["-static"]) {
        println!("cargo::warning=no static C library: the benchmark's static rows will be skipped");
        if let Err(error) = std::fs::write(&static_program, []) {
            println!("cargo::error=cannot write {}: {error}", static_program.display());
        }
    }
}
