//! Loading programs (execve(2), elf(5)): ELF images, scripts, the initial stack.
//!
//! Headers are the application's own bytes: nothing in here may panic on any of them.

pub mod elf;
pub mod script;
pub mod stack;

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_platform::{ExecImage, FileMapping, SpaceLayout};

use crate::task::{Executable, ImageInfo};

/// Ownership of a program file as execve(2) needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecAttributes {
    /// `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The mount ignores set-user-ID bits.
    pub nosuid: bool,
    /// Who runs it may not read it.
    pub unreadable: bool,
}

/// An opened program. Whoever opened it has checked that it is a regular file with execute permission.
pub trait ExecFile: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// As pread(2).
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno>;
    /// A descriptor for private mappings.
    ///
    /// # Errors
    /// ENODEV if the file cannot be mapped.
    fn mapping(&self) -> Result<FileMapping, Errno>;
    /// Ownership and mode.
    fn attributes(&self) -> ExecAttributes;
    /// The file as a running program, for /proc/PID/exe.
    fn executable(&self) -> Option<Arc<Executable>> {
        None
    }
}

/// Why a program is not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// execve fails with this error.
    Refused(Errno),
    /// Linux finds out only after the old image is gone: the process dies of SIGSEGV.
    Fatal,
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

/// Opens a program by path.
pub type OpenExec<'a> = dyn Fn(&[u8]) -> Result<Arc<dyn ExecFile>, Errno> + 'a;

/// What does not depend on the file.
pub struct LoadRequest<'a> {
    /// The path as execve(2) was given it (AT_EXECFN, script argument).
    pub path: &'a [u8],
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// Opens an interpreter.
    pub open: &'a OpenExec<'a>,
    /// Where things may go.
    pub layout: SpaceLayout,
    /// Soft RLIMIT_STACK in bytes.
    pub stack_limit: u64,
    /// ADDR_NO_RANDOMIZE is set.
    pub no_randomize: bool,
    /// Random bytes for addresses, AT_RANDOM.
    pub random: [u8; 64],
    /// Values of the host's auxiliary vector.
    pub host: HostAuxv,
    /// Real and effective ids for AT_UID and its kin, filled once the file's set-user-ID bits are known.
    pub ids: &'a dyn Fn(ExecAttributes) -> AuxIds,
}

/// Auxiliary vector entries that describe the processor and the host kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostAuxv {
    /// AT_HWCAP.
    pub hwcap: u64,
    /// AT_HWCAP2; the FSGSBASE bit is hidden by the loader.
    pub hwcap2: u64,
    /// AT_MINSIGSTKSZ.
    pub minsigstksz: u64,
    /// AT_RSEQ_FEATURE_SIZE.
    pub rseq_size: u64,
    /// AT_RSEQ_ALIGN.
    pub rseq_align: u64,
}

/// AT_UID, AT_EUID, AT_GID, AT_EGID, AT_SECURE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuxIds {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// The image has more privileges than its caller.
    pub secure: bool,
}

/// A program ready to run.
pub struct Loaded {
    /// For the platform.
    pub image: ExecImage,
    /// For /proc.
    pub info: ImageInfo,
    /// Of the file whose set-user-ID bits count (the last interpreter of scripts).
    pub attributes: ExecAttributes,
    /// Base name for PR_GET_NAME.
    pub name: Vec<u8>,
}

/// Loads `file`, following script interpreters.
///
/// # Errors
/// As execve(2): ENOEXEC, ELOOP, E2BIG, ELIBBAD, EINVAL and whatever opening an interpreter gives.
pub fn load(mut file: Arc<dyn ExecFile>, mut request: LoadRequest<'_>) -> Result<Loaded, LoadError> {
    let name = base_name(request.path).to_vec();
    if request.argv.is_empty() && !bevor_abi::mutated!("exec/no-arguments") {
        request.argv.push(Vec::new());
    }
    let mut script_path = request.path.to_vec();
    let mut depth = 0;
    loop {
        let mut head = [0; script::HEAD_SIZE];
        let got = file.read_at(0, &mut head)?;
        let Some(line) = script::parse(&head[..got])? else { break };
        if depth == script::MAX_DEPTH {
            return Err(Errno::ELOOP.into());
        }
        depth += 1;
        let mut argv = vec![line.interpreter.clone()];
        argv.extend(line.argument);
        argv.push(script_path);
        argv.extend(request.argv.drain(1..));
        request.argv = argv;
        file = (request.open)(&line.interpreter)?;
        script_path = line.interpreter;
    }
    let name = bevor_abi::mutant!("exec/script-name", name, base_name(&script_path).to_vec());
    let attributes = file.attributes();
    let plan = elf::plan(&*file, &request)?;
    let ids = (request.ids)(attributes);
    let built = stack::build(&request, &plan, ids)?;
    let mut ops = plan.ops;
    ops.push(built.write);
    Ok(Loaded {
        image: ExecImage { ops, entry: plan.entry, stack: built.sp, brk: plan.brk, layout: Some(request.layout) },
        info: ImageInfo { exe: file.executable(), ..built.info },
        attributes,
        name,
    })
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

/// A random 64-bit number out of the request's bytes.
pub(crate) fn random_u64(random: &[u8; 64], index: usize) -> u64 {
    let mut bytes = [0; 8];
    let at = (index % 8) * 8;
    bytes.copy_from_slice(&random[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
