//! The sentry process from its first instruction to the kernel's: process 1 of the sandbox's namespaces.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use bevor_gofer::Gofer;
use bevor_hostcall::confine::{CapabilitySet, detached_proc, empty_root, limit_capabilities, no_new_privileges};
use bevor_hostcall::process::{close_all_but, one_heap, set_signal_mask};
use bevor_hostcall::seccomp::AllowList;
use bevor_platform::Defence;
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};

use crate::control::{Control, Message};
use crate::failure::Failure;
use crate::filter;
use crate::spec::Spec;

/// What a kernel has to work with once the process is confined.
#[derive(Debug)]
#[allow(dead_code, reason = "read by the kernel, which is linked in by the same change that takes these")]
pub(crate) struct Sentry<'a> {
    /// What to run.
    pub(crate) spec: &'a Spec,
    /// Host files.
    pub(crate) gofer: Arc<Gofer>,
    /// Signals from the command; `None` from it means that the command is gone.
    pub(crate) control: Control,
    /// Signals that the caller ignores, bit `n - 1` for signal `n`: the first process starts with these ignored.
    pub(crate) ignored_signals: u64,
    /// The caller's blocked signals: the first process starts with these blocked.
    pub(crate) signal_mask: u64,
}

/// How a kernel ended.
#[derive(Debug)]
#[allow(dead_code, reason = "the variants are the kernel's to use")]
pub(crate) enum Verdict {
    /// The first process ended with this status, as a shell would say (128 + n for signal n).
    Exit(u8),
    /// The command could not be started: the line to print, and 126 or 127.
    NotStarted(Failure, u8),
    /// Bevor failed.
    Failed(Failure),
}

/// A kernel in two steps: processes are forked before the sentry gives up its privileges, guest code runs after.
pub(crate) trait Kernel {
    /// What the first step leaves for the second.
    type Platform;
    /// Starts the platform's helper processes (the zygote). Runs with all capabilities inside the sandbox's namespaces; the
    /// helpers are to take `stub_id` as user and group id.
    fn start_platform(&self, spec: &Spec, stub_id: u32) -> Result<Self::Platform, Failure>;
    /// Runs the guest. The process is confined by now.
    fn run(self, sentry: Sentry<'_>, platform: Self::Platform) -> Verdict;
}

/// What the new process gets from the command that forked it.
pub(crate) struct Inheritance<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) control: Control,
    pub(crate) gofer: OwnedFd,
    pub(crate) ids: Ids,
    pub(crate) ignored_signals: u64,
    pub(crate) signal_mask: u64,
}

/// User and group ids inside the sandbox's user namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    /// The stubs'.
    pub(crate) stub: u32,
    /// Whether supplementary groups can be dropped (not by an ordinary user).
    pub(crate) groups: bool,
}

/// Body of the sentry process; its exit status matters only where the control line said nothing.
pub(crate) fn main<K: Kernel>(inheritance: Inheritance<'_>, kernel: K) -> i32 {
    // Printed and sent from here however the kernel ends; the kernel may keep the line itself in a thread.
    let line = match inheritance.control.try_clone() {
        Ok(line) => line,
        Err(e) => {
            at("duplicate the control line")(e).report();
            return 1;
        }
    };
    let verdict = start(inheritance, &line, kernel).unwrap_or_else(Verdict::Failed);
    let (message, failure) = match verdict {
        Verdict::Exit(status) => (Message::Exit(status), None),
        Verdict::NotStarted(failure, status) => (Message::Exit(status), Some(failure)),
        Verdict::Failed(failure) => (Message::Failed, Some(failure)),
    };
    if let Some(failure) = failure {
        failure.report();
    }
    i32::from(line.send(message).is_err())
}

fn start<K: Kernel>(inheritance: Inheritance<'_>, line: &Control, kernel: K) -> Result<Verdict, Failure> {
    let Inheritance { spec, control, gofer, ids, ignored_signals, signal_mask } = inheritance;
    one_heap();
    let score = OomScore::open();
    isolate(spec, [&control, line], &gofer, ids, score.as_ref())?;
    // The standard hook looks at the file system.
    std::panic::set_hook(Box::new(|info| eprintln!("bevor: sentry: {info}")));
    if let Some(score) = &score {
        score.set(OomScore::STUBS);
    }
    let platform = kernel.start_platform(spec, ids.stub);
    if let Some(score) = score {
        score.set(&score.own);
    }
    let platform = platform?;
    confine()?;
    let sentry = Sentry { spec, gofer: Arc::new(Gofer::new(gofer)), control, ignored_signals, signal_mask };
    Ok(kernel.run(sentry, platform))
}

/// The sentry's oom_score_adj, which the zygote inherits, and all stubs from it: where memory runs out the host ends one of these, not
/// the kernel of them all. They have no way to lower it. Without a /proc all stay as they are.
struct OomScore {
    file: std::fs::File,
    own: String,
}

impl OomScore {
    /// The stubs'.
    const STUBS: &str = "800";

    fn open() -> Option<Self> {
        let mut file = std::fs::File::options().read(true).write(true).open("/proc/self/oom_score_adj").ok()?;
        let mut own = String::new();
        std::io::Read::read_to_string(&mut file, &mut own).ok()?;
        // A caller that has a higher one already keeps it for all.
        let higher = own.trim().parse().unwrap_or(1000) >= Self::STUBS.parse::<i32>().unwrap_or(0);
        (!higher).then_some(Self { file, own })
    }

    fn set(&self, to: &str) {
        let _ = std::os::unix::fs::FileExt::write_at(&self.file, to.trim().as_bytes(), 0);
    }
}

fn at<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Failure {
    move |e| Failure::new(format_args!("cannot start the sandbox: {step}: {e}"))
}

/// Lets go of the host: descriptors, session, root directory, user ids.
fn isolate(
    spec: &Spec,
    [control, line]: [&Control; 2],
    gofer: &OwnedFd,
    ids: Ids,
    score: Option<&OomScore>,
) -> Result<(), Failure> {
    let mut keep = vec![0, 1, 2, control.raw(), line.raw(), gofer.as_raw_fd()];
    keep.extend(score.map(|score| score.file.as_raw_fd()));
    keep.extend(spec.debug_log.as_ref().map(AsRawFd::as_raw_fd));
    close_all_but(&keep).map_err(at("close descriptors"))?;
    if control.receive() != Some(Message::Go) {
        return Err(Failure::new("cannot start the sandbox: the command is gone"));
    }
    // Of its own session, so that a terminal's signals reach it through the command only. Only fails for a group leader.
    rustix::process::setsid().map_err(at("start a session"))?;
    // Where the host's own /proc is covered in parts there is none for the sandbox; the gofer answers ENOSYS then.
    let proc = detached_proc().ok();
    bevor_gofer::confine::send_proc(gofer, proc.as_ref().map(AsFd::as_fd)).map_err(at("greet the gofer"))?;
    drop(proc);
    empty_root().map_err(at("enter an empty root"))?;
    if ids.groups {
        rustix::thread::set_thread_groups(&[]).map_err(at("drop groups"))?;
    }
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(at("change group"))?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(at("change user"))?;
    // After the change of ids, which clears it. Should the command have died before, the control line says so.
    if spec.defences.has(Defence::Tie) {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("tie it to the command"))?;
    }
    if control.is_closed() {
        return Err(Failure::new("cannot start the sandbox: the command is gone"));
    }
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised).map_err(at("raise the limit of descriptors"))?;
    set_signal_mask(0).map(drop).map_err(at("unblock signals"))
}

/// Gives up privileges and installs the filter. Nothing is forked after this.
fn confine() -> Result<(), Failure> {
    // Over the stubs, whose user id is another: reading memory, killing, choosing processors, limiting memory.
    let keep = CapabilitySet::SYS_PTRACE | CapabilitySet::KILL | CapabilitySet::SYS_NICE | CapabilitySet::SYS_RESOURCE;
    limit_capabilities(keep).map_err(at("give up capabilities"))?;
    no_new_privileges().map_err(at("give up privileges"))?;
    // libc installs a signal handler with the first thread it starts; the filter leaves no way to do so later.
    let first = std::thread::Builder::new().stack_size(64 * 1024).spawn(|| ()).map_err(at("start a thread"))?;
    first.join().map_err(|_| Failure::new("cannot start the sandbox: the first thread panicked"))?;
    bevor_hostcall::window::handle_bus_errors().map_err(at("handle bus errors"))?;
    filter::sentry().and_then(AllowList::install).map_err(at("install the seccomp filter"))
}
