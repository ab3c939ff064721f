//! bevor-abi.
