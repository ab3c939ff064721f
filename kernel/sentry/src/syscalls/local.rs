//! Calls that the stub answers. They come here when local answers are off for a thread, and are sent back with leave; or when the
//! stub has declined, and then there is nothing more to offer.

use bevor_abi::Errno;
use bevor_core::context::{Action, SyscallContext};
use bevor_core::error::SyscallResult;
use bevor_platform::Reply;

/// Has the stub carry the call out; `declined` is the answer if it will not, or has already been asked.
fn stub(ctx: &mut SyscallContext<'_>, declined: Errno) -> SyscallResult {
    if ctx.task.kernel.options.local_calls {
        return Err(declined.into());
    }
    Err(ctx.act(Action::Reply(Reply::Local(declined))))
}

macro_rules! local {
    ($($(#[$doc:meta])* $name:ident or $errno:ident $(unless $mutant:literal)?;)*) => {
        $($(#[$doc])* pub fn $name(ctx: &mut SyscallContext<'_>) -> SyscallResult {
            $(if bevor_abi::mutated!($mutant) {
                return Ok(0);
            })?
            stub(ctx, Errno::$errno)
        })*
    };
}

local! {
    /// mprotect(2).
    mprotect or EINVAL unless "mprotect/no-effect";
    /// munmap(2).
    munmap or EINVAL;
    /// brk(2).
    brk or ENOMEM;
    /// mremap(2).
    mremap or EINVAL;
    /// madvise(2): advice that the host's filter does not let through is refused.
    madvise or EINVAL unless "madvise/no-effect";
    /// mlock(2).
    mlock or ENOMEM unless "mlock/unchecked";
    /// mlock2(2).
    mlock2 or ENOMEM unless "mlock/unchecked";
    /// munlock(2).
    munlock or ENOMEM unless "mlock/unchecked";
    /// msync(2).
    msync or EINVAL unless "msync/unchecked";
    /// mincore(2).
    mincore or ENOMEM unless "mincore/unstored";
    /// futex(2): without priority inheritance.
    futex or ENOSYS;
    /// membarrier(2).
    membarrier or EINVAL;
    /// rseq(2).
    rseq or EINVAL;
    /// arch_prctl(2).
    arch_prctl or EINVAL;
    /// sigaltstack(2).
    sigaltstack or EINVAL;
    /// sched_yield(2).
    sched_yield or EINVAL;
    /// getcpu(2).
    getcpu or ENOSYS;
}
