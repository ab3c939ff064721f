//! bevor-stub.
