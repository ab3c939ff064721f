//! bevor-platform.
