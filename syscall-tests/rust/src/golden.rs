//! A fixed set of lines that holds every form of value; the same as `c/support/golden.c`.

use std::cmp::Ordering;

use crate::encode::{self, Outcome};
use crate::value::{Value, addr, bytes, dev, dur, errno, fd, hex, ino, int, list, map, pid, set, text, time, uint, yes};

/// The lines.
#[must_use]
pub(crate) fn lines() -> Vec<u8> {
    let mut out = Vec::new();
    let named =
        |pairs: Vec<(&str, Value)>| -> Vec<(String, Value)> { pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() };
    let second = "second \"quoted\"";
    encode::plan(&mut out, &["first", second]);
    let args = named(vec![
        ("int", int(i64::MIN)),
        ("uint", uint(u64::MAX)),
        ("hex", hex(0x80042_u32)),
        ("hex0", hex(0_u32)),
        ("yes", yes(true)),
        ("no", yes(false)),
        ("fd", fd(-100)),
        ("pid", pid(4711)),
        ("ino", ino(1_u64 << 63)),
        ("dev", dev(2049_u32)),
        ("addr", addr(0x7fff_1234_5678_u64)),
        ("null", addr(0_u64)),
    ]);
    let state = named(vec![
        ("str", text("tab\there \"and\" back\\slash \x7f ä€🦀")),
        ("broken_utf8", text(b"a\xff\xc3z\xed\xa0\x80\xc0\xaf\xe2\x82")),
        ("nul", text("a\0b")),
        ("empty", text("")),
        ("bytes", bytes(b"\x00\x01\xfe\xff")),
        ("no_bytes", bytes(b"")),
        ("errno", errno(libc::ENOENT)),
        ("none", errno(0)),
        ("unknown", errno(4000)),
        ("time", time(1_700_000_000_123_456_789)),
        ("dur", dur(1_200_000, 1_000_000, 500_000_000)),
        ("lt", Value::Rel(Ordering::Less)),
        ("eq", Value::Rel(Ordering::Equal)),
        ("gt", Value::Rel(Ordering::Greater)),
        ("set", set([int(2), int(1)])),
        ("list", list([text("a"), list([yes(true)])])),
        ("no_list", list([])),
        ("map", map([("x", int(-7)), ("inner", map([]))])),
    ]);
    let ok = |value| Outcome { errno: 0, value };
    encode::observation(&mut out, "first", "openat", &ok(fd(3)), &args, &state);
    let exists = Outcome { errno: i64::from(libc::EEXIST), value: int(0) };
    encode::observation(&mut out, second, "mkdir", &exists, &[], &[]);
    encode::observation(&mut out, "ret", "mmap", &ok(addr(-4096_i64)), &[], &[]);
    encode::observation(&mut out, "ret", "lseek", &ok(int(1_i64 << 40)), &[], &[]);
    encode::broken(&mut out, "mkdir: EACCES");
    encode::end(&mut out);
    out
}
