//! Observations: made, then written at once, so that a crash loses nothing that was seen.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::encode::{self, Outcome};
use crate::sys::{Answer, sys};
use crate::value::{Value, addr, fd, hex, int, pid};

/// Where the observations go, once [`take_descriptor`] has moved it.
static OUT: AtomicI32 = AtomicI32::new(3);
/// Out of the way of probes that count descriptors.
const HIGH: i32 = 500;

/// Moves the observation descriptor out of the way and lets execve close it.
pub(crate) fn take_descriptor() {
    let from = std::env::var("BEVOR_OBS_FD").ok().and_then(|v| v.parse().ok()).unwrap_or(3);
    let moved = sys!(fcntl, from, libc::F_DUPFD_CLOEXEC, HIGH);
    OUT.store(if moved.errno() == 0 { moved.as_i32() } else { from }, Ordering::Relaxed);
    if moved.errno() == 0 {
        let _ = sys!(close, from);
    }
}

/// Writes `line` to the observation descriptor; the process ends if that fails.
pub(crate) fn write_line(line: &[u8]) {
    let mut rest = line;
    while !rest.is_empty() {
        let n = sys!(write, OUT.load(Ordering::Relaxed), rest, rest.len());
        if n.errno() == i64::from(libc::EINTR) {
            continue;
        }
        if n.raw <= 0 {
            let _ = sys!(exit_group, 125);
        }
        rest = rest.get(n.count()..).unwrap_or_default();
    }
}

/// Reports that the set-up or the positive control failed, and ends the process.
pub(crate) fn broken(why: &str) -> ! {
    let mut line = Vec::new();
    encode::broken(&mut line, why);
    write_line(&line);
    loop {
        let _ = sys!(exit_group, 2);
    }
}

/// Broken unless the positive control `what` held.
#[track_caller]
pub(crate) fn require(held: bool, what: &str) {
    if !held {
        broken(&format!("control failed: {what} (line {})", std::panic::Location::caller().line()));
    }
}

/// An observation under construction; written when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Observation {
    id: &'static str,
    call: &'static str,
    outcome: Outcome,
    args: Vec<(String, Value)>,
    state: Vec<(String, Value)>,
}

/// Starts the observation `id` of what a call answered, shown as a plain number.
pub(crate) fn obs(id: &'static str, answer: Answer) -> Observation {
    Observation {
        id,
        call: answer.call,
        outcome: Outcome { errno: answer.errno(), value: int(answer.raw) },
        args: Vec::new(),
        state: Vec::new(),
    }
}

impl Observation {
    fn shown(mut self, as_: impl FnOnce(i64) -> Value) -> Self {
        if let Value::Int(raw) = self.outcome.value {
            self.outcome.value = as_(raw);
        }
        self
    }
    /// Shows the result as a descriptor.
    pub(crate) fn fd(self) -> Self {
        self.shown(fd)
    }
    /// Shows the result as a process id.
    pub(crate) fn pid(self) -> Self {
        self.shown(pid)
    }
    /// Shows the result as a flag word.
    pub(crate) fn hex(self) -> Self {
        self.shown(hex)
    }
    /// Shows the result as an address.
    pub(crate) fn addr(self) -> Self {
        self.shown(addr)
    }
    /// Shows the result as `value`.
    pub(crate) fn ret(self, value: Value) -> Self {
        self.shown(|_| value)
    }
    /// Adds an argument.
    pub(crate) fn arg(mut self, name: &str, value: Value) -> Self {
        self.args.push((name.to_owned(), value));
        self
    }
    /// Adds what was read back.
    pub(crate) fn state(mut self, name: &str, value: Value) -> Self {
        self.state.push((name.to_owned(), value));
        self
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let mut line = Vec::new();
        encode::observation(&mut line, self.id, self.call, &self.outcome, &self.args, &self.state);
        write_line(&line);
    }
}
