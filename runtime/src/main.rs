//! The `bevor` command.
fn main() {}
