//! Builds the C probes of `c/probes/<family>/<name>.c` and says where their binary is.

/// Absolute path of the static multi-call binary `probes-c` in this crate's build folder.
///
/// The build also leaves a copy in `target/<profile>/probes-c`, beside `probes-rust`, where the agent looks for it.
pub const PROBES_C: &str = env!("BEVOR_PROBES_C");
