//! Conversions between widths that x86-64 makes lossless.

/// A length as a 64-bit number.
#[must_use]
pub const fn to_u64(n: usize) -> u64 {
    n as u64
}

/// A 64-bit number as a length (the same width on x86-64).
#[must_use]
pub const fn to_usize(n: u64) -> usize {
    n as usize
}
