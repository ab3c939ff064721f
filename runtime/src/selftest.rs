//! Pretended kernels that try a sentry's confinement from inside; test builds only.

use std::io::Write as _;

use bevor_gofer::OpenFlags;
use clap::ValueEnum;

use crate::control::Message;
use crate::failure::Failure;
use crate::sentry::{Kernel, Sentry, Verdict};
use crate::spec::Spec;

/// What the pretended kernel does once it is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Ends with status 42.
    Exit42,
    /// Fails with a message.
    Fail,
    /// Panics.
    Panic,
    /// Prints the host's /etc/passwd through the gofer.
    ReadThroughGofer,
    /// Starts threads, allocates, and ends with status 0.
    Threads,
    /// Prints "ready", then the number of each signal that comes; ends at SIGTERM.
    Signals,
    /// Opens a file.
    Open,
    /// Makes a socket.
    Socket,
    /// Executes a program.
    Exec,
    /// Makes a pipe.
    Pipe,
}

/// See [`Action`].
#[derive(Debug)]
pub(crate) struct Selftest(pub(crate) Action);

impl Kernel for Selftest {
    type Platform = ();

    fn start_platform(&self, _spec: &Spec, _stub_id: u32) -> Result<(), Failure> {
        Ok(())
    }

    fn run(self, sentry: Sentry<'_>, (): ()) -> Verdict {
        match self.0 {
            Action::Exit42 => Verdict::Exit(42),
            Action::Fail => Verdict::Failed(Failure::new("failed as asked")),
            #[allow(clippy::panic, reason = "what is tested")]
            Action::Panic => panic!("panicked as asked"),
            Action::ReadThroughGofer => read_through_gofer(&sentry),
            Action::Threads => threads(),
            Action::Signals => signals(&sentry),
            // Each of these ends the process; a status means that it did not.
            Action::Open => escaped(std::fs::File::open("/")),
            Action::Socket => escaped(std::os::unix::net::UnixDatagram::unbound()),
            Action::Exec => escaped(std::process::Command::new("/bin/true").status()),
            Action::Pipe => escaped(std::io::pipe()),
        }
    }
}

fn escaped<T>(result: std::io::Result<T>) -> Verdict {
    Verdict::Exit(if result.is_ok() { 1 } else { 2 })
}

fn read_through_gofer(sentry: &Sentry<'_>) -> Verdict {
    let read = || {
        let (root, _) = sentry.gofer.attach(0)?;
        let walked = sentry.gofer.walk(root, &[b"etc", b"passwd"])?;
        let (node, attr) = *walked.nodes.last().ok_or(bevor_abi::Errno::ENOENT)?;
        let file = sentry.gofer.open(node, OpenFlags::RDONLY)?;
        let mut text = vec![0; usize::try_from(attr.size).unwrap_or(0)];
        rustix::io::pread(&file, &mut text, 0).map_err(|_| bevor_abi::Errno::EIO)?;
        Ok::<_, bevor_abi::Errno>(text)
    };
    match read() {
        Ok(text) => Verdict::Exit(u8::from(std::io::stdout().write_all(&text).is_err())),
        Err(e) => Verdict::Failed(Failure::new(e)),
    }
}

fn threads() -> Verdict {
    let sums: u64 = (0..4_u64)
        .map(|n| {
            std::thread::Builder::new()
                .name(format!("worker {n}"))
                .spawn(move || vec![n; 1 << 20].iter().sum::<u64>())
        })
        .map(|thread| thread.map_or(0, |t| t.join().unwrap_or(0)))
        .sum();
    Verdict::Exit(u8::from(sums != 6 << 20))
}

fn signals(sentry: &Sentry<'_>) -> Verdict {
    println!("ready");
    loop {
        match sentry.control.receive() {
            Some(Message::Signal(signal)) => {
                println!("{signal}");
                if i32::from(signal) == libc::SIGTERM {
                    return Verdict::Exit(128 + signal);
                }
            }
            _ => return Verdict::Failed(Failure::new("the command is gone")),
        }
    }
}
