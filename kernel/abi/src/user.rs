//! Values that an application passes in registers.

use crate::Errno;

/// One past the highest address of application memory (x86-64, four-level paging).
pub const USER_TOP: u64 = 0x7fff_ffff_f000;

/// An address in application memory. It is a number, not a pointer: the kernel reaches the memory through copies only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserAddr(pub u64);

impl UserAddr {
    /// Whether the address is zero.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == 0
    }

    /// `self + offset`.
    ///
    /// # Errors
    /// EFAULT on overflow or past the end of application memory.
    #[allow(clippy::should_implement_trait, reason = "it is checked, and fails with an errno")]
    pub fn add(self, offset: u64) -> Result<Self, Errno> {
        match self.0.checked_add(offset) {
            Some(sum) if sum <= USER_TOP => Ok(Self(sum)),
            _ => Err(Errno::EFAULT),
        }
    }
}

/// A descriptor number as the application gave it (the low 32 bits, signed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fd(pub i32);

impl Fd {
    /// `AT_FDCWD`.
    pub const CWD: Fd = Fd(-100);
}

/// Converts a raw register into a typed argument, the way the Linux syscall wrappers do (truncation to the C type's width).
pub trait FromArg: Sized {
    /// The argument's value; never fails, since C types accept every bit pattern.
    fn from_arg(raw: u64) -> Self;
}

impl FromArg for u64 {
    fn from_arg(raw: u64) -> Self {
        raw
    }
}
impl FromArg for i64 {
    fn from_arg(raw: u64) -> Self {
        raw.cast_signed()
    }
}
impl FromArg for usize {
    fn from_arg(raw: u64) -> Self {
        // x86-64 only: the same width.
        usize::from_le_bytes(raw.to_le_bytes())
    }
}
impl FromArg for u32 {
    fn from_arg(raw: u64) -> Self {
        let [a, b, c, d, ..] = raw.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}
impl FromArg for i32 {
    fn from_arg(raw: u64) -> Self {
        u32::from_arg(raw).cast_signed()
    }
}
impl FromArg for UserAddr {
    fn from_arg(raw: u64) -> Self {
        Self(raw)
    }
}
impl FromArg for Fd {
    fn from_arg(raw: u64) -> Self {
        Self(i32::from_arg(raw))
    }
}
