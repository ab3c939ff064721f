//! dup, dup2, dup3: descriptors that share one description.

use libc::{FD_CLOEXEC, O_APPEND, O_CLOEXEC, O_CREAT, O_RDWR};

use super::probe;
use crate::Probe;
use crate::helpers::{open, put, status_flags, tell};
use crate::observe::obs;
use crate::sys::sys;
use crate::value::{fd, hex, int, rel};

pub(super) const PROBES: &[Probe] = &[
    probe("dup/shares_offset", &["dup", "flags"], shares_offset),
    probe("dup/dup2_replaces", &["replace", "same", "same_bad"], dup2_replaces),
    probe("dup/dup3_cloexec", &["cloexec", "same", "bad_flag"], dup3_cloexec),
];

fn shares_offset() {
    put(c"f", b"0123456789");
    let first = open(c"f", O_RDWR | O_CLOEXEC);
    let r = sys!(dup, first);
    let second = r.must_i32();
    sys!(lseek, first, 4, libc::SEEK_SET).must();
    let mut data = [0_u8; 2];
    sys!(read, second, &mut data, 2).must();
    obs("dup", r)
        .fd()
        .arg("fd", fd(first))
        .state("offset", int(tell(first)))
        .state("cloexec", hex(sys!(fcntl, second, libc::F_GETFD).raw))
        .state("order", rel(second, first));
    let r = sys!(fcntl, second, libc::F_SETFL, O_APPEND);
    obs("flags", r).arg("flags", hex(O_APPEND)).state("first", hex(status_flags(first)));
}

fn dup2_replaces() {
    put(c"a", b"a");
    put(c"b", b"b");
    let (a, b) = (open(c"a", O_RDWR), open(c"b", O_RDWR | O_CLOEXEC));
    let r = sys!(dup2, a, b);
    let mut data = [0_u8; 1];
    sys!(read, b, &mut data, 1).must();
    obs("replace", r)
        .fd()
        .arg("old", fd(a))
        .arg("new", fd(b))
        .state("data", crate::value::bytes(data))
        .state("cloexec", hex(sys!(fcntl, b, libc::F_GETFD).raw));
    let c = open(c"c", O_CREAT | O_RDWR | O_CLOEXEC);
    let r = sys!(dup2, c, c);
    obs("same", r).fd().arg("old", fd(c)).state("cloexec", hex(sys!(fcntl, c, libc::F_GETFD).raw));
    sys!(close, c).must();
    let r = sys!(dup2, c, c);
    obs("same_bad", r).arg("old", fd(c));
}

fn dup3_cloexec() {
    put(c"a", b"a");
    let a = open(c"a", O_RDWR);
    let r = sys!(dup3, a, 77, O_CLOEXEC);
    obs("cloexec", r)
        .ret(int(r.raw))
        .arg("new", int(77))
        .arg("flags", hex(O_CLOEXEC))
        .state("fd_flags", hex(sys!(fcntl, 77, libc::F_GETFD).raw))
        .state("plain", hex(sys!(fcntl, a, libc::F_GETFD).raw & i64::from(FD_CLOEXEC)));
    let r = sys!(dup3, a, a, 0);
    obs("same", r).arg("old", fd(a)).arg("new", fd(a));
    let r = sys!(dup3, a, 78, O_APPEND);
    obs("bad_flag", r).arg("flags", hex(O_APPEND)).state("target", crate::value::errno(sys!(fcntl, 78, libc::F_GETFD).errno()));
}
