//! execve(2), execveat(2).

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::fs::o;
use bevor_abi::process::RLIMIT_STACK;
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::{Action, SyscallContext};
use bevor_core::creds::{CapSet, Credentials};
use bevor_core::error::{SyscallError, SyscallResult};
use bevor_core::io::VecSink;
use bevor_core::kernel::Kernel;
use bevor_core::loader::stack::{MAX_ARG_STRLEN, check_limits};
use bevor_core::loader::{AuxIds, ExecAttributes, ExecFile, HostAuxv, LoadError, LoadRequest, Loaded, load};
use bevor_core::num::to_usize;
use bevor_core::task::exec::PendingExec;
use bevor_core::task::{Executable, WaitStatus};
use bevor_core::vfs::mount::mount_flags;
use bevor_core::vfs::{Caller, File, FsContext, Opened, Path, WalkFlags};
use bevor_hostcall::host;
use bevor_platform::FileMapping;

use super::hooks::{Env, start_of};

const AT_SYMLINK_NOFOLLOW: i32 = 0x100;
const AT_EMPTY_PATH: i32 = 0x1000;
const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
const S_IXGRP: u32 = 0o010;
const MAY_EXEC: u32 = 1;
const MAY_READ: u32 = 4;
const SECBIT_NOROOT: u32 = 1;
const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const ADDR_NO_RANDOMIZE: u32 = 0x4_0000;
/// What a set-id program takes from the personality: READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE, MMAP_PAGE_ZERO and ADDR_COMPAT_LAYOUT.
const PER_CLEAR_ON_SETID: u32 = 0x0074_0000;

/// A program in the guest's file system, and whether its caller may not read it.
struct Program(Arc<File>, Arc<Executable>, bool);

impl ExecFile for Program {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while done < buf.len() {
            let mut data = Vec::new();
            let room = buf.len() - done;
            let at = offset.checked_add(bevor_core::num::to_u64(done)).ok_or(Errno::EINVAL)?;
            let got = self.0.pread(at, &mut VecSink { data: &mut data, room })?;
            if got == 0 {
                break;
            }
            buf[done..done + got].copy_from_slice(&data);
            done += got;
        }
        Ok(done)
    }

    fn mapping(&self) -> Result<FileMapping, Errno> {
        self.0.mapping(false)
    }

    fn attributes(&self) -> ExecAttributes {
        let attr = self.0.inode().attr().unwrap_or_default();
        ExecAttributes {
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            nosuid: self.0.path().mount.flags() & mount_flags::NOSUID != 0,
            unreadable: self.2,
        }
    }

    fn executable(&self) -> Option<Arc<Executable>> {
        Some(Arc::clone(&self.1))
    }
}

/// Opens the file at `path` for execution.
fn open_program(fs: &FsContext, path: &Path, caller: Caller<'_>) -> Result<Arc<dyn ExecFile>, Errno> {
    let inode = path.dentry.inode();
    let attr = inode.attr()?;
    if attr.mode & 0o170_000 != 0o100_000 || path.mount.flags() & mount_flags::NOEXEC != 0 {
        return Err(Errno::EACCES);
    }
    inode.permission(&caller, MAY_EXEC)?;
    // The kernel reads the program, whether or not the caller may.
    let root = Credentials::root();
    let kernel = Caller { creds: &root, ..caller };
    match fs.open_path(path, kernel, o::RDONLY)? {
        Opened::File(file) => {
            if let Ok(mapping) = file.mapping(false) {
                fs.ns.vfs.note_mapping(&mapping, path, &fs.root());
            }
            let unreadable = inode.permission(&caller, MAY_READ).is_err();
            Ok(Arc::new(Program(file, Executable::new(path.clone())?, unreadable)))
        }
        Opened::Fifo(_) => Err(Errno::EACCES),
    }
}

/// Opens an absolute or relative path for execution, as `fs` and `caller` see it.
///
/// # Errors
/// Those of execve(2).
pub fn open_by_path(fs: &FsContext, start: Option<&Path>, path: &[u8], caller: Caller<'_>) -> Result<Arc<dyn ExecFile>, Errno> {
    let found = fs.resolve(start, path, caller, WalkFlags::FOLLOW)?;
    open_program(fs, &found, caller)
}

/// Application memory around the latest string: arguments and environment mostly lie side by side.
#[derive(Default)]
struct Nearby {
    start: u64,
    data: Vec<u8>,
}

impl Nearby {
    const CHUNK: usize = 8192;

    /// The string at `at`, without its NUL.
    fn string(&mut self, ctx: &SyscallContext<'_>, at: UserAddr) -> Result<Vec<u8>, Errno> {
        let find = |near: &Self| {
            let rest = near.data.get(to_usize(at.0.checked_sub(near.start)?)..)?;
            let len = rest.iter().position(|b| *b == 0)?;
            (len < MAX_ARG_STRLEN).then(|| rest[..len].to_vec())
        };
        if let Some(found) = find(self) {
            return Ok(found);
        }
        self.start = at.0;
        self.data.resize(Self::CHUNK, 0);
        let got = ctx.thread.read_memory(at.0, &mut self.data);
        self.data.truncate(got);
        match find(self) {
            Some(found) => Ok(found),
            // Long, or at the end of memory.
            None => ctx.copy_in_string(at, MAX_ARG_STRLEN, Errno::E2BIG),
        }
    }
}

/// Copies a NULL-terminated array of strings in.
fn copy_in_strings(ctx: &SyscallContext<'_>, mut at: UserAddr) -> Result<Vec<Vec<u8>>, Errno> {
    let mut out = Vec::new();
    let mut nearby = Nearby::default();
    if at.is_null() {
        return Ok(out);
    }
    let mut total = 0;
    loop {
        // Pointers up to the end of the page at a time.
        let mut raw = vec![0; 4096 - to_usize(at.0 & 4095 & !7)];
        if !at.0.is_multiple_of(8) {
            raw.truncate(8);
        }
        let got = ctx.thread.read_memory(at.0, &mut raw) & !7;
        if got == 0 {
            return Err(Errno::EFAULT);
        }
        for bytes in raw[..got].as_chunks::<8>().0 {
            let pointer = UserAddr(u64::from_le_bytes(*bytes));
            if pointer.is_null() {
                return Ok(out);
            }
            let string = nearby.string(ctx, pointer)?;
            total += string.len() + 9;
            if total > 6 << 20 {
                return Err(Errno::E2BIG);
            }
            out.push(string);
        }
        at = at.add(bevor_core::num::to_u64(got))?;
    }
}

/// Which of the caller's ids a file with these attributes replaces.
fn set_ids(old: &Credentials, file: ExecAttributes) -> (bool, bool) {
    let honour = !file.nosuid && (!old.no_new_privs || bevor_abi::mutated!("exec/nnp-suid"));
    let group = S_ISGID | bevor_abi::mutant!("exec/sgid-alone", S_IXGRP, 0);
    (honour && file.mode & S_ISUID != 0, honour && file.mode & group == group)
}

/// The credentials after an execve of a file with these attributes, and whether the image has more privileges than its caller.
#[must_use]
pub fn exec_credentials(old: &Credentials, file: ExecAttributes) -> (Credentials, bool) {
    let mut new = old.clone();
    let (user, group) = set_ids(old, file);
    if user {
        new.euid = file.uid;
    }
    if group {
        new.egid = file.gid;
    }
    // A group that the caller has is nothing new to it (Linux 6.16).
    let changed = new.euid != old.euid || !old.in_group(new.egid);
    if changed && !bevor_abi::mutated!("exec/ambient-set-id") {
        new.ambient = CapSet::default();
    }
    let as_root = (old.securebits & SECBIT_NOROOT == 0 || bevor_abi::mutated!("exec/noroot")) && (new.uid == 0 || new.euid == 0);
    if as_root {
        new.permitted = CapSet(
            bevor_abi::mutant!("exec/root-inherits", old.inheritable.0, 0)
                | bevor_abi::mutant!("exec/bounding", old.bounding.0, CapSet::ALL.0),
        );
        let effective = new.euid == 0;
        if old.no_new_privs && (changed || !new.permitted.is_subset(old.permitted)) {
            // No more than it had, and maybe less.
            new.permitted.0 &= old.permitted.0;
            (new.euid, new.egid) = (new.uid, new.gid);
        }
        new.effective = if effective { new.permitted } else { new.ambient };
    } else {
        new.permitted = bevor_abi::mutant!("exec/ambient-lost", new.ambient, CapSet::default());
        new.effective = new.permitted;
        if old.no_new_privs && changed {
            (new.euid, new.egid) = (new.uid, new.gid);
        }
    }
    (new.suid, new.fsuid) =
        (bevor_abi::mutant!("exec/saved-id", new.euid, new.suid), bevor_abi::mutant!("exec/fsuid-stale", new.euid, new.fsuid));
    (new.sgid, new.fsgid) = (new.egid, new.egid);
    new.securebits &= bevor_abi::mutant!("exec/keepcaps", !SECBIT_KEEP_CAPS, u32::MAX);
    let gained = old.uid != 0 && new.effective.0 & !new.ambient.0 != 0;
    let secure = new.euid != new.uid || new.egid != new.gid || gained;
    (new, secure)
}

/// The host's entries of the auxiliary vector.
#[must_use]
pub fn host_auxv() -> HostAuxv {
    HostAuxv {
        hwcap: host::auxv(16),
        hwcap2: host::auxv(26),
        minsigstksz: host::auxv(51),
        rseq_size: host::auxv(27),
        rseq_align: host::auxv(28),
    }
}

/// Everything that loading a program needs.
pub struct Start<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Path for AT_EXECFN and scripts.
    pub path: &'a [u8],
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// Soft RLIMIT_STACK.
    pub stack_limit: u64,
    /// ADDR_NO_RANDOMIZE is set.
    pub no_randomize: bool,
    /// The caller's credentials.
    pub creds: &'a Credentials,
}

/// Loads `file` for the caller.
///
/// # Errors
/// Those of execve(2).
pub fn load_program(
    start: Start<'_>,
    file: Arc<dyn ExecFile>,
    open: &bevor_core::loader::OpenExec<'_>,
) -> Result<Loaded, LoadError> {
    let mut random = [0; 64];
    host::random(&mut random)?;
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| random[at + i]));
    let places = (!start.no_randomize).then(|| [word(32), word(40)]);
    let creds = start.creds;
    let ids = |attributes: ExecAttributes| {
        let (new, secure) = exec_credentials(creds, attributes);
        AuxIds { uid: new.uid, euid: new.euid, gid: new.gid, egid: new.egid, secure }
    };
    load(
        file,
        LoadRequest {
            path: start.path,
            argv: start.argv,
            envp: start.envp,
            open,
            layout: start.kernel.platform.layout(places, start.stack_limit),
            stack_limit: start.stack_limit,
            no_randomize: start.no_randomize,
            random,
            host: host_auxv(),
            ids: &ids,
        },
    )
}

/// The path that a program opened relative to `dirfd` has for AT_EXECFN.
fn exec_path(dirfd: Fd, path: &[u8]) -> Vec<u8> {
    if bevor_abi::mutated!("exec/fd-name") || dirfd == Fd::CWD || path.first() == Some(&b'/') {
        return path.to_vec();
    }
    let mut out = format!("/dev/fd/{}", dirfd.0).into_bytes();
    if !path.is_empty() {
        out.push(b'/');
        out.extend_from_slice(path);
    }
    out
}

fn open_at(ctx: &SyscallContext<'_>, env: &Env, dirfd: Fd, path: &[u8], flags: i32) -> Result<Arc<dyn ExecFile>, Errno> {
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        let place = if dirfd == Fd::CWD { env.fs.cwd() } else { ctx.file_any(dirfd)?.path().clone() };
        return open_program(&env.fs, &place, env.caller());
    }
    let start = start_of(ctx, dirfd, path)?;
    let nofollow = flags & AT_SYMLINK_NOFOLLOW != 0 && !bevor_abi::mutated!("execveat/nofollow");
    let walk = if nofollow { WalkFlags::empty() } else { WalkFlags::FOLLOW };
    let found = env.fs.resolve(start.as_ref(), path, env.caller(), walk)?;
    if nofollow && found.dentry.inode().is_symlink() {
        return Err(Errno::ELOOP);
    }
    open_program(&env.fs, &found, env.caller())
}

/// The first phase: everything that can fail without harm.
fn prepare(
    ctx: &mut SyscallContext<'_>,
    dirfd: Fd,
    path: UserAddr,
    vectors: [UserAddr; 2],
    flags: i32,
) -> Result<(), SyscallError> {
    let path = ctx.copy_in_path(path)?;
    let env = Env::new(ctx);
    let file = open_at(ctx, &env, dirfd, &path, flags)?;
    let argv = copy_in_strings(ctx, vectors[0])?;
    let envp = copy_in_strings(ctx, vectors[1])?;
    let stack_limit = ctx.task.group.rlimit(RLIMIT_STACK).cur;
    check_limits(&argv, &envp, stack_limit)?;
    let name = exec_path(dirfd, &path);
    let creds = ctx.creds();
    // A set-id program is laid out at random whatever its caller wants.
    let set_id = set_ids(&creds, file.attributes()) != (false, false);
    let start = Start {
        kernel: &ctx.task.kernel,
        path: &name,
        argv,
        envp,
        stack_limit,
        no_randomize: ctx.task.personality.load(SeqCst) & ADDR_NO_RANDOMIZE != 0 && !set_id,
        creds: &creds,
    };
    let open = |path: &[u8]| open_by_path(&env.fs, None, path, env.caller());
    match load_program(start, file, &open) {
        Ok(loaded) => {
            let (new, secure) = exec_credentials(&creds, loaded.attributes);
            let secure = secure || creds.ends_dumpable(&new);
            let mixed = secure || (creds.uid, creds.gid) != (creds.euid, creds.egid);
            let (creds, dumpable) = (new, !mixed && !loaded.attributes.unreadable);
            let files = ctx.task.files_for_exec()?;
            ctx.task.begin_exec(PendingExec { loaded, creds, files, dumpable, secure })?;
            if set_id {
                ctx.task.personality.fetch_and(!PER_CLEAR_ON_SETID, SeqCst);
            }
            Ok(())
        }
        Err(LoadError::Refused(errno)) => Err(errno.into()),
        Err(LoadError::Fatal) => {
            ctx.task.begin_group_exit(WaitStatus::killed(bevor_abi::signal::SIGSEGV));
            Err(ctx.act(Action::Exit))
        }
    }
}

fn do_exec(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, vectors: [UserAddr; 2], flags: i32) -> SyscallResult {
    if ctx.progress.phase == 0 {
        prepare(ctx, dirfd, path, vectors, flags)?;
        ctx.progress.phase = 1;
    }
    let task = Arc::clone(ctx.task);
    if !task.is_alone() {
        // The other threads are on their way out.
        return Err(ctx.block_killable(&task.group.exit_wait));
    }
    Err(ctx.act(Action::Exec))
}

/// execve(2).
pub fn execve(ctx: &mut SyscallContext<'_>, path: UserAddr, argv: UserAddr, envp: UserAddr) -> SyscallResult {
    do_exec(ctx, Fd::CWD, path, [argv, envp], 0)
}

/// execveat(2).
pub fn execveat(
    ctx: &mut SyscallContext<'_>,
    dirfd: Fd,
    path: UserAddr,
    argv: UserAddr,
    envp: UserAddr,
    flags: i32,
) -> SyscallResult {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    do_exec(ctx, dirfd, path, [argv, envp], flags)
}
