//! From a request to its handler, through one hook that tracing and test faults share and that costs one branch when off.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bevor_abi::Errno;
use bevor_abi::signal::SIGKILL;
use bevor_core::context::{Action, SyscallContext};
use bevor_core::error::{SyscallError, SyscallResult};
use bevor_core::kernel::Syscalls;
use bevor_core::task::WaitStatus;
use bevor_platform::{Reply, SyscallRequest};

use crate::hints::Hints;
use crate::strace::Strace;
use crate::table::{self, Entry, SLOTS};

/// How a test fault makes a call lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing is done, 0 is returned.
    NoopSuccess,
    /// Errors become another errno.
    WrongErrno,
    /// Flag arguments are taken for 0.
    DropFlags,
    /// Counts are one less than they should be.
    ShortCount,
    /// Nothing is done, but the result looks as if it were.
    EffectSkipped,
}

/// The kinds as `--fault` names them.
const KINDS: [(&str, FaultKind); 5] = [
    ("noop-success", FaultKind::NoopSuccess),
    ("wrong-errno", FaultKind::WrongErrno),
    ("drop-flags", FaultKind::DropFlags),
    ("short-count", FaultKind::ShortCount),
    ("effect-skipped", FaultKind::EffectSkipped),
];

/// `--fault=CALL:KIND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The call's number.
    pub nr: u32,
    /// What goes wrong.
    pub kind: FaultKind,
}

impl Fault {
    /// Parses a call's name and a kind's; `None` if either is unknown.
    #[must_use]
    pub fn parse(call: &str, kind: &str) -> Option<Self> {
        let nr = bevor_abi::sysno::ALL.iter().find(|(_, name)| *name == call)?.0;
        let kind = KINDS.iter().find(|(name, _)| *name == kind)?.1;
        Some(Self { nr, kind })
    }
}

/// Runs handlers.
#[derive(Default)]
pub struct Dispatcher {
    strace: Option<Strace>,
    hints: Option<Hints>,
    fault: Option<Fault>,
    hooked: bool,
    /// The fault has changed something.
    took_effect: AtomicBool,
    /// One bit per number: its lack of a handler was logged.
    logged: [AtomicU64; SLOTS / 64],
}

impl Dispatcher {
    /// A dispatcher with the given hooks.
    #[must_use]
    pub fn new(strace: Option<Strace>, hints: Option<Hints>, fault: Option<Fault>) -> Arc<Self> {
        let hooked = strace.is_some() || hints.is_some() || fault.is_some();
        Arc::new(Self { hooked, strace, hints, fault, ..Self::default() })
    }

    fn run(&self, ctx: &mut SyscallContext<'_>, nr: u64, entry: Option<&Entry>, args: &[u64; 6]) -> SyscallResult {
        let Some(handler) = entry.and_then(|e| e.handler) else {
            return self.missing(ctx, nr, entry);
        };
        // A context is plain data: after a panic nothing of it is used again.
        match catch_unwind(AssertUnwindSafe(|| handler(ctx, args))) {
            Ok(result) => result,
            Err(_) => {
                let name = entry.map_or("?", |e| e.name);
                ctx.task.kernel.klog(&format!("handler of {name} panicked: pid {} killed", ctx.task.pid()));
                ctx.task.begin_group_exit(WaitStatus::killed(SIGKILL));
                Err(Errno::EIO.into())
            }
        }
    }

    #[cold]
    fn missing(&self, ctx: &SyscallContext<'_>, nr: u64, entry: Option<&Entry>) -> SyscallResult {
        let slot = usize::try_from(nr).ok().filter(|n| *n < SLOTS).unwrap_or(SLOTS - 1);
        let bit = 1 << (slot % 64);
        if self.logged[slot / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let name = entry.map_or("unknown", |e| e.name);
            ctx.task.kernel.klog(&format!("system call {nr} ({name}) is not implemented"));
        }
        Err(Errno::ENOSYS.into())
    }

    fn run_hooked(
        &self,
        ctx: &mut SyscallContext<'_>,
        request: &SyscallRequest,
        entry: Option<&Entry>,
        first: bool,
    ) -> SyscallResult {
        if let (Some(strace), true) = (&self.strace, first) {
            strace.enter(ctx, request, entry);
        }
        let result = match self.fault.filter(|f| u64::from(f.nr) == request.nr) {
            Some(fault) => self.run_faulty(ctx, request, entry, fault.kind),
            None => self.run(ctx, request.nr, entry, &request.args),
        };
        if let Some(strace) = &self.strace {
            strace.exit(ctx, request, entry, &result);
        }
        if let Some(hints) = &self.hints {
            hints.look(ctx, request, entry, &result);
        }
        result
    }

    fn run_faulty(
        &self,
        ctx: &mut SyscallContext<'_>,
        request: &SyscallRequest,
        entry: Option<&Entry>,
        kind: FaultKind,
    ) -> SyscallResult {
        let args = &request.args;
        let format = entry.map_or("", |e| e.args).bytes();
        let (result, changed) = match kind {
            FaultKind::NoopSuccess => (Ok(0), true),
            FaultKind::EffectSkipped => {
                let size = format.zip(args).find(|(k, _)| *k == b'z').map_or(0, |(_, size)| *size);
                // Without a size it is the same as the above.
                (Ok(size), size != 0)
            }
            FaultKind::DropFlags => {
                let mut args = *args;
                let mut changed = false;
                for (slot, _) in args.iter_mut().zip(format).filter(|(_, k)| *k == b'g') {
                    changed |= std::mem::take(slot) != 0;
                }
                let result = self.run(ctx, request.nr, entry, &args);
                // A call that the stub makes has its own arguments.
                let local = matches!(ctx.action, Some(Action::Reply(Reply::Local(_))));
                (result, changed && !local)
            }
            FaultKind::ShortCount => {
                let result = self.run(ctx, request.nr, entry, args);
                let changed = matches!(result, Ok(n) if n > 0);
                (result.map(|n| n.saturating_sub(1)), changed)
            }
            FaultKind::WrongErrno => match self.run(ctx, request.nr, entry, args) {
                Err(SyscallError::Errno(Errno::EIO, _)) => (Err(Errno::EPERM.into()), true),
                Err(SyscallError::Errno(..)) => (Err(Errno::EIO.into()), true),
                other => (other, false),
            },
        };
        // Whoever counts which faults are noticed must know which could be.
        if changed && !self.took_effect.swap(true, Ordering::Relaxed) {
            let name = KINDS.iter().find(|(_, k)| *k == kind).map_or("?", |(name, _)| name);
            ctx.task.kernel.klog(&format!("fault {}:{name} took effect", entry.map_or("?", |e| e.name)));
        }
        result
    }
}

impl Syscalls for Dispatcher {
    fn call(&self, ctx: &mut SyscallContext<'_>, request: &SyscallRequest, first: bool) -> SyscallResult {
        let entry = table::find(request.nr);
        if self.hooked {
            return self.run_hooked(ctx, request, entry, first);
        }
        self.run(ctx, request.nr, entry, &request.args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_by_call_and_kind() {
        let fault = Fault::parse("read", "short-count");
        assert_eq!(fault, Some(Fault { nr: 0, kind: FaultKind::ShortCount }));
        assert_eq!(Fault::parse("no_such_call", "short-count"), None);
        assert_eq!(Fault::parse("read", "no-such-kind"), None);
    }
}
