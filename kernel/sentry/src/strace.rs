//! Readable lines for system calls, in the manner of strace(1): `[tid] name(args) = result`.

use std::fmt::Write as _;
use std::io::Write;

use bevor_abi::signal;
use bevor_core::context::SyscallContext;
use bevor_core::error::{Restart, SyscallError, SyscallResult};
use bevor_platform::SyscallRequest;
use parking_lot::Mutex;

use crate::table::Entry;

/// Longest string shown.
const MAX_STRING: usize = 64;

/// A sink for trace lines.
pub struct Strace {
    sink: Mutex<Box<dyn Write + Send>>,
}

impl Strace {
    /// Writes to `sink`, one `write` per line.
    #[must_use]
    pub fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink: Mutex::new(sink) }
    }

    fn line(&self, text: &str) {
        // A full or closed log must not stop the application.
        let _ = self.sink.lock().write_all(text.as_bytes());
    }

    /// Before the first run of a handler: calls that do not come back are shown here.
    pub fn enter(&self, ctx: &SyscallContext<'_>, request: &SyscallRequest, entry: Option<&Entry>) {
        if entry.is_some_and(|e| matches!(e.name, "execve" | "execveat" | "exit" | "exit_group")) {
            self.line(&format!("[{}] {}\n", ctx.task.tid(), call(ctx, request, entry)));
        }
    }

    /// After a run of a handler.
    pub fn exit(&self, ctx: &SyscallContext<'_>, request: &SyscallRequest, entry: Option<&Entry>, result: &SyscallResult) {
        let outcome = match result {
            Ok(value) if *value > 0xffff_ffff => format!("{value:#x}"),
            Ok(value) => value.to_string(),
            Err(SyscallError::Errno(errno, place)) => match place.get() {
                Some(place) => format!("-1 {errno} ({}:{})", place.file(), place.line()),
                None => format!("-1 {errno}"),
            },
            Err(SyscallError::Restart(kind)) => match kind {
                Restart::IfSaRestart => "? ERESTARTSYS",
                Restart::IfNoHandler => "? ERESTARTNOHAND",
                Restart::Always => "? ERESTARTNOINTR",
                Restart::Block => "? ERESTART_RESTARTBLOCK",
            }
            .to_owned(),
            Err(SyscallError::Block) => "<sleeps>".to_owned(),
            Err(SyscallError::Replied) => "?".to_owned(),
        };
        self.line(&format!("[{}] {} = {outcome}\n", ctx.task.tid(), call(ctx, request, entry)));
    }
}

/// `name(args)`.
fn call(ctx: &SyscallContext<'_>, request: &SyscallRequest, entry: Option<&Entry>) -> String {
    let mut out = match entry {
        Some(entry) => entry.name.to_owned(),
        None => format!("syscall_{}", request.nr),
    };
    out.push('(');
    for (i, (kind, value)) in entry.map_or("xxxxxx", |e| e.args).bytes().zip(request.args).enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        argument(&mut out, kind, value, |addr, buf| ctx.thread.read_memory(addr, buf));
    }
    out.push(')');
    out
}

/// Appends one argument; `kind` is a letter of the table's format.
fn argument(out: &mut String, kind: u8, value: u64, read: impl Fn(u64, &mut [u8]) -> usize) {
    let low = i32::from_le_bytes([0, 1, 2, 3].map(|i| value.to_le_bytes()[i]));
    // Writing to a String does not fail.
    let _ = match kind {
        b'f' if low == -100 => write!(out, "AT_FDCWD"),
        b'd' | b'f' => write!(out, "{low}"),
        b'u' | b'z' => write!(out, "{value}"),
        b'o' => write!(out, "{:#o}", low.cast_unsigned()),
        b'g' => write!(out, "{:#x}", low.cast_unsigned()),
        b'S' => write!(out, "{}", signal::name(low)),
        b's' if value != 0 => {
            let mut buf = [0; MAX_STRING];
            let got = read(value, &mut buf);
            let text = &buf[..got];
            match text.iter().position(|b| *b == 0) {
                Some(end) => write!(out, "\"{}\"", text[..end].escape_ascii()),
                None if got == 0 => write!(out, "{value:#x}"),
                None => write!(out, "\"{}\"...", text.escape_ascii()),
            }
        }
        _ if value == 0 => write!(out, "{}", if kind == b'x' { "0" } else { "NULL" }),
        _ => write!(out, "{value:#x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(kind: u8, value: u64) -> String {
        let mut out = String::new();
        argument(&mut out, kind, value, |_, buf| {
            buf[..5].copy_from_slice(b"a\"b\n\0");
            buf.len()
        });
        out
    }

    #[test]
    fn arguments_are_shown_by_kind() {
        assert_eq!(show(b'f', 0xffff_ff9c), "AT_FDCWD");
        assert_eq!(show(b'd', 0xffff_ffff), "-1");
        assert_eq!(show(b's', 0x1000), r#""a\"b\n""#);
        assert_eq!(show(b's', 0), "NULL");
        assert_eq!(show(b'S', 11), "SIGSEGV");
        assert_eq!(show(b'o', 0o644), "0o644");
    }
}
