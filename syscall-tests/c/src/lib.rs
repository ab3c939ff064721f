//! Builds the C probes.
