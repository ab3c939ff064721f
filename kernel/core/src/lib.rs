//! bevor-core.
