//! The machine: names, memory, random bytes, the kernel log.

use bevor_abi::{Errno, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::Capability;
use bevor_core::error::SyscallResult;
use bevor_core::num::{to_u64, to_usize};
use bevor_hostcall::host;

const FIELD: usize = 65;

/// uname(2).
pub fn uname(ctx: &mut SyscallContext<'_>, out: UserAddr) -> SyscallResult {
    let names = ctx.task.kernel.uts.lock().clone();
    let fields: [&[u8]; 6] =
        [b"Linux", &names.nodename, b"6.18.0", b"#1 SMP PREEMPT_DYNAMIC Bevor", b"x86_64", &names.domainname];
    let mut bytes = [0; FIELD * 6];
    for (i, field) in fields.into_iter().enumerate() {
        let len = field.len().min(FIELD - 1);
        bytes[i * FIELD..i * FIELD + len].copy_from_slice(&field[..len]);
    }
    ctx.copy_out(out, &bytes)?;
    Ok(0)
}

fn copy_in_name(ctx: &SyscallContext<'_>, name: UserAddr, len: i32) -> Result<Vec<u8>, Errno> {
    if !ctx.task.creds().capable(Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(len)
        .ok()
        .filter(|n| bevor_abi::mutant!("uname/boundary", *n < FIELD, *n <= FIELD))
        .ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; len];
    ctx.copy_in(name, &mut bytes)?;
    Ok(bytes)
}

/// sethostname(2).
pub fn sethostname(ctx: &mut SyscallContext<'_>, name: UserAddr, len: i32) -> SyscallResult {
    let name = copy_in_name(ctx, name, len)?;
    if bevor_abi::mutated!("sethostname/domain") {
        ctx.task.kernel.uts.lock().domainname = name.clone();
    }
    ctx.task.kernel.uts.lock().nodename = name;
    Ok(0)
}

/// setdomainname(2).
pub fn setdomainname(ctx: &mut SyscallContext<'_>, name: UserAddr, len: i32) -> SyscallResult {
    ctx.task.kernel.uts.lock().domainname = copy_in_name(ctx, name, len)?;
    Ok(0)
}

/// sysinfo(2).
pub fn sysinfo(ctx: &mut SyscallContext<'_>, out: UserAddr) -> SyscallResult {
    let info = host::sysinfo();
    let tasks = u16::try_from(ctx.task.kernel.tasks().len()).unwrap_or(u16::MAX);
    let mut bytes = [0; 112];
    let words = [info.uptime, info.loads[0], info.loads[1], info.loads[2], info.total, info.free, 0, info.buffer, 0, 0];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    bytes[80..82].copy_from_slice(&bevor_abi::mutant!("sysinfo/procs", tasks, 0).to_le_bytes());
    bytes[104..108].copy_from_slice(&bevor_abi::mutant!("sysinfo/unit", 1u32, 0).to_le_bytes());
    ctx.copy_out(out, &bytes)?;
    Ok(0)
}

const GRND_NONBLOCK: u32 = 1;
const GRND_RANDOM: u32 = 2;
const GRND_INSECURE: u32 = 4;

/// getrandom(2): from the host's generator.
pub fn getrandom(ctx: &mut SyscallContext<'_>, buf: UserAddr, len: usize, flags: u32) -> SyscallResult {
    let exclusive = flags & (GRND_RANDOM | GRND_INSECURE) == GRND_RANDOM | GRND_INSECURE;
    if flags & !(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) != 0
        || exclusive && !bevor_abi::mutated!("getrandom/flags-together")
    {
        return Err(Errno::EINVAL.into());
    }
    let len = len.min(0x7fff_f000);
    let mut done = 0;
    let mut chunk = [0; 4096];
    while done < len {
        let part = &mut chunk[..(len - done).min(4096)];
        host::random(part)?;
        let at = buf.add(to_u64(done))?;
        // In one page it arrives as a whole or not at all.
        if done == 0 && to_usize(buf.0 % 4096) + len <= 4096 {
            ctx.copy_out(at, part)?;
        } else {
            let stored = ctx.thread.write_memory(at.0, part);
            if stored < part.len() {
                let total = done + stored;
                return if total == 0 || bevor_abi::mutated!("getrandom/partial-fault") {
                    Err(Errno::EFAULT.into())
                } else {
                    Ok(to_u64(total))
                };
            }
        }
        done += part.len();
        // A signal ends long requests after a page, as in Linux.
        if done < len && ctx.task.has_work() {
            break;
        }
    }
    Ok(to_u64(done))
}

/// syslog(2).
pub fn syslog(ctx: &mut SyscallContext<'_>, kind: i32, buf: UserAddr, len: i32) -> SyscallResult {
    const READ: i32 = 2;
    const READ_ALL: i32 = 3;
    const READ_CLEAR: i32 = 4;
    const CLEAR: i32 = 5;
    const CONSOLE_LEVEL: i32 = 8;
    const SIZE_UNREAD: i32 = 9;
    const SIZE_BUFFER: i32 = 10;
    let creds = ctx.task.creds();
    let open_to_all = matches!(kind, READ_ALL | SIZE_BUFFER);
    if !open_to_all && !creds.capable(Capability::Syslog) && !creds.capable(Capability::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    let kernel = &ctx.task.kernel;
    match kind {
        0 | 1 => Ok(0),
        READ | READ_ALL | READ_CLEAR => {
            let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
            if buf.is_null() {
                return Err(Errno::EINVAL.into());
            }
            let text = if kind == READ { kernel.log.read_next(len) } else { kernel.log.read_all(len) };
            ctx.copy_out(buf, &text)?;
            if kind == READ_CLEAR {
                kernel.log.clear();
            }
            Ok(to_u64(text.len()))
        }
        CLEAR => {
            kernel.log.clear();
            Ok(0)
        }
        6 | 7 => Ok(0),
        CONSOLE_LEVEL => {
            if (1..=bevor_abi::mutant!("syslog/console-level", 8, 7)).contains(&len) {
                Ok(0)
            } else {
                Err(Errno::EINVAL.into())
            }
        }
        SIZE_UNREAD => Ok(to_u64(kernel.log.unread())),
        SIZE_BUFFER => Ok(to_u64(bevor_core::log::LOG_SIZE)),
        _ => Err(Errno::EINVAL.into()),
    }
}
