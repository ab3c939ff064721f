//! The `bevor-harness` command.
fn main() {}
