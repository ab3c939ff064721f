//! Rust probes and the agent, one multi-call binary: see `syscall-tests/README.md`.
//!
//! The entry point is C's, not Rust's: std's start-up ignores SIGPIPE and installs handlers for SIGSEGV and SIGBUS, which
//! the probes must find as execve leaves them.
#![no_main]

mod agent;
mod encode;
mod errno;
mod golden;
mod helpers;
mod observe;
mod probes;
mod sys;
mod value;

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// A registered probe.
#[derive(Debug)]
pub(crate) struct Probe {
    /// `family/name`.
    pub(crate) id: &'static str,
    /// Ids of the observations in order.
    pub(crate) plan: &'static [&'static str],
    /// The probe.
    pub(crate) run: fn(),
}

/// A helper program that a probe executes as `/proc/self/exe child NAME ARGS…`.
#[derive(Debug)]
pub(crate) struct Helper {
    /// Its name.
    pub(crate) name: &'static str,
    /// Runs it with the arguments after the name; the exit status.
    pub(crate) run: fn(&[&OsStr]) -> i32,
}

/// C's entry point.
///
/// # Safety
/// `argv` must hold `argc` pointers to NUL-terminated strings that live as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let count = usize::try_from(argc).unwrap_or(0);
    let args: Vec<&OsStr> = (0..count)
        .map(|i| {
            // SAFETY: the C start-up code passes `argc` valid, NUL-terminated strings that live as long as the process.
            OsStr::from_bytes(unsafe { CStr::from_ptr(*argv.add(i)) }.to_bytes())
        })
        .collect();
    let words: Vec<&str> = args.iter().map(|a| a.to_str().unwrap_or("")).collect();
    match words.as_slice() {
        [_, "run", id] => run(id),
        [_, "list"] => {
            let mut out = String::new();
            for probe in probes::all() {
                out.push_str(probe.id);
                out.push('\n');
            }
            print(out.as_bytes())
        }
        [_, "golden"] => print(&golden::lines()),
        [program, "agent"] => agent::serve(program),
        [_, "child", name, ..] => match probes::helpers().find(|h| h.name == *name) {
            Some(helper) => (helper.run)(&args[3..]),
            None => usage(),
        },
        _ => usage(),
    }
}

fn run(id: &str) -> i32 {
    let Some(probe) = probes::all().find(|p| p.id == id) else {
        eprintln!("probes-rust: no probe `{id}`; `probes-rust list` names them");
        return 64;
    };
    observe::take_descriptor();
    let _ = sys::sys!(umask, 0o022);
    let mut line = Vec::new();
    encode::plan(&mut line, probe.plan);
    observe::write_line(&line);
    (probe.run)();
    line.clear();
    encode::end(&mut line);
    observe::write_line(&line);
    0
}

fn print(text: &[u8]) -> i32 {
    i32::from(std::io::stdout().write_all(text).is_err())
}

fn usage() -> i32 {
    eprintln!("usage: probes-rust run PROBE | list | golden | agent");
    64
}
