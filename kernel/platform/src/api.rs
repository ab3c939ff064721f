//! The contract between the kernel and a platform.
//!
//! The kernel owns tasks; the platform owns host processes and threads. One [`Thread`] runs one task's code. When it stops, the
//! platform calls [`ThreadOwner::handle`] with an [`Event`] on one of its worker threads; the kernel answers, at once or later
//! and from any thread, with exactly one [`Thread::reply`] per event. A kernel that cannot answer yet calls
//! [`Thread::park`] so that the stub stops spinning for the answer.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_hostcall::{HostFd, SharedSlice};

/// A system call as the application made it.
#[derive(Clone, Copy, Debug)]
pub struct SyscallRequest {
    /// The number in rax (the low 32 bits decide; larger values are ENOSYS).
    pub nr: u64,
    /// rdi, rsi, rdx, r10, r8, r9.
    pub args: [u64; 6],
}

/// A processor exception in application code.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The signal that Linux sends for it (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP).
    pub signo: i32,
    /// `si_code` as the host kernel chose it.
    pub code: i32,
    /// `si_addr`.
    pub addr: u64,
}

/// Why a thread stopped.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The application made a system call that the stub does not answer itself.
    Syscall(SyscallRequest),
    /// A processor exception.
    Fault(Fault),
    /// The thread stopped because of [`Thread::interrupt`], or because it has just unblocked a signal that
    /// [`Thread::set_pending`] announced. It stands between two instructions; reply with `Continue`, `Signal` or an exit.
    Interrupted,
    /// A new thread (of `Reply::Clone`) or image (of `Platform::exec`) is about to run: the owner sets its mask, its identity and
    /// whatever else it must have from its first instruction on. No reply; the thread counts as running.
    Started,
    /// The clone that was to make the thread has failed: after `Started`, and before it has run anything. No reply.
    NotStarted,
    /// A signal frame could not be written. The reply must end the thread or deliver SIGSEGV.
    Broken(Errno),
    /// A step of a new image failed, after the point of no return. The reply must end the thread.
    ImageFailed(Errno),
    /// The host thread is gone without having been told to go (killed from outside, or it exited by itself). No reply.
    Gone {
        /// The host wait status of the process if it was the last thread, for diagnosis.
        status: i32,
    },
}

/// Receives a thread's events: the kernel's task.
pub trait ThreadOwner: Send + Sync {
    /// Called on a platform worker whenever `thread` stops. Must not block; must lead to exactly one reply, to events that have one.
    fn handle(&self, thread: &Arc<dyn Thread>, event: Event);
}

/// How the registers of an interrupted or finished system call look below a signal frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// No system call was in progress (fault, interruption between instructions).
    None,
    /// rax = value, instruction pointer after the system call.
    Return(i64),
    /// The call is made again when the handler returns: rax = the number, instruction pointer at the system call.
    Restart,
    /// As `Restart`, but with rax = `restart_syscall`.
    RestartBlock,
}

/// A signal frame to build on the application's stack (rt_sigframe, arch/x86/include/asm/sigframe.h).
#[derive(Clone, Debug)]
pub struct SignalFrame {
    /// 1..=64.
    pub signo: i32,
    /// The `siginfo_t`.
    pub info: [u8; 128],
    /// Handler address, `sa_flags`, `sa_restorer`.
    pub handler: u64,
    /// `sa_flags` as the application gave them.
    pub flags: u64,
    /// `sa_restorer`.
    pub restorer: u64,
    /// The mask to store in the frame, restored by rt_sigreturn.
    pub old_mask: u64,
    /// The mask while the handler runs.
    pub new_mask: u64,
    /// What becomes of the interrupted call.
    pub outcome: CallOutcome,
    /// The instruction pointer's fault details for the frame's sigcontext (trapno, err, cr2) are filled by the stub.
    pub fault: bool,
}

/// Memory for a file mapping.
#[derive(Clone, Debug)]
pub struct FileMapping {
    /// A descriptor with no more access than the application has.
    pub fd: HostFd,
    /// Identifies the open host file for the stub's small cache of descriptors: equal ids are the same file and access. 0: not
    /// to be kept. With [`FileMapping::FOR_EVERYBODY`] it is kept over an execve.
    pub id: u64,
}

impl FileMapping {
    /// In an `id`: everybody may read the file.
    pub const FOR_EVERYBODY: u64 = bevor_stub::layout::KEPT_OVER_EXEC;
}

/// mmap(2) to be carried out by the stub. `file: None` is anonymous.
#[derive(Clone, Debug)]
pub struct MmapOp {
    /// Address or hint.
    pub addr: u64,
    /// Length in bytes.
    pub len: u64,
    /// PROT_*.
    pub prot: i32,
    /// MAP_* as for the host.
    pub flags: i32,
    /// The file, unless anonymous.
    pub file: Option<FileMapping>,
    /// Offset into the file in bytes.
    pub offset: u64,
}

/// One step in building a fresh address space.
#[derive(Clone, Debug)]
pub enum ImageOp {
    /// Map; the result must be the wanted address if MAP_FIXED(_NOREPLACE) is set.
    Mmap(MmapOp),
    /// Fill with zeros (the tail of the last file page of a segment).
    Zero {
        /// First byte.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// Store bytes (the initial stack's contents).
    Write {
        /// First byte.
        addr: u64,
        /// The bytes.
        data: Vec<u8>,
    },
}

/// A fresh image for execve: what to map and where to start.
#[derive(Clone, Debug, Default)]
pub struct ExecImage {
    /// In order.
    pub ops: Vec<ImageOp>,
    /// Initial instruction pointer.
    pub entry: u64,
    /// Initial stack pointer.
    pub stack: u64,
    /// Start of the program break area (page aligned), and current break.
    pub brk: u64,
    /// What the image was made for; `None` is as [`Platform::layout`] has it without chance.
    pub layout: Option<SpaceLayout>,
}

/// What a fresh address space looks like before any image: the loader places things around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceLayout {
    /// Top (exclusive) of the main thread's stack area; below it everything down to `stack_bottom` may be used.
    pub stack_top: u64,
    /// Lowest address that the loader may write without growing the stack.
    pub stack_bottom: u64,
    /// Address of the vDSO's ELF header (AT_SYSINFO_EHDR), 0 if none.
    pub vdso: u64,
    /// The platform's: mappings begin below this range. Empty if they begin where the host has it.
    pub reserved: (u64, u64),
}

/// A clone(2) to carry out. Addresses are the application's.
#[derive(Clone, Copy, Debug)]
pub struct CloneOp {
    /// The child shares the address space (a thread or a vfork child): another host thread. Otherwise a host fork.
    pub share_vm: bool,
    /// New stack pointer, 0 to inherit.
    pub stack: u64,
    /// New FS base if CLONE_SETTLS.
    pub tls: Option<u64>,
    /// CLONE_PARENT_SETTID: where to store the child's tid, in the parent, before either returns.
    pub parent_tid: Option<u64>,
    /// CLONE_CHILD_SETTID: where to store it in the child's memory.
    pub child_tid: Option<u64>,
    /// The child's tid as the application sees it; the parent's return value.
    pub tid: i32,
    /// The parent's reply is withheld until [`Thread::reply`] is called a second time with the call's result (vfork).
    pub hold_parent: bool,
}

/// What the stub does next for a stopped thread.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Go on where the thread stopped, nothing changed (after `Interrupted`).
    Continue,
    /// The system call's raw result (a negated errno in -4095..=-1).
    Return(i64),
    /// The stub carries the call out itself: a call that it would have answered locally, sent to the sentry because local
    /// answers are off for the thread (memory, futex, membarrier, rseq, arch_prctl). If it declines, this is the answer.
    Local(Errno),
    /// Make the same system call again at once (its request comes as a new event).
    Again,
    /// Build a signal frame and enter the handler.
    Signal(Box<SignalFrame>),
    /// Carry out mmap(2); its result is the call's result.
    Mmap(Box<MmapOp>),
    /// Clone; `owner` receives the child's events, first `Started`. On failure the parent's call returns the errno and
    /// the owner gets `NotStarted`.
    Clone(CloneOp, OwnerRef),
    /// Replace the whole image of the thread's address space, as execve(2) does; only after [`Thread::may_replace_image`]. A step that fails is
    /// reported as `ImageFailed`.
    Exec {
        /// The new image.
        image: Box<ExecImage>,
        /// Head of the robust futex list, or 0; the stub walks it first.
        robust_list: u64,
    },
    /// End the host thread: clear and wake `clear_tid` (CLONE_CHILD_CLEARTID), then exit. No further event.
    Exit {
        /// The application's clear_child_tid address, or 0.
        clear_tid: u64,
        /// Head of the robust futex list, or 0; the stub walks it.
        robust_list: u64,
    },
}

/// A shared owner with a `Debug` that says nothing.
#[derive(Clone)]
pub struct OwnerRef(pub Arc<dyn ThreadOwner>);

impl std::fmt::Debug for OwnerRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnerRef")
    }
}

/// What the stub answers without asking the sentry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Thread group id, thread id, parent's id.
    pub pid: i32,
    /// Thread id.
    pub tid: i32,
    /// Parent's thread group id.
    pub ppid: i32,
    /// Real, effective user and group ids.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
}

/// The alternate signal stack as the stub keeps it (sigaltstack(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AltStack {
    /// `ss_sp`.
    pub sp: u64,
    /// `ss_size`.
    pub size: u64,
    /// `ss_flags`.
    pub flags: u32,
}

/// Addresses in application memory that matter when a thread ends; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndWords {
    /// set_tid_address(2), CLONE_CHILD_CLEARTID.
    pub clear_tid: u64,
    /// set_robust_list(2): the list's head.
    pub robust_list: u64,
}

/// One thread of an application, as the kernel sees it. All methods are callable from any kernel thread.
pub trait Thread: Send + Sync {
    /// The address space that the thread runs in.
    fn space(&self) -> Arc<dyn AddressSpace>;
    /// Answers the thread's current event.
    fn reply(&self, reply: Reply);
    /// The answer will take long: the stub sleeps instead of spinning.
    fn park(&self);
    /// Makes a running thread stop with `Event::Interrupted` soon; a thread that has an unanswered event is not disturbed
    /// (the kernel sees to it when it replies). A thread waiting in a local futex call leaves it and restarts it silently.
    fn interrupt(&self);
    /// Whether `image` can take the place of the address space's present one: no other thread, of this process or (vfork) another, runs or
    /// is about to end in it, and the image is small enough to be handed over in one piece.
    fn may_replace_image(&self, image: &ExecImage) -> bool;
    /// The blocked-signal mask. The stub keeps it (local rt_sigprocmask), so the value is untrusted and self-inflicted only.
    fn sigmask(&self) -> u64;
    /// Replaces the mask.
    fn set_sigmask(&self, mask: u64);
    /// Announces the set of signals that are pending for the thread (own and shared), so that a local unmask notices.
    /// Order: set this first, then read `sigmask`, then decide whether to `interrupt`.
    fn set_pending(&self, pending: u64);
    /// Where the thread's end is to be noted in its memory. The stub keeps both (local set_tid_address, set_robust_list): untrusted and
    /// self-inflicted, as the mask.
    fn end_words(&self) -> EndWords;
    /// Replaces them.
    fn set_end_words(&self, words: EndWords);
    /// Takes the alternate stack away.
    fn reset_altstack(&self);
    /// The alternate stack.
    fn altstack(&self) -> AltStack;
    /// Replaces what the stub answers locally.
    fn set_identity(&self, identity: Identity);
    /// Switches local answers (everything but what correctness needs) on or off for this thread.
    fn set_local_calls(&self, on: bool);
    /// Copies from application memory; returns how many bytes could be read before the first fault. Serves from what the
    /// stub sent along with the request when that covers the range.
    fn read_memory(&self, addr: u64, dst: &mut [u8]) -> usize;
    /// As `read_memory`, but only what the stub sent along: as many bytes from `addr` on as came with the request. Costs no host call.
    fn read_sent(&self, addr: u64, dst: &mut [u8]) -> usize {
        let _ = (addr, dst);
        0
    }
    /// Copies to application memory now; returns how many bytes could be written before the first fault.
    fn write_memory(&self, addr: u64, src: &[u8]) -> usize;
    /// Room in the reply for `len` bytes that the stub will copy to `addr` when it takes the reply (`None`: no room; write
    /// directly). A fault there turns the call's result into EFAULT. Valid until the reply.
    fn reply_buffer(&self, addr: u64, len: usize) -> Option<SharedSlice>;
    /// Only the first `len` bytes of the latest `reply_buffer` are to be copied (0: none).
    fn shrink_reply(&self, len: usize);
    /// What the reply is to copy is copied now: the call is made again, and may store other things there directly.
    fn store_reply(&self);
    /// Host thread id, for sched_setaffinity(2) and diagnosis: of a thread that is there, and of this address space.
    fn host_tid(&self) -> Option<i32>;
    /// CPU time used by the host thread, in nanoseconds (user, system).
    fn cpu_time(&self) -> (u64, u64);
    /// Whether a thread without an unanswered event sleeps in a host call that is made for the application (a futex).
    fn waits(&self) -> bool;
}

/// What the host counts for an address space (proc_pid_stat(5)), the stub's own memory included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Page faults served without reading from a disk.
    pub minor_faults: u64,
    /// Page faults that waited for one.
    pub major_faults: u64,
    /// Mapped bytes.
    pub size: u64,
    /// Pages of 4 KiB in memory.
    pub resident: u64,
}

/// A mapping of an address space, one line of the host's `/proc/PID/maps` (proc_pid_maps(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address and the one past the last.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Permissions as printed: `r-xp`.
    pub perms: [u8; 4],
    /// Offset into the file.
    pub offset: u64,
    /// Host device of the file (major, minor), zeros if anonymous.
    pub dev: (u32, u32),
    /// Host inode, 0 if anonymous.
    pub inode: u64,
    /// `[stack]`, `[vdso]` and the like; empty for files, whose host paths do not leave the platform.
    pub label: String,
}

/// Bounds of an address space, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// RLIMIT_AS.
    pub all: u64,
    /// RLIMIT_DATA.
    pub data: u64,
}

impl MemoryLimits {
    /// No bounds.
    pub const NONE: Self = Self { all: u64::MAX, data: u64::MAX };
}

/// One application address space (a host process).
pub trait AddressSpace: Send + Sync {
    /// Kills the host process and all of its threads. Their owners get `Gone` unless they already exited.
    fn kill(&self);
    /// The host process id.
    fn host_pid(&self) -> i32;
    /// Identity of the space, for CLONE_VM comparisons and futex keys.
    fn id(&self) -> u64;
    /// Copies from memory without a stopped thread; bytes before the first fault.
    fn read_memory(&self, addr: u64, dst: &mut [u8]) -> usize;
    /// The application's mappings, lowest first, as the host has them; the stub's own are left out.
    ///
    /// # Errors
    /// The host's errno if the process is gone or its files cannot be opened.
    fn mappings(&self) -> Result<Vec<Mapping>, Errno>;
    /// What the host counts for it.
    ///
    /// # Errors
    /// As `mappings`.
    fn memory_use(&self) -> Result<MemoryUse, Errno>;
    /// CPU time used by the host process, in nanoseconds (user, system): of all threads that it has or had. Zeros once it is gone.
    fn cpu_time(&self) -> (u64, u64);
    /// The program break area.
    fn brk_range(&self) -> (u64, u64);
    /// Bounds the application's address space and its private writable part in bytes (RLIMIT_AS, RLIMIT_DATA; `u64::MAX`: no
    /// bound). The platform's own memory comes on top. A fresh space has no bounds, one made by a fork may have the parent's.
    fn set_memory_limits(&self, limits: MemoryLimits);
}

/// A way to run application code.
pub trait Platform: Send + Sync {
    /// A layout for an image: with other places for each `random`, or always the same ones (ADDR_NO_RANDOMIZE). A stack may grow to
    /// `stack_limit`, within reason.
    fn layout(&self, random: Option<[u64; 2]>, stack_limit: u64) -> SpaceLayout;
    /// A fresh address space with `image`, running for `owner`, which gets `Event::Started` during the call. For execve the caller retires
    /// the old thread with `Reply::Exit` or [`AddressSpace::kill`].
    ///
    /// # Errors
    /// ENOMEM or EAGAIN when the host refuses a process.
    fn exec(&self, owner: OwnerRef, image: ExecImage, identity: Identity) -> Result<Arc<dyn Thread>, Errno>;
    /// Runs `f` on a helper thread that may block in host calls.
    fn spawn_blocking(&self, f: Box<dyn FnOnce() + Send>);
    /// Sets what workers run after each event (tasks that became ready). Only the first call counts.
    fn set_ready_hook(&self, hook: Arc<dyn Fn() + Send + Sync>);
    /// Kills every application process; the platform is of no use afterwards.
    fn shutdown(&self);
}
