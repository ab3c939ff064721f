//! prctl(2).

use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::signal::NSIG;
use bevor_abi::{Errno, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::{Capability, Credentials};
use bevor_core::error::SyscallResult;
use bevor_core::task::task_name;

const LAST_CAP: u64 = 40;
const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const SECBIT_KEEP_CAPS_LOCKED: u32 = 1 << 5;
const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;

/// prctl(2).
pub fn prctl(ctx: &mut SyscallContext<'_>, option: i32, a: u64, b: u64, c: u64, d: u64) -> SyscallResult {
    match option {
        1 => set_pdeathsig(ctx, a),
        2 => {
            let signo = ctx.task.pdeath_signal.load(SeqCst);
            ctx.copy_out_value(UserAddr(a), &signo)?;
            Ok(0)
        }
        3 => Ok(u64::from(ctx.task.group.dumpable.load(SeqCst))),
        4 => {
            let value =
                u8::try_from(a).ok().filter(|v| *v <= bevor_abi::mutant!("prctl/dumpable-two", 1, 2)).ok_or(Errno::EINVAL)?;
            ctx.task.group.dumpable.store(value, SeqCst);
            Ok(0)
        }
        7 => Ok(u64::from(ctx.task.creds().securebits & SECBIT_KEEP_CAPS != 0)),
        8 => set_keepcaps(ctx, a),
        15 => {
            let name = copy_in_name(ctx, UserAddr(a))?;
            *ctx.task.name.lock() = task_name(&name);
            for task in ctx.task.group.threads().iter().filter(|_| bevor_abi::mutated!("prctl/name-of-process")) {
                *task.name.lock() = task_name(&name);
            }
            Ok(0)
        }
        16 => {
            let name = *ctx.task.name.lock();
            ctx.copy_out(UserAddr(a), &name)?;
            Ok(0)
        }
        23 => {
            if bevor_abi::mutant!("prctl/last-capability", a > LAST_CAP, a >= LAST_CAP) {
                return Err(Errno::EINVAL.into());
            }
            Ok(ctx.task.creds().bounding.0 >> a & 1)
        }
        24 => drop_bounding(ctx, a),
        27 => Ok(u64::from(ctx.task.creds().securebits)),
        28 => set_securebits(ctx, a),
        29 => {
            if !ctx.task.sched.lock().is_realtime() {
                let default = bevor_abi::mutant!("prctl/slack-zero", ctx.task.default_slack.load(SeqCst), 0);
                ctx.task.timer_slack.store(if a == 0 { default } else { a }, SeqCst);
            }
            Ok(0)
        }
        30 => Ok(ctx.task.timer_slack.load(SeqCst)),
        36 => {
            if let Some(process) = ctx.task.kernel.tree.lock().process_mut(ctx.task.pid()) {
                process.subreaper = a != 0;
            }
            Ok(0)
        }
        37 => {
            let value = ctx.task.kernel.tree.lock().process(ctx.task.pid()).is_some_and(|p| p.subreaper);
            ctx.copy_out_value(UserAddr(a), &i32::from(value))?;
            Ok(0)
        }
        38 => set_no_new_privs(ctx, [a, b, c, d]),
        39 => {
            if [a, b, c, d] != [0; 4] {
                return Err(Errno::EINVAL.into());
            }
            Ok(u64::from(ctx.task.creds().no_new_privs))
        }
        47 => ambient(ctx, [a, b, c, d]),
        // PR_SET_SECCOMP and everything else that is not offered.
        _ => Err(Errno::EINVAL.into()),
    }
}

fn copy_in_name(ctx: &SyscallContext<'_>, addr: UserAddr) -> Result<Vec<u8>, Errno> {
    let mut name = [0; 15];
    let got = ctx.thread.read_memory(addr.0, &mut name);
    let end = name[..got].iter().position(|b| *b == 0);
    match end {
        Some(_) if got < name.len() && bevor_abi::mutated!("prctl/name-at-hole") => Err(Errno::EFAULT),
        Some(end) => Ok(name[..end].to_vec()),
        None if got == name.len() => Ok(name.to_vec()),
        None => Err(Errno::EFAULT),
    }
}

fn update(ctx: &SyscallContext<'_>, change: impl FnOnce(&mut Credentials)) {
    let mut creds = (*ctx.task.creds()).clone();
    change(&mut creds);
    ctx.task.set_creds(creds);
}

fn set_pdeathsig(ctx: &SyscallContext<'_>, signo: u64) -> SyscallResult {
    let signo = i32::try_from(signo)
        .ok()
        .filter(|s| (0..=bevor_abi::mutant!("prctl/pdeathsig-boundary", NSIG, NSIG + 1)).contains(s))
        .ok_or(Errno::EINVAL)?;
    ctx.task.pdeath_signal.store(signo, SeqCst);
    Ok(0)
}

fn set_keepcaps(ctx: &SyscallContext<'_>, on: u64) -> SyscallResult {
    if on > 1 && !bevor_abi::mutated!("prctl/keepcaps-value") {
        return Err(Errno::EINVAL.into());
    }
    if ctx.task.creds().securebits & SECBIT_KEEP_CAPS_LOCKED != 0 && !bevor_abi::mutated!("prctl/keepcaps-locked") {
        return Err(Errno::EPERM.into());
    }
    update(ctx, |creds| {
        creds.securebits &= !SECBIT_KEEP_CAPS;
        if on == 1 {
            creds.securebits |= SECBIT_KEEP_CAPS;
        }
    });
    Ok(0)
}

fn drop_bounding(ctx: &SyscallContext<'_>, cap: u64) -> SyscallResult {
    if !ctx.task.creds().capable(Capability::Setpcap) && !bevor_abi::mutated!("prctl/capbset-anybody") {
        return Err(Errno::EPERM.into());
    }
    if cap > LAST_CAP {
        return Err(Errno::EINVAL.into());
    }
    update(ctx, |creds| creds.bounding.0 &= !(1 << cap));
    Ok(0)
}

/// Every even bit has its lock in the odd bit above it.
fn set_securebits(ctx: &SyscallContext<'_>, bits: u64) -> SyscallResult {
    let old = ctx.task.creds().securebits;
    let Some(new) = u32::try_from(bits).ok().filter(|b| b & !0xff == 0) else {
        return Err(Errno::EPERM.into());
    };
    let locked = (old & 0xaa) >> 1;
    let unlocks = old & 0xaa & !new != 0;
    if (old ^ new) & locked != 0 && !bevor_abi::mutated!("prctl/securebits-locks")
        || unlocks
        || !ctx.task.creds().capable(Capability::Setpcap) && !bevor_abi::mutated!("prctl/securebits-anybody")
    {
        return Err(Errno::EPERM.into());
    }
    update(ctx, |creds| creds.securebits = new);
    Ok(0)
}

fn set_no_new_privs(ctx: &SyscallContext<'_>, args: [u64; 4]) -> SyscallResult {
    if bevor_abi::mutant!("prctl/nnp-arguments", args != [1, 0, 0, 0], args[0] != 1) {
        return Err(Errno::EINVAL.into());
    }
    update(ctx, |creds| creds.no_new_privs = true);
    Ok(0)
}

/// PR_CAP_AMBIENT.
fn ambient(ctx: &SyscallContext<'_>, [kind, cap, c, d]: [u64; 4]) -> SyscallResult {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    if kind == CLEAR_ALL {
        if [cap, c, d] != [0; 3] && !bevor_abi::mutated!("prctl/ambient-clear") {
            return Err(Errno::EINVAL.into());
        }
        update(ctx, |creds| creds.ambient.0 = 0);
        return Ok(0);
    }
    if [c, d] != [0; 2] || cap > LAST_CAP || !(IS_SET..=LOWER).contains(&kind) {
        return Err(Errno::EINVAL.into());
    }
    let creds = ctx.task.creds();
    let bit = 1 << cap;
    match kind {
        IS_SET => return Ok(creds.ambient.0 >> cap & 1),
        RAISE => {
            let held = creds.permitted.0 & bevor_abi::mutant!("prctl/ambient-raise", creds.inheritable.0, u64::MAX) & bit != 0;
            if !held || creds.securebits & SECBIT_NO_CAP_AMBIENT_RAISE != 0 && !bevor_abi::mutated!("prctl/ambient-forbidden") {
                return Err(Errno::EPERM.into());
            }
            update(ctx, |creds| creds.ambient.0 |= bit);
        }
        _ => update(ctx, |creds| creds.ambient.0 &= !bit),
    }
    Ok(0)
}
