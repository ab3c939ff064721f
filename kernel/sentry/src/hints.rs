//! One line for whoever wonders why a program fails: that it has met the edge of what is there.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use bevor_abi::process::CLONE_NEW_ANY;
use bevor_abi::{Errno, sysno};
use bevor_core::context::SyscallContext;
use bevor_core::error::{SyscallError, SyscallResult};
use bevor_platform::SyscallRequest;
use parking_lot::Mutex;

use crate::table::{Entry, SLOTS};

/// Where a reader finds what each call can do.
const TABLE: &str = "see compat-table/TABLE.md";

/// Where hints go: each is one `write`.
pub type Sink = Box<dyn Write + Send>;

/// Says each thing once.
pub struct Hints {
    sinks: Mutex<Vec<Sink>>,
    /// One bit per number.
    calls: [AtomicU64; SLOTS / 64],
    /// One bit per address family, the last for all beyond.
    families: AtomicU64,
    namespaces: AtomicU64,
}

fn first(bits: &AtomicU64, bit: u64) -> bool {
    let mask = 1 << bit.min(63);
    // Who has asked already is mostly known by looking.
    bits.load(Ordering::Relaxed) & mask == 0 && bits.fetch_or(mask, Ordering::Relaxed) & mask == 0
}

impl Hints {
    /// Writes to all of `sinks`; none if there are none.
    #[must_use]
    pub fn new(sinks: Vec<Sink>) -> Option<Self> {
        let some = !sinks.is_empty();
        some.then(|| Self {
            sinks: Mutex::new(sinks),
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
            families: AtomicU64::new(0),
            namespaces: AtomicU64::new(0),
        })
    }

    /// After a run of a handler.
    pub fn look(&self, ctx: &SyscallContext<'_>, request: &SyscallRequest, entry: Option<&Entry>, result: &SyscallResult) {
        if let Err(SyscallError::Errno(errno, _)) = result
            && let Some(text) = self.text(request, entry, *errno)
        {
            self.say(&ctx.task.comm(), &text);
        }
    }

    /// What there is to say about a refusal, if it has not been said.
    fn text(&self, request: &SyscallRequest, entry: Option<&Entry>, errno: Errno) -> Option<String> {
        let is = |number: u32| request.nr == u64::from(number);
        match errno {
            Errno::ENOSYS => {
                let slot = usize::try_from(request.nr).ok().filter(|n| *n < SLOTS).unwrap_or(SLOTS - 1);
                let new = self.calls.get(slot / 64).is_some_and(|bits| first(bits, u64::try_from(slot % 64).unwrap_or(63)));
                new.then(|| match entry {
                    Some(entry) => format!("called {}(2), which is not there yet; {TABLE}", entry.name),
                    None => format!("made system call {}, which has no name; {TABLE}", request.nr),
                })
            }
            Errno::EAFNOSUPPORT if is(sysno::socket) || is(sysno::socketpair) => {
                let family = request.args[0] & 0xffff_ffff;
                let what = match family {
                    2 => "AF_INET".to_owned(),
                    10 => "AF_INET6".to_owned(),
                    16 => "AF_NETLINK".to_owned(),
                    17 => "AF_PACKET".to_owned(),
                    other => format!("family-{other}"),
                };
                first(&self.families, family)
                    .then(|| format!("asked for an {what} socket, but there is no network yet, only AF_UNIX; {TABLE}"))
            }
            Errno::EINVAL if is(sysno::clone) && request.args[0] & CLONE_NEW_ANY != 0 => first(&self.namespaces, 0)
                .then(|| format!("asked clone(2) for a new namespace, and there are no namespaces yet; {TABLE}")),
            _ => None,
        }
    }

    /// The program's name is its own to choose, and this may go to a terminal.
    fn say(&self, program: &[u8], text: &str) {
        let line = format!("bevor: hint: {} {text}\n", program.escape_ascii());
        for sink in self.sinks.lock().iter_mut() {
            // A full or closed log must not stop the application.
            let _ = sink.write_all(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    fn hints() -> Hints {
        Hints::new(vec![Box::new(std::io::sink())]).unwrap()
    }

    fn text(hints: &Hints, nr: u64, first: u64, errno: Errno) -> Option<String> {
        let request = SyscallRequest { nr, args: [first, 0, 0, 0, 0, 0] };
        hints.text(&request, table::find(nr), errno)
    }

    #[test]
    fn each_call_is_named_once() {
        let hints = hints();
        let said = text(&hints, u64::from(sysno::io_uring_setup), 0, Errno::ENOSYS).unwrap();
        assert_eq!(said, "called io_uring_setup(2), which is not there yet; see compat-table/TABLE.md");
        assert_eq!(text(&hints, u64::from(sysno::io_uring_setup), 0, Errno::ENOSYS), None);
        assert!(text(&hints, u64::from(sysno::ptrace), 0, Errno::ENOSYS).unwrap().contains("ptrace(2)"));
        for (nr, new) in [(u64::MAX, true), (1 << 40, false), (u64::from(sysno::read), true)] {
            assert_eq!(text(&hints, nr, 0, Errno::ENOSYS).is_some(), new, "{nr}");
        }
    }

    #[test]
    fn refused_sockets_and_namespaces_are_explained() {
        let hints = hints();
        let socket = u64::from(sysno::socket);
        assert!(text(&hints, socket, 2, Errno::EAFNOSUPPORT).unwrap().contains("AF_INET socket"));
        assert_eq!(text(&hints, socket, 2, Errno::EAFNOSUPPORT), None);
        assert!(text(&hints, socket, 1 << 20, Errno::EAFNOSUPPORT).unwrap().contains("family-1048576"));
        assert_eq!(text(&hints, socket, 1, Errno::EACCES), None);
        assert!(text(&hints, u64::from(sysno::clone), 0x1000_0011, Errno::EINVAL).unwrap().contains("namespace"));
        assert_eq!(text(&hints, u64::from(sysno::clone), 0x800, Errno::EINVAL), None);
    }
}
