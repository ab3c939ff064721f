//! Typed values of the observation stream (`syscall-tests/README.md`).

use std::cmp::Ordering;

/// A typed value. Constructors are the free functions of this module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A word of flags.
    Hex(u64),
    /// Yes or no.
    Bool(bool),
    /// Text; what isn't UTF-8 becomes U+FFFD byte by byte.
    Str(Vec<u8>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An error number, positive; 0 is "none".
    Errno(i64),
    /// A descriptor, compared as a symbol.
    Fd(i64),
    /// A process or thread id, compared as a symbol.
    Pid(i64),
    /// An inode number, compared as a symbol.
    Ino(u64),
    /// A device number, compared as a symbol.
    Dev(u64),
    /// An address, compared as a symbol.
    Addr(u64),
    /// Nanoseconds since an epoch; compared only through relations.
    Time(i64),
    /// Nanoseconds, compared as within or outside of the bounds.
    Dur {
        /// The duration.
        v: i64,
        /// Lowest that is right.
        min: i64,
        /// Highest that is right.
        max: i64,
    },
    /// A relation.
    Rel(Ordering),
    /// Values in no order.
    Set(Vec<Value>),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name.
    Map(Vec<(String, Value)>),
}

/// A number of any width, zero-extended: what a register or a flag word holds.
pub(crate) trait Bits: Copy {
    /// The bits.
    fn bits(self) -> u64;
}

macro_rules! bits {
    ($($signed:ty => $unsigned:ty),*) => {$(
        impl Bits for $signed {
            fn bits(self) -> u64 {
                u64::from(self.cast_unsigned())
            }
        }
        impl Bits for $unsigned {
            fn bits(self) -> u64 {
                u64::from(self)
            }
        }
    )*};
}
bits!(i8 => u8, i16 => u16, i32 => u32, i64 => u64);

impl Bits for usize {
    fn bits(self) -> u64 {
        u64::try_from(self).unwrap_or(u64::MAX)
    }
}

/// A number of any width, sign-extended.
pub(crate) trait Number: Copy {
    /// The number; what is beyond `i64` saturates.
    fn number(self) -> i64;
}

macro_rules! number {
    ($($t:ty),*) => {$(
        impl Number for $t {
            fn number(self) -> i64 {
                #[allow(irrefutable_let_patterns, clippy::unnecessary_fallible_conversions)]
                i64::try_from(self).unwrap_or(i64::MAX)
            }
        }
    )*};
}
number!(i8, u8, i16, u16, i32, u32, i64, u64, isize, usize);

/// A signed number.
pub(crate) fn int(v: impl Number) -> Value {
    Value::Int(v.number())
}
/// An unsigned number.
pub(crate) fn uint(v: impl Bits) -> Value {
    Value::Uint(v.bits())
}
/// A word of flags.
pub(crate) fn hex(v: impl Bits) -> Value {
    Value::Hex(v.bits())
}
/// Yes or no.
pub(crate) fn yes(v: bool) -> Value {
    Value::Bool(v)
}
/// Text.
pub(crate) fn text(v: impl AsRef<[u8]>) -> Value {
    Value::Str(v.as_ref().to_vec())
}
/// Bytes.
pub(crate) fn bytes(v: impl AsRef<[u8]>) -> Value {
    Value::Bytes(v.as_ref().to_vec())
}
/// An error number, positive; 0 is "none".
pub(crate) fn errno(v: impl Number) -> Value {
    Value::Errno(v.number())
}
/// A descriptor.
pub(crate) fn fd(v: impl Number) -> Value {
    Value::Fd(v.number())
}
/// A process or thread id.
pub(crate) fn pid(v: impl Number) -> Value {
    Value::Pid(v.number())
}
/// An inode number.
pub(crate) fn ino(v: impl Bits) -> Value {
    Value::Ino(v.bits())
}
/// A device number.
pub(crate) fn dev(v: impl Bits) -> Value {
    Value::Dev(v.bits())
}
/// An address.
pub(crate) fn addr(v: impl Bits) -> Value {
    Value::Addr(v.bits())
}
/// A time in nanoseconds since an epoch.
pub(crate) fn time(v: i64) -> Value {
    Value::Time(v)
}
/// A duration in nanoseconds, right from `min` to `max`.
pub(crate) fn dur(v: i64, min: i64, max: i64) -> Value {
    Value::Dur { v, min, max }
}
/// How `a` compares with `b`.
pub(crate) fn rel<T: Ord>(a: T, b: T) -> Value {
    Value::Rel(a.cmp(&b))
}
/// Values in no order.
pub(crate) fn set(v: impl IntoIterator<Item = Value>) -> Value {
    Value::Set(v.into_iter().collect())
}
/// Values in order.
pub(crate) fn list(v: impl IntoIterator<Item = Value>) -> Value {
    Value::List(v.into_iter().collect())
}
/// Values by name.
pub(crate) fn map<'a>(v: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(v.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}
