//! Links the kernel into the sentry process.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_core::creds::Credentials;
use bevor_core::task::WaitStatus;
use bevor_gofer::{Gofer, ProcFile};
use bevor_hostcall::HostFd;
use bevor_hostcall::file::poll_one;
use bevor_platform::systrap::{ProcFiles, Systrap, Zygote, ZygoteOptions, zygote};
use bevor_platform::{Defence, Platform};

use bevor_sentry::boot::{self, BootConfig, BootError, Signaller};
use bevor_sentry::dispatch::Fault;

use crate::control::{Control, Message};
use crate::failure::Failure;
use crate::filesystem::{self, Bind};
use crate::sentry::{Kernel, Sentry, Verdict};
use crate::spec::Spec;

/// Opens stubs' /proc files through the gofer.
#[derive(Debug)]
struct StubFiles(Arc<Gofer>);

impl ProcFiles for StubFiles {
    fn memory(&self, pid: i32) -> Result<HostFd, Errno> {
        self.0.proc_open(pid, ProcFile::Mem)
    }

    fn maps(&self, pid: i32) -> Result<HostFd, Errno> {
        self.0.proc_open(pid, ProcFile::Maps)
    }

    fn stat(&self, tid: i32) -> Result<HostFd, Errno> {
        self.0.proc_open(tid, ProcFile::Stat)
    }

    fn schedstat(&self, tid: i32) -> Result<HostFd, Errno> {
        self.0.proc_open(tid, ProcFile::SchedStat)
    }
}

/// What is made before the sentry gives up its privileges.
pub(crate) struct Prepared {
    zygote: Zygote,
    /// Resource limits (soft, hard) by number.
    rlimits: [(u64, u64); 16],
}

/// The kernel that `bevor do` runs.
#[derive(Debug)]
pub(crate) struct Bevor {
    vdso_extent: Option<zygote::VdsoExtent>,
    /// The caller's resource limits (soft, hard) by number.
    rlimits: [(u64, u64); 16],
}

impl Bevor {
    /// To be made while the process has a `/proc`, and its caller's limits.
    pub(crate) fn new() -> Self {
        Self { vdso_extent: zygote::vdso_extent().ok(), rlimits: bevor_hostcall::host::rlimits() }
    }
}

impl Kernel for Bevor {
    type Platform = Prepared;

    fn start_platform(&self, spec: &Spec, stub_id: u32) -> Result<Prepared, Failure> {
        // Id 0 is the sentry's: an ordinary user has no other.
        let uid = Some(stub_id).filter(|&id| id != 0);
        let rlimits = self.rlimits;
        let native_yield = spec.local_calls && !spec.strace;
        Zygote::spawn(ZygoteOptions { uid, vdso_extent: self.vdso_extent.clone(), native_yield, defences: spec.defences.clone() })
            .map(|zygote| Prepared { zygote, rlimits })
            .map_err(|e| {
                // Memory that processes share is files.
                let limited = bevor_hostcall::host::rlimits()[libc::RLIMIT_FSIZE as usize].0 != libc::RLIM_INFINITY;
                let why = if limited { "; the hard limit of file sizes may be too low (ulimit -Hf)" } else { "" };
                Failure::new(format_args!("cannot start the sandbox: start the zygote: {e}{why}"))
            })
    }

    fn run(self, sentry: Sentry<'_>, prepared: Prepared) -> Verdict {
        let platform = match Systrap::start(prepared.zygote) {
            Ok(platform) => platform,
            Err(e) => return failed("start the platform", e),
        };
        platform.set_proc_files(Arc::new(StubFiles(Arc::clone(&sentry.gofer))));
        let platform: Arc<dyn Platform> = Arc::new(platform);
        let config = match configuration(&sentry, prepared.rlimits, &platform) {
            Ok(config) => config,
            Err(failure) => return Verdict::Failed(failure),
        };
        let sandbox = match boot::start(config, Arc::clone(&platform)) {
            Ok(sandbox) => sandbox,
            Err(e) => return refused(e),
        };
        forward_signals(sentry.control, sandbox.signaller(), sentry.spec.defences.has(Defence::Tie));
        let status = sandbox.wait();
        platform.shutdown();
        Verdict::Exit(shell_status(status))
    }
}

/// Passes the command's signals on. The thread ends with the process.
fn forward_signals(control: Control, signaller: Signaller, tied: bool) {
    let forward = move || {
        while let Some(message) = control.receive() {
            if let Message::Signal(number) = message {
                signaller.send(i32::from(number));
            }
        }
        // The command is gone; so is the sandbox (the parent-death signal says so as well).
        if tied {
            signaller.send(libc::SIGKILL);
        }
    };
    // Without the thread signals do not arrive; the sandbox runs on all the same.
    let _ = std::thread::Builder::new().name("signals".into()).stack_size(64 * 1024).spawn(forward);
}

/// The command's stderr, for lines that would rather be lost than keep a handler waiting for a reader.
struct PatientStderr(HostFd);

impl Write for PatientStderr {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        // A pipe that can be written at all takes PIPE_BUF bytes, and a hint is shorter.
        match poll_one(&self.0, libc::POLLOUT, 0) {
            Ok(libc::POLLOUT) => std::io::stderr().write(line),
            _ => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn configuration(sentry: &Sentry<'_>, rlimits: [(u64, u64); 16], platform: &Arc<dyn Platform>) -> Result<BootConfig, Failure> {
    let spec = sentry.spec;
    let bytes = |words: &[std::ffi::OsString]| words.iter().map(|w| w.as_bytes().to_vec()).collect();
    let binds: Vec<Bind> =
        spec.mounts.iter().skip(1).map(|m| Bind { destination: m.destination.clone(), read_only: m.host.read_only }).collect();
    let (gofer, files_platform) = (Arc::clone(&sentry.gofer), Arc::clone(platform));
    let (_, descriptors) = rlimits[libc::RLIMIT_NOFILE as usize];
    let options = filesystem::Options { memory: spec.file_memory, descriptors, defences: spec.defences.clone() };
    let mut hints: Vec<bevor_sentry::hints::Sink> = Vec::new();
    if let Some(stderr) = filesystem::stdio(2).filter(|_| spec.hints) {
        hints.push(Box::new(PatientStderr(stderr)));
    }
    let log: Box<dyn Write + Send> = match &spec.debug_log {
        Some(file) => {
            // It appends, and each line is one write: both handles may write as they like.
            let copy = || file.try_clone().map_err(|e| Failure::new(format_args!("--debug-log: {}", crate::spec::why(&e))));
            hints.push(Box::new(copy()?));
            Box::new(copy()?)
        }
        None => Box::new(std::io::stderr()),
    };
    let fault = match &spec.fault {
        Some((call, kind)) => Some(
            Fault::parse(call, kind).ok_or_else(|| Failure::new(format_args!("--fault {call}:{kind}: no such system call")))?,
        ),
        None => None,
    };
    Ok(BootConfig {
        argv: bytes(&spec.command),
        env: bytes(&spec.environment),
        cwd: spec.cwd.as_os_str().as_bytes().to_vec(),
        cwd_required: spec.cwd_required,
        filesystem: Box::new(move |timers| filesystem::make(timers, &gofer, &files_platform, &binds, &options)),
        creds: credentials(),
        signal_mask: sentry.signal_mask,
        ignored_signals: sentry.ignored_signals,
        rlimits,
        strace: spec.strace,
        hints,
        debug_log: Some(log),
        local_calls: spec.local_calls,
        boot_nonce: spec.boot_nonce.clone(),
        fault,
        torture: spec.torture,
        defences: spec.defences.clone(),
        unkillable: false,
    })
}

/// The command runs as root of its sandbox.
fn credentials() -> Credentials {
    Credentials::root()
}

fn failed(step: &str, e: Errno) -> Verdict {
    Verdict::Failed(Failure::new(format_args!("cannot start the sandbox: {step}: {e}")))
}

/// Why nothing ran, in the words and with the status of a shell.
fn refused(error: BootError) -> Verdict {
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    match error {
        BootError::NotFound(path) => Verdict::NotStarted(Failure::new(format_args!("{}: command not found", shown(&path))), 127),
        BootError::NotExecutable(path, errno) => {
            let why = match errno {
                Errno::ENOEXEC => "not an executable that Bevor can run (a 64-bit x86 ELF file or a script)",
                Errno::EACCES => "permission denied",
                Errno::EISDIR => "is a directory",
                Errno::ENOENT | Errno::ELIBBAD => "its interpreter is missing",
                other => {
                    return Verdict::NotStarted(
                        Failure::new(format_args!("{}: cannot be executed: {}", shown(&path), words(other))),
                        126,
                    );
                }
            };
            Verdict::NotStarted(Failure::new(format_args!("{}: {why}", shown(&path))), 126)
        }
        BootError::Cwd(path, errno) => Verdict::Failed(Failure::new(format_args!("--cwd {}: {}", shown(&path), words(errno)))),
        BootError::Filesystem(e) if e.what.is_empty() => failed("make the file system", e.errno),
        BootError::Filesystem(e) => Verdict::Failed(Failure::new(format_args!("{}: {}", e.what, words(e.errno)))),
        BootError::Internal(what, errno) => failed(what, errno),
    }
}

/// As strerror(3) has it.
fn words(errno: Errno) -> String {
    crate::spec::why(&std::io::Error::from_raw_os_error(errno.code()))
}

/// 0 to 255: the exit status, or 128 + the signal's number.
fn shell_status(status: WaitStatus) -> u8 {
    match status.signal() {
        Some(signal) => u8::try_from(128 + signal).unwrap_or(255),
        None => u8::try_from((status.0 >> 8) & 0xff).unwrap_or(255),
    }
}
