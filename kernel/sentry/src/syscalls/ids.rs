//! User and group ids, capabilities (credentials(7), capabilities(7)).

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::{Errno, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::{CapSet, Capability, Credentials, Groups, TraceIds};
use bevor_core::error::SyscallResult;
use bevor_core::task::Task;

const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
/// "Leave unchanged" in the set*id calls.
const KEEP: u32 = u32::MAX;

/// Whether `task` may look into `target` (ptrace(2), PTRACE_MODE_READ_REALCREDS).
///
/// # Errors
/// EPERM.
pub fn check_ptrace_access(task: &Task, target: &Task) -> Result<(), Errno> {
    if task.pid() == target.pid() {
        return Ok(());
    }
    // The credentials first: a change of them ends dumpability before it is seen.
    let other = target.creds();
    let dumpable = target.group.dumpable.load(SeqCst) == 1;
    if task.creds().may_trace(TraceIds::Real, &other, dumpable) { Ok(()) } else { Err(Errno::EPERM) }
}

/// What a change of user ids does to capabilities (capabilities(7), "Effect of user ID changes").
fn fix_capabilities(old: &Credentials, new: &mut Credentials) {
    if old.securebits & SECBIT_NO_SETUID_FIXUP != 0 && !bevor_abi::mutated!("caps/no-fixup") {
        return;
    }
    let had_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
    let has_root = new.uid == 0 || new.euid == 0 || new.suid == 0;
    if had_root && !has_root {
        if old.securebits & SECBIT_KEEP_CAPS == 0 {
            new.permitted = CapSet::default();
            new.effective = CapSet::default();
        }
        new.ambient = bevor_abi::mutant!("caps/ambient-kept", CapSet::default(), new.ambient);
    }
    if old.euid == 0
        && new.euid != 0
        && !(bevor_abi::mutated!("caps/keepcaps-effective") && old.securebits & SECBIT_KEEP_CAPS != 0)
        && !bevor_abi::mutated!("caps/effective-kept")
    {
        new.effective = CapSet::default();
    }
    if old.euid != 0 && new.euid == 0 && !bevor_abi::mutated!("caps/effective-back") {
        new.effective = new.permitted;
    }
}

/// Capabilities of the file system that follow the file-system user id.
const FS_CAPS: CapSet = CapSet(0x1f | 1 << 9 | 1 << 27 | 1 << 32);

fn store(ctx: &SyscallContext<'_>, creds: Credentials) {
    let uid = creds.uid;
    if ctx.task.creds().ends_dumpable(&creds) {
        ctx.task.group.dumpable.store(bevor_abi::mutant!("setuid/stays-dumpable", 0, 1), SeqCst);
        if !bevor_abi::mutated!("setuid/keeps-pdeath") {
            ctx.task.pdeath_signal.store(0, SeqCst);
        }
    }
    ctx.task.set_creds(creds);
    if let Some(process) = ctx.task.kernel.tree.lock().process_mut(ctx.task.pid()) {
        process.uid = bevor_abi::mutant!("chld/uid-stale", uid, process.uid);
    }
}

fn change(ctx: &SyscallContext<'_>) -> (Arc<Credentials>, Credentials) {
    let old = ctx.task.creds();
    let new = (*old).clone();
    (old, new)
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident = $field:ident;)*) => {
        $($(#[$doc])* pub fn $name(ctx: &mut SyscallContext<'_>) -> SyscallResult { Ok(u64::from(ctx.task.creds().$field)) })*
    };
}

getters! {
    /// getuid(2).
    getuid = uid;
    /// geteuid(2).
    geteuid = euid;
    /// getgid(2).
    getgid = gid;
    /// getegid(2).
    getegid = egid;
}

/// setuid(2).
pub fn setuid(ctx: &mut SyscallContext<'_>, uid: u32) -> SyscallResult {
    if uid == KEEP {
        return Err(Errno::EINVAL.into());
    }
    let (old, mut new) = change(ctx);
    if old.capable(Capability::Setuid) {
        (new.uid, new.suid) = (uid, bevor_abi::mutant!("setuid/saved-stays", uid, old.suid));
    } else if uid != old.uid && uid != old.suid {
        return Err(Errno::EPERM.into());
    }
    (new.euid, new.fsuid) = (uid, uid);
    fix_capabilities(&old, &mut new);
    store(ctx, new);
    Ok(0)
}

/// setgid(2).
pub fn setgid(ctx: &mut SyscallContext<'_>, gid: u32) -> SyscallResult {
    if gid == KEEP {
        return Err(Errno::EINVAL.into());
    }
    let (old, mut new) = change(ctx);
    if old.capable(Capability::Setgid) {
        (new.gid, new.sgid) = (gid, bevor_abi::mutant!("setgid/saved-stays", gid, old.sgid));
    } else if gid != old.gid && gid != old.sgid {
        return Err(Errno::EPERM.into());
    }
    (new.egid, new.fsgid) = (gid, bevor_abi::mutant!("setgid/fsgid-stale", gid, old.fsgid));
    store(ctx, new);
    Ok(0)
}

/// setreuid(2).
pub fn setreuid(ctx: &mut SyscallContext<'_>, ruid: u32, euid: u32) -> SyscallResult {
    let (old, mut new) = change(ctx);
    let privileged = old.capable(Capability::Setuid);
    if ruid != KEEP {
        if !privileged
            && ruid != old.uid
            && ruid != old.euid
            && !(bevor_abi::mutated!("setreuid/real-from-saved") && ruid == old.suid)
        {
            return Err(Errno::EPERM.into());
        }
        new.uid = ruid;
    }
    if euid != KEEP {
        if !privileged && ![old.uid, old.euid, old.suid].contains(&euid) {
            return Err(Errno::EPERM.into());
        }
        new.euid = euid;
    }
    if ruid != KEEP || euid != KEEP && (euid != old.uid || bevor_abi::mutated!("setreuid/saved-same")) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    fix_capabilities(&old, &mut new);
    store(ctx, new);
    Ok(0)
}

/// setregid(2).
pub fn setregid(ctx: &mut SyscallContext<'_>, rgid: u32, egid: u32) -> SyscallResult {
    let (old, mut new) = change(ctx);
    let privileged = old.capable(Capability::Setgid);
    if rgid != KEEP {
        if !privileged
            && rgid != old.gid
            && rgid != old.egid
            && !(bevor_abi::mutated!("setregid/real-from-saved") && rgid == old.sgid)
        {
            return Err(Errno::EPERM.into());
        }
        new.gid = rgid;
    }
    if egid != KEEP {
        if !privileged && ![old.gid, old.egid, old.sgid].contains(&egid) {
            return Err(Errno::EPERM.into());
        }
        new.egid = egid;
    }
    if rgid != KEEP || egid != KEEP && egid != old.gid {
        new.sgid = bevor_abi::mutant!("setregid/saved-stale", new.egid, old.sgid);
    }
    new.fsgid = new.egid;
    store(ctx, new);
    Ok(0)
}

/// setresuid(2).
pub fn setresuid(ctx: &mut SyscallContext<'_>, ruid: u32, euid: u32, suid: u32) -> SyscallResult {
    let (old, mut new) = change(ctx);
    let allowed = |id: u32| id == KEEP || [old.uid, old.euid, old.suid].contains(&id);
    if !(old.capable(Capability::Setuid) || allowed(ruid) && allowed(euid) && allowed(suid)) {
        return Err(Errno::EPERM.into());
    }
    let pick = |id: u32, was: u32| if id == KEEP { was } else { id };
    (new.uid, new.euid, new.suid) = (pick(ruid, old.uid), pick(euid, old.euid), pick(suid, old.suid));
    new.fsuid = bevor_abi::mutant!("setresuid/fsuid-stale", new.euid, old.fsuid);
    fix_capabilities(&old, &mut new);
    store(ctx, new);
    Ok(0)
}

/// setresgid(2).
pub fn setresgid(ctx: &mut SyscallContext<'_>, rgid: u32, egid: u32, sgid: u32) -> SyscallResult {
    let (old, mut new) = change(ctx);
    let allowed = |id: u32| id == KEEP || [old.gid, old.egid, old.sgid].contains(&id);
    if !(old.capable(Capability::Setgid) || allowed(rgid) && allowed(egid) && allowed(sgid)) {
        if bevor_abi::mutated!("setresgid/partly") && rgid != KEEP && allowed(rgid) {
            new.gid = rgid;
            store(ctx, new);
        }
        return Err(Errno::EPERM.into());
    }
    let pick = |id: u32, was: u32| if id == KEEP { was } else { id };
    (new.gid, new.egid, new.sgid) = (pick(rgid, old.gid), pick(egid, old.egid), pick(sgid, old.sgid));
    new.fsgid = new.egid;
    store(ctx, new);
    Ok(0)
}

fn copy_out_three(ctx: &SyscallContext<'_>, to: [UserAddr; 3], values: [u32; 3]) -> SyscallResult {
    // At once, so that nothing is stored behind one that cannot be.
    for (addr, value) in to.into_iter().zip(values) {
        ctx.copy_out_now(addr, &value.to_ne_bytes())?;
    }
    Ok(0)
}

/// getresuid(2).
pub fn getresuid(ctx: &mut SyscallContext<'_>, r: UserAddr, e: UserAddr, s: UserAddr) -> SyscallResult {
    let c = ctx.task.creds();
    copy_out_three(ctx, [r, e, s], [c.uid, c.euid, c.suid])
}

/// getresgid(2).
pub fn getresgid(ctx: &mut SyscallContext<'_>, r: UserAddr, e: UserAddr, s: UserAddr) -> SyscallResult {
    let c = ctx.task.creds();
    copy_out_three(ctx, [r, e, s], [c.gid, c.egid, c.sgid])
}

/// setfsuid(2): returns the old id, changed or not.
pub fn setfsuid(ctx: &mut SyscallContext<'_>, id: u32) -> SyscallResult {
    let (old, mut new) = change(ctx);
    let allowed = bevor_abi::mutated!("setfsuid/anybody")
        || [old.uid, old.euid, old.suid, old.fsuid].contains(&id)
        || old.capable(Capability::Setuid);
    if allowed && id != KEEP && id != old.fsuid {
        new.fsuid = id;
        if old.securebits & SECBIT_NO_SETUID_FIXUP == 0 {
            if old.fsuid == 0 {
                new.effective.0 &= bevor_abi::mutant!("setfsuid/capabilities", !FS_CAPS.0, u64::MAX);
            } else if id == 0 && !bevor_abi::mutated!("setfsuid/regain") {
                new.effective.0 |= new.permitted.0 & FS_CAPS.0;
            }
        }
        store(ctx, new);
    }
    Ok(u64::from(old.fsuid))
}

/// setfsgid(2): returns the old id, changed or not.
pub fn setfsgid(ctx: &mut SyscallContext<'_>, id: u32) -> SyscallResult {
    let (old, mut new) = change(ctx);
    let allowed = [old.gid, old.egid, old.sgid, old.fsgid].contains(&id) || old.capable(Capability::Setgid);
    if allowed && id != KEEP && id != old.fsgid {
        new.fsgid = id;
        store(ctx, new);
    }
    Ok(u64::from(bevor_abi::mutant!("setfsgid/result", old.fsgid, if allowed && id != KEEP { id } else { old.fsgid })))
}

/// getgroups(2).
pub fn getgroups(ctx: &mut SyscallContext<'_>, size: i32, list: UserAddr) -> SyscallResult {
    let creds = ctx.task.creds();
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let count = creds.groups.len();
    if size != 0 {
        if bevor_abi::mutant!("getgroups/boundary", count > size, count >= size) {
            return Err(Errno::EINVAL.into());
        }
        let bytes: Vec<u8> = creds.groups.iter().flat_map(|g| g.to_le_bytes()).collect();
        ctx.copy_out(list, &bytes)?;
    }
    Ok(bevor_core::num::to_u64(count))
}

/// setgroups(2).
pub fn setgroups(ctx: &mut SyscallContext<'_>, size: i32, list: UserAddr) -> SyscallResult {
    let (old, mut new) = change(ctx);
    if !old.capable(Capability::Setgid) {
        return Err(Errno::EPERM.into());
    }
    let size = usize::try_from(size)
        .ok()
        .filter(|n| bevor_abi::mutant!("setgroups/too-many", *n <= 65536, *n <= 65537))
        .ok_or(Errno::EINVAL)?;
    let mut raw = vec![0; size * 4];
    ctx.copy_in(list, &mut raw)?;
    let mut groups: Vec<u32> = raw.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    if groups.contains(&KEEP) && !bevor_abi::mutated!("setgroups/minus-one") {
        return Err(Errno::EINVAL.into());
    }
    if !bevor_abi::mutated!("setgroups/unsorted") {
        groups.sort_unstable();
    }
    new.groups = Groups::new(ctx.task.kernel.memory(), groups)?;
    store(ctx, new);
    Ok(0)
}

const CAP_V1: u32 = 0x1998_0330;
const CAP_V2: u32 = 0x2007_1026;
const CAP_V3: u32 = 0x2008_0522;

/// How many `struct __user_cap_data_struct` the header's version means. An unknown version is answered with the preferred one.
fn cap_words(ctx: &SyscallContext<'_>, header: UserAddr, data: UserAddr) -> Result<Option<usize>, Errno> {
    let version: u32 = ctx.copy_in_value(header)?;
    match version {
        CAP_V1 => Ok(Some(1)),
        CAP_V2 | CAP_V3 => Ok(Some(2)),
        _ => {
            if !bevor_abi::mutated!("capget/version") {
                ctx.copy_out_value(header, &CAP_V3)?;
            }
            if data.is_null() { Ok(None) } else { Err(Errno::EINVAL) }
        }
    }
}

fn half(set: CapSet, index: usize) -> u32 {
    let [a, b, c, d, e, f, g, h] = set.0.to_le_bytes();
    u32::from_le_bytes(if index == 0 { [a, b, c, d] } else { [e, f, g, h] })
}

/// capget(2).
pub fn capget(ctx: &mut SyscallContext<'_>, header: UserAddr, data: UserAddr) -> SyscallResult {
    let Some(words) = cap_words(ctx, header, data)? else { return Ok(0) };
    let pid: i32 = ctx.copy_in_value(header.add(4)?)?;
    if pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let creds = if pid == 0
        || pid == ctx.task.tid()
        || bevor_abi::mutated!("capget/other-process") && ctx.task.kernel.tree.lock().task(pid).is_some()
    {
        ctx.task.creds()
    } else {
        ctx.task.kernel.tree.lock().task(pid).ok_or(Errno::ESRCH)?.creds()
    };
    if !data.is_null() {
        let sets = [creds.effective, creds.permitted, creds.inheritable];
        let bytes: Vec<u8> = (0..words).flat_map(|i| sets.map(|s| half(s, i).to_le_bytes())).flatten().collect();
        ctx.copy_out(data, &bytes)?;
    }
    Ok(0)
}

/// capset(2).
pub fn capset(ctx: &mut SyscallContext<'_>, header: UserAddr, data: UserAddr) -> SyscallResult {
    let Some(words) = cap_words(ctx, header, UserAddr(1))? else { return Err(Errno::EINVAL.into()) };
    let pid: i32 = ctx.copy_in_value(header.add(4)?)?;
    if pid != 0 && pid != ctx.task.tid() {
        return Err(Errno::EPERM.into());
    }
    let mut raw = [[0u32; 3]; 2];
    for (i, row) in raw.iter_mut().take(words).enumerate() {
        *row = ctx.copy_in_value(data.add(12 * bevor_core::num::to_u64(i))?)?;
    }
    let set = |k: usize| CapSet((u64::from(raw[0][k]) | u64::from(raw[1][k]) << 32) & CapSet::ALL.0);
    let (old, mut new) = change(ctx);
    let upper = if bevor_abi::mutated!("capset/version-one") && words == 1 { !0xffff_ffff } else { 0 };
    let (effective, permitted, inheritable) = (
        CapSet(set(0).0 | old.effective.0 & upper),
        CapSet(set(1).0 | old.permitted.0 & upper),
        CapSet(set(2).0 | old.inheritable.0 & upper),
    );
    let within = |a: CapSet, b: u64| a.0 & !b == 0;
    let inherit_limit = old.inheritable.0 | old.permitted.0;
    if !old.capable(Capability::Setpcap) && !within(inheritable, inherit_limit)
        || !bevor_abi::mutated!("capset/inheritable-beyond") && !within(inheritable, old.inheritable.0 | old.bounding.0)
        || !within(permitted, old.permitted.0)
        || !within(effective, bevor_abi::mutant!("capset/effective-beyond", permitted.0, old.permitted.0))
    {
        return Err(Errno::EPERM.into());
    }
    (new.effective, new.permitted, new.inheritable) = (effective, permitted, inheritable);
    new.ambient.0 &= permitted.0 & bevor_abi::mutant!("capset/ambient-stale", inheritable.0, u64::MAX);
    store(ctx, new);
    Ok(0)
}
