//! From a configuration to a running sandbox, and to its end.

use std::io::Write;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bevor_abi::Errno;
use bevor_abi::process::{RLIM_NLIMITS, RLIMIT_CORE, RLIMIT_STACK, Rlimit};
use bevor_core::creds::Credentials;
use bevor_core::kernel::{Kernel, KernelOptions};
use bevor_core::loader::LoadError;
use bevor_core::signal::info::SigInfo;
use bevor_core::task::clone::{MainTask, make_main};
use bevor_core::task::{Task, WaitStatus};
use bevor_core::time::Timers;
use bevor_core::vfs::{Caller, FdTable, FsContext, WalkFlags};
use bevor_platform::{Defences, Platform};

use crate::dispatch::{Dispatcher, Fault};
use crate::hints::{self, Hints};
use crate::strace::Strace;
use crate::syscalls::exec::{Start, load_program, open_by_path};
use crate::timers::HostTimers;

/// How long the processes that the main one leaves behind may take to die.
const DRAIN: Duration = Duration::from_secs(5);
/// Where commands without a slash are looked for if there is no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file system of a sandbox: made by the caller, which knows the root's kind and the binds.
pub struct Filesystem {
    /// Root, working directory, umask.
    pub fs: Arc<FsContext>,
    /// Descriptors 0 to 2 and whatever else is passed in.
    pub files: Arc<FdTable>,
}

/// Why there is no file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemError {
    /// The part of it that failed, in the words of the command line; empty if it was none.
    pub what: String,
    /// Why.
    pub errno: Errno,
}

impl From<Errno> for FilesystemError {
    fn from(errno: Errno) -> Self {
        Self { what: String::new(), errno }
    }
}

/// Makes the file system once clocks and timers exist.
pub type MakeFilesystem = Box<dyn FnOnce(&Arc<dyn Timers>) -> Result<Filesystem, FilesystemError> + Send>;

/// What to run and how.
pub struct BootConfig {
    /// The command and its arguments; a command without a slash is looked for in PATH.
    pub argv: Vec<Vec<u8>>,
    /// `K=V` each.
    pub env: Vec<Vec<u8>>,
    /// Working directory, absolute.
    pub cwd: Vec<u8>,
    /// A missing working directory is an error; otherwise / is used.
    pub cwd_required: bool,
    /// Makes the file system.
    pub filesystem: MakeFilesystem,
    /// Credentials of the command.
    pub creds: Credentials,
    /// Blocked signals at the start.
    pub signal_mask: u64,
    /// Ignored signals at the start.
    pub ignored_signals: u64,
    /// Resource limits at the start (soft, hard), by number. The confined sentry cannot ask the host any more.
    pub rlimits: [(u64, u64); RLIM_NLIMITS],
    /// Trace system calls to the log.
    pub strace: bool,
    /// Where traces go.
    pub debug_log: Option<Box<dyn Write + Send>>,
    /// Where it is said what a program asked for and is not there.
    pub hints: Vec<hints::Sink>,
    /// The stub may answer calls itself.
    pub local_calls: bool,
    /// Shown in the kernel log.
    pub boot_nonce: Option<String>,
    /// A call that lies, for tests of tests.
    pub fault: Option<Fault>,
    /// Seed by which blocked calls are made again and woken more often than needed.
    pub torture: Option<u64>,
    /// What stands between programs and the rest.
    pub defences: Defences,
    /// Signals without a handler do not touch the command, as process 1 of a pid namespace.
    pub unkillable: bool,
}

/// Why a sandbox did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The command does not exist (a shell says 127).
    NotFound(Vec<u8>),
    /// The command cannot be executed (a shell says 126).
    NotExecutable(Vec<u8>, Errno),
    /// The working directory cannot be entered.
    Cwd(Vec<u8>, Errno),
    /// The file system cannot be made.
    Filesystem(FilesystemError),
    /// Something of Bevor's own failed: what, and why.
    Internal(&'static str, Errno),
}

/// A running sandbox.
pub struct Sandbox {
    /// Its kernel.
    pub kernel: Arc<Kernel>,
    main: Arc<Task>,
    timers: Arc<HostTimers>,
    threads: Vec<JoinHandle<()>>,
}

/// Runs a command in a fresh kernel until it ends; everything that it leaves behind is killed.
///
/// # Errors
/// If it could not be started.
pub fn run(config: BootConfig, platform: Arc<dyn Platform>) -> Result<WaitStatus, BootError> {
    Ok(start(config, platform)?.wait())
}

/// The limits that the command starts with; no core dumps.
fn rlimits(given: [(u64, u64); RLIM_NLIMITS]) -> [Rlimit; RLIM_NLIMITS] {
    let mut limits = given.map(|(cur, max)| Rlimit { cur, max });
    limits[RLIMIT_CORE].cur = 0;
    limits
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, BootError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|_| BootError::Internal("start a thread", Errno::EAGAIN))
}

/// Starts a command in a fresh kernel.
///
/// # Errors
/// As in [`BootError`].
pub fn start(config: BootConfig, platform: Arc<dyn Platform>) -> Result<Sandbox, BootError> {
    let internal = |what| move |errno| BootError::Internal(what, errno);
    let strace = if config.strace { config.debug_log.map(Strace::new) } else { None };
    let host_timers = HostTimers::new();
    let timers = Arc::clone(&host_timers) as Arc<dyn Timers>;
    let options = KernelOptions {
        // A trace shows every call, so the stub answers none.
        local_calls: config.local_calls && !config.strace,
        torture: config.torture,
        boot_nonce: config.boot_nonce,
        defences: config.defences,
        // The rest is for everybody else.
        long_calls: usize::try_from(crate::proc_data::cpus() / 2).unwrap_or(1),
    };
    let dispatcher = Dispatcher::new(strace, Hints::new(config.hints), config.fault);
    let kernel = Kernel::new(platform, Arc::clone(&timers), dispatcher, options);
    host_timers.attach(&kernel);
    let ready = Arc::downgrade(&kernel);
    let ready_len = kernel.ready_len();
    kernel.platform.set_ready_hook(Arc::new(move || {
        // After every event: mostly there is nothing.
        if ready_len.load(std::sync::atomic::Ordering::SeqCst) != 0
            && let Some(kernel) = ready.upgrade()
        {
            kernel.run_ready();
        }
    }));
    let Filesystem { fs, files } = (config.filesystem)(&timers).map_err(BootError::Filesystem)?;
    kernel.set_memory(fs.ns.vfs.memory());
    match crate::proc_data::mount_proc(&kernel, &fs) {
        // A root without /proc stays without.
        Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
        Err(e) => return Err(BootError::Internal("mount /proc", e)),
    }
    enter_cwd(&fs, &config.cwd, config.cwd_required, &config.creds)?;
    let creds = Arc::new(config.creds);
    let rlimits = rlimits(config.rlimits);
    let (path, loaded) = load_command(&kernel, &fs, &creds, config.argv, config.env, rlimits[RLIMIT_STACK].cur)?;
    let main = make_main(
        &kernel,
        MainTask {
            files,
            fs,
            creds,
            rlimits,
            mask: config.signal_mask,
            ignored: config.ignored_signals,
            unkillable: config.unkillable,
        },
    )
    .map_err(internal("make the first process"))?;
    kernel.klog(&format!("starting {}", path.escape_ascii()));
    let threads = {
        let (timers, executor) = (Arc::clone(&host_timers), Arc::clone(&kernel));
        vec![spawn("timers", move || timers.run())?, spawn("executor", move || executor.executor())?]
    };
    main.start(loaded).map_err(internal("start the first process"))?;
    Ok(Sandbox { kernel, main, timers: host_timers, threads })
}

fn enter_cwd(fs: &FsContext, cwd: &[u8], required: bool, creds: &Credentials) -> Result<(), BootError> {
    let caller = Caller { creds, pid: 1, tid: 1 };
    let found = fs
        .resolve(None, cwd, caller, WalkFlags::FOLLOW)
        .and_then(|path| if path.dentry.inode().is_dir() { Ok(path) } else { Err(Errno::ENOTDIR) });
    match found {
        Ok(path) => {
            fs.set_cwd(path);
            Ok(())
        }
        Err(errno) if required => Err(BootError::Cwd(cwd.to_vec(), errno)),
        Err(_) => Ok(()),
    }
}

/// The paths that a shell would try for `command`.
fn candidates(command: &[u8], env: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if command.contains(&b'/') {
        return vec![command.to_vec()];
    }
    let path = env.iter().find_map(|e| e.strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(|b| *b == b':').map(|dir| if dir.is_empty() { command.to_vec() } else { [dir, b"/", command].concat() }).collect()
}

type Command = (Vec<u8>, bevor_core::loader::Loaded);

fn load_command(
    kernel: &Arc<Kernel>,
    fs: &FsContext,
    creds: &Credentials,
    argv: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
    stack_limit: u64,
) -> Result<Command, BootError> {
    let command = argv.first().cloned().unwrap_or_default();
    let caller = Caller { creds, pid: 1, tid: 1 };
    let open = |path: &[u8]| open_by_path(fs, None, path, caller);
    let mut failure = BootError::NotFound(command.clone());
    for path in candidates(&command, &env) {
        let file = match open(&path) {
            Ok(file) => file,
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            Err(errno) => {
                failure = BootError::NotExecutable(path, errno);
                continue;
            }
        };
        let start = Start { kernel, path: &path, argv, envp: env, stack_limit, no_randomize: false, creds };
        return match load_program(start, file, &open) {
            Ok(loaded) => Ok((path, loaded)),
            Err(LoadError::Refused(errno)) => Err(BootError::NotExecutable(path, errno)),
            Err(LoadError::Fatal) => Err(BootError::NotExecutable(path, Errno::ENOEXEC)),
        };
    }
    Err(failure)
}

/// Sends signals to a sandbox's main process from outside.
#[derive(Clone)]
pub struct Signaller {
    kernel: Arc<Kernel>,
    main: Arc<Task>,
}

impl Signaller {
    /// Sends signal `signo`, as if from outside of the sandbox.
    pub fn send(&self, signo: i32) {
        self.kernel.enter(|| {
            // The main process may be gone already.
            let _ = self.main.group.send_signal(SigInfo::user(signo, bevor_abi::signal::SI_USER, 0, 0));
        });
    }
}

impl Sandbox {
    /// A handle that sends signals, for another thread.
    #[must_use]
    pub fn signaller(&self) -> Signaller {
        Signaller { kernel: Arc::clone(&self.kernel), main: Arc::clone(&self.main) }
    }

    /// Waits for the end of the main process, then for that of all others, which are killed.
    #[must_use]
    pub fn wait(self) -> WaitStatus {
        let status = self.kernel.wait_exit();
        // What has not gone by then is killed with the platform.
        let _ = self.kernel.wait_drained(DRAIN);
        self.kernel.platform.shutdown();
        self.timers.halt();
        self.kernel.halt();
        for thread in self.threads {
            // A panic there was already reported by the hook.
            let _ = thread.join();
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_without_a_slash_are_looked_for_in_path() {
        let env = vec![b"PATH=/a::/b".to_vec()];
        assert_eq!(candidates(b"ls", &env), [b"/a/ls".to_vec(), b"ls".to_vec(), b"/b/ls".to_vec()]);
        assert_eq!(candidates(b"./ls", &env), [b"./ls".to_vec()]);
        assert_eq!(candidates(b"ls", &[]).last(), Some(&b"/bin/ls".to_vec()));
    }
}
