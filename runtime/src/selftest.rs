//! Pretended kernels that try a sentry's confinement from inside; test builds only.

use std::io::{Read as _, Write as _};

use bevor_abi::Errno;
use bevor_gofer::{Gofer, OpenFlags, Owner, ProcFile, RenameFlags, SetAttr, SetTime, SpecialKind, TimeSpec};
use bevor_hostcall::file::pread;
use bevor_hostcall::process::{Namespaces, spawn, wait_signal};
use clap::ValueEnum;
use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};

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
    /// Makes every kind of change in the writable directory, and tries some in the root.
    WriteThroughGofer,
    /// Reads /proc files and memory of a pretended stub through the gofer.
    ReadStub,
    /// Measures round trips to the gofer.
    MeasureGofer,
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
    /// Pid of a pretended stub.
    type Platform = Option<i32>;

    fn start_platform(&self, _spec: &Spec, stub_id: u32) -> Result<Option<i32>, Failure> {
        if self.0 != Action::ReadStub {
            return Ok(None);
        }
        let (mut ready, mut changed_ids) = std::io::pipe().map_err(Failure::new)?;
        let stub = spawn(Namespaces::empty(), || {
            let (uid, gid) = (Uid::from_raw(stub_id), Gid::from_raw(stub_id));
            let changed = rustix::thread::set_thread_res_gid(gid, gid, gid)
                .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
                .and_then(|()| set_dumpable_behavior(DumpableBehavior::Dumpable));
            // Until then the gofer may not look into it. A failure shows as an end without a word.
            let told = changed.is_ok() && changed_ids.write_all(&[1]).is_ok();
            // Until it is killed with its namespace.
            if told {
                loop {
                    let _ = wait_signal(1 << 9);
                }
            }
            1
        });
        let stub = stub.map_err(Failure::new)?;
        drop(changed_ids);
        ready.read_exact(&mut [0]).map_err(|e| Failure::new(format_args!("the pretended stub: {e}")))?;
        Ok(Some(stub))
    }

    fn run(self, sentry: Sentry<'_>, stub: Option<i32>) -> Verdict {
        match self.0 {
            Action::Exit42 => Verdict::Exit(42),
            Action::Fail => Verdict::Failed(Failure::new("failed as asked")),
            #[allow(clippy::panic, reason = "what is tested")]
            Action::Panic => panic!("panicked as asked"),
            Action::ReadThroughGofer => read_through_gofer(&sentry),
            Action::WriteThroughGofer => match write_through_gofer(&sentry.gofer) {
                Ok(()) => Verdict::Exit(0),
                Err(e) => Verdict::Failed(Failure::new(e)),
            },
            Action::ReadStub => read_stub(&sentry, stub.unwrap_or(0)),
            Action::MeasureGofer => measure_gofer(&sentry),
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
        let (node, attr) = *walked.nodes.last().ok_or(Errno::ENOENT)?;
        let file = sentry.gofer.open(node, OpenFlags::RDONLY)?;
        let mut text = vec![0; usize::try_from(attr.size).unwrap_or(0)];
        pread(&file, &mut text, 0)?;
        Ok::<_, Errno>(text)
    };
    match read() {
        Ok(text) => Verdict::Exit(u8::from(std::io::stdout().write_all(&text).is_err())),
        Err(e) => Verdict::Failed(Failure::new(e)),
    }
}

/// The forked process has the sentry's memory, so that known bytes are at a known place.
static MARK: &[u8] = b"a mark in the memory of the stub";

fn read_stub(sentry: &Sentry<'_>, stub: i32) -> Verdict {
    let open = |what| sentry.gofer.proc_open(stub, what).map_err(|e| Failure::new(format_args!("{what:?}: {e}")));
    let check = || {
        let mem = open(ProcFile::Mem)?;
        let mut bytes = vec![0; MARK.len()];
        let at = u64::try_from(MARK.as_ptr().addr()).map_err(Failure::new)?;
        pread(&mem, &mut bytes, at).map_err(|e| Failure::new(format_args!("read of mem: {e}")))?;
        if bytes != MARK {
            return Err(Failure::new("mem has other bytes"));
        }
        for (what, says) in [(ProcFile::Maps, "r-xp"), (ProcFile::Smaps, "Pss:"), (ProcFile::Stat, "bevor")] {
            let mut text = vec![0; 4096];
            let n = pread(&open(what)?, &mut text, 0).map_err(Failure::new)?;
            if !String::from_utf8_lossy(&text[..n]).contains(says) {
                return Err(Failure::new(format_args!("{what:?} does not say {says}")));
            }
        }
        for other in [1, 0, -1, stub + 1000] {
            if sentry.gofer.proc_open(other, ProcFile::Mem).is_ok() {
                return Err(Failure::new(format_args!("process {other} can be opened")));
            }
        }
        Ok(())
    };
    check().map_or_else(Verdict::Failed, |()| Verdict::Exit(0))
}

fn write_through_gofer(gofer: &Gofer) -> Result<(), Errno> {
    let (bound, attr) = gofer.attach(1)?;
    let owner = Owner { uid: attr.uid, gid: attr.gid };
    let (dir, _) = gofer.mkdir(bound, b"dir", 0o750, owner)?;
    let (file, _, fd) = gofer.create(dir, b"new", OpenFlags::RDWR | OpenFlags::EXCL, 0o4711, owner)?;
    bevor_hostcall::file::pwrite(&fd, b"written inside", 0)?;
    gofer.mknod(dir, b"fifo", SpecialKind::Fifo, 0o600, owner)?;
    gofer.mknod(dir, b"socket", SpecialKind::Socket, 0o600, owner)?;
    gofer.mknod(dir, b"regular", SpecialKind::Regular, 0o600, owner)?;
    let (link, _) = gofer.symlink(dir, b"symlink", b"/etc/passwd", owner)?;
    gofer.readlink(link)?;
    gofer.link(file, dir, b"hard")?;
    gofer.rename(dir, b"new", bound, b"moved", RenameFlags::NOREPLACE)?;
    let time = SetTime::At(TimeSpec { sec: 1_000_000_000, nsec: 5 });
    let set = SetAttr {
        mode: Some(0o644),
        uid: Some(owner.uid),
        gid: Some(owner.gid),
        size: Some(7),
        atime: Some(SetTime::Now),
        mtime: Some(time),
    };
    gofer.setattr(file, set)?;
    gofer.open(file, OpenFlags::RDWR | OpenFlags::APPEND)?;
    gofer.listxattr(file)?;
    if gofer.getxattr(file, b"user.none") == Ok(Vec::new()) {
        return Err(Errno::EEXIST);
    }
    gofer.statfs(file)?;
    gofer.unlink(dir, b"hard", false)?;
    if gofer.readdir(dir)?.len() != 4 {
        return Err(Errno::ENOTEMPTY);
    }
    // The root is read-only, for the host's kernel too where the gofer has mounts of its own.
    let (root, _) = gofer.attach(0)?;
    match gofer.mkdir(root, b"bevor-was-here", 0o755, owner) {
        Err(Errno::EROFS) => Ok(()),
        _ => Err(Errno::EPERM),
    }
}

fn measure_gofer(sentry: &Sentry<'_>) -> Verdict {
    let Ok((root, _)) = sentry.gofer.attach(0) else {
        return Verdict::Exit(1);
    };
    let time = |name: &str, call: &dyn Fn()| {
        let start = std::time::Instant::now();
        (0..20_000).for_each(|_| call());
        println!("{name}: {:.2} us", start.elapsed().as_secs_f64() * 1e6 / 20_000.0);
    };
    time("getattr", &|| {
        let _ = sentry.gofer.getattr(root);
    });
    time("walk of 3 and forget", &|| {
        if let Ok(walked) = sentry.gofer.walk(root, &[b"usr", b"lib", b"os-release"]) {
            let ids: Vec<_> = walked.nodes.iter().map(|n| n.0).collect();
            sentry.gofer.forget(&ids);
        }
    });
    time("open", &|| drop(sentry.gofer.open(root, OpenFlags::DIRECTORY)));
    Verdict::Exit(0)
}

fn threads() -> Verdict {
    let sums: u64 = (0..4_u64)
        .map(|n| std::thread::Builder::new().name(format!("worker {n}")).spawn(move || vec![n; 1 << 20].iter().sum::<u64>()))
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
