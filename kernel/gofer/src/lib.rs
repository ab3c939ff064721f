//! bevor-gofer.
