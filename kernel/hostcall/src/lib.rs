//! bevor-hostcall.
