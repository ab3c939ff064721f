//! bevor-fs.
