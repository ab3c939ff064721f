//! Rust probes, one multi-call binary.
fn main() {}
