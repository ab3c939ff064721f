//! The `bevor-harness` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    bevor_harness::cli::main()
}
