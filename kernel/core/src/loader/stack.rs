//! The initial stack: strings, auxiliary vector, pointers (System V ABI x86-64, 3.4.1; getauxval(3)).

use bevor_abi::Errno;
use bevor_platform::ImageOp;

use super::elf::{Plan, phdr_size};
use super::{AuxIds, LoadRequest, random_u64};
use crate::num::{to_u64, to_usize};
use crate::task::ImageInfo;

/// Longest single string, with its NUL (MAX_ARG_STRLEN).
pub const MAX_ARG_STRLEN: usize = 131_072;
/// All strings and pointers, at least and at most (ARG_MAX, 3/4 of _STK_LIM).
const MIN_ARGS: u64 = 131_072;
const MAX_ARGS: u64 = 6 << 20;
/// HWCAP2_FSGSBASE: the stub needs the thread pointer register.
const HWCAP2_FSGSBASE: u64 = 2;

/// A stack to be stored.
pub struct Built {
    /// The bytes.
    pub write: ImageOp,
    /// Initial stack pointer.
    pub sp: u64,
    /// Where the strings lie.
    pub info: ImageInfo,
}

/// Checks the limits on arguments: a single string, and all of them together (a quarter of RLIMIT_STACK).
///
/// # Errors
/// E2BIG.
pub fn check_limits(argv: &[Vec<u8>], envp: &[Vec<u8>], stack_limit: u64) -> Result<(), Errno> {
    let mut total = 0;
    for string in argv.iter().chain(envp) {
        if string.len() >= MAX_ARG_STRLEN {
            return Err(Errno::E2BIG);
        }
        total += to_u64(string.len()) + 9;
    }
    let limit = (stack_limit / 4).clamp(MIN_ARGS, MAX_ARGS);
    if total > limit { Err(Errno::E2BIG) } else { Ok(()) }
}

/// Grows downwards from the top.
struct Downwards {
    top: u64,
    /// In reverse order: the last byte of the stack first.
    reversed: Vec<u8>,
}

impl Downwards {
    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.reversed.extend(bytes.iter().rev());
        self.sp()
    }

    fn push_string(&mut self, bytes: &[u8]) -> u64 {
        self.reversed.push(0);
        self.push(bytes)
    }

    fn skip(&mut self, len: u64) {
        self.reversed.resize(self.reversed.len() + to_usize(len), 0);
    }

    fn sp(&self) -> u64 {
        self.top - to_u64(self.reversed.len())
    }
}

/// Lays out the stack.
///
/// # Errors
/// E2BIG if it does not fit.
pub fn build(request: &LoadRequest<'_>, plan: &Plan, ids: AuxIds) -> Result<Built, Errno> {
    check_limits(&request.argv, &request.envp, request.stack_limit)?;
    let mut stack = Downwards { top: request.layout.stack_top & !15, reversed: Vec::new() };
    stack.skip(8);
    let execfn = stack.push_string(request.path);
    let env_end = execfn;
    let mut env: Vec<u64> = request.envp.iter().rev().map(|s| stack.push_string(s)).collect();
    let env_start = stack.sp();
    let mut args: Vec<u64> = request.argv.iter().rev().map(|s| stack.push_string(s)).collect();
    let args_start = stack.sp();
    env.reverse();
    args.reverse();
    if !request.no_randomize {
        stack.skip(random_u64(&request.random, 3) % 8192);
    }
    let platform = stack.push_string(b"x86_64");
    let random = stack.push(&request.random[48..64]);
    let auxv = auxv(request, plan, ids, [execfn, platform, random]);
    let words = auxv.len() * 2 + env.len() + args.len() + 3;
    let below = stack.sp() & !15;
    stack.skip(stack.sp() - below + if words % 2 == 1 { 8 } else { 0 });
    let auxv_bytes: Vec<u8> = auxv.iter().flat_map(|(k, v)| [k.to_le_bytes(), v.to_le_bytes()]).flatten().collect();
    stack.push(&auxv_bytes);
    let argc = to_u64(args.len());
    let vectors: Vec<u8> =
        std::iter::once(argc).chain(args).chain([0]).chain(env).chain([0]).flat_map(u64::to_le_bytes).collect();
    let sp = stack.push(&vectors);
    if sp < request.layout.stack_bottom {
        return Err(Errno::E2BIG);
    }
    let mut data = stack.reversed;
    data.reverse();
    Ok(Built {
        write: ImageOp::Write { addr: sp, data },
        sp,
        info: ImageInfo {
            exe: None,
            args: (args_start, env_start - args_start),
            env: (env_start, env_end - env_start),
            auxv: auxv_bytes,
        },
    })
}

fn auxv(request: &LoadRequest<'_>, plan: &Plan, ids: AuxIds, [execfn, platform, random]: [u64; 3]) -> Vec<(u64, u64)> {
    let host = request.host;
    let mut out = Vec::with_capacity(24);
    if request.layout.vdso != 0 {
        out.push((33, request.layout.vdso)); // AT_SYSINFO_EHDR
    }
    out.extend([
        (51, host.minsigstksz),                                                    // AT_MINSIGSTKSZ
        (16, host.hwcap),                                                          // AT_HWCAP
        (6, 4096),                                                                 // AT_PAGESZ
        (17, 100),                                                                 // AT_CLKTCK
        (3, plan.phdr),                                                            // AT_PHDR
        (4, phdr_size()),                                                          // AT_PHENT
        (5, plan.phnum),                                                           // AT_PHNUM
        (7, plan.base),                                                            // AT_BASE
        (8, 0),                                                                    // AT_FLAGS
        (9, plan.program_entry),                                                   // AT_ENTRY
        (11, u64::from(ids.uid)),                                                  // AT_UID
        (12, u64::from(ids.euid)),                                                 // AT_EUID
        (13, u64::from(ids.gid)),                                                  // AT_GID
        (14, u64::from(ids.egid)),                                                 // AT_EGID
        (23, u64::from(bevor_abi::mutant!("exec/not-secure", ids.secure, false))), // AT_SECURE
        (25, random),                                                              // AT_RANDOM
        (26, host.hwcap2 & !HWCAP2_FSGSBASE),                                      // AT_HWCAP2
        (31, execfn),                                                              // AT_EXECFN
        (15, platform),                                                            // AT_PLATFORM
    ]);
    if host.rseq_size != 0 {
        out.push((27, host.rseq_size)); // AT_RSEQ_FEATURE_SIZE
        out.push((28, host.rseq_align)); // AT_RSEQ_ALIGN
    }
    out.push((0, 0));
    out
}
