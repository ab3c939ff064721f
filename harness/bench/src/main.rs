//! `bevor-bench`: the benchmark as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    bevor_bench::main(std::env::args_os().skip(1))
}
