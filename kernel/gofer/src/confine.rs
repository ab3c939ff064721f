//! The gofer process: what it gives up before it serves, and how the sentry hands it a view of the sandbox's processes.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use bevor_abi::Errno;
use bevor_hostcall::confine::{
    CapabilitySet, clone_directory, clone_tree, empty_root, limit_capabilities, no_new_privileges, private_mounts,
};
use bevor_hostcall::process::{Namespaces, unshare};
use bevor_hostcall::seccomp::{AllowList, FilterError};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

use crate::pseudo::without_pseudo;
use crate::server::{Mask, MountSource, Server, open_own_fds};
use crate::transport::{Transport, errno};

/// A host file or directory to serve; its number is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountConfig {
    /// Where it is on the host.
    #[serde(with = "path")]
    pub source: PathBuf,
    /// Whether changes are refused.
    pub read_only: bool,
    /// Whether files may get set-id bits.
    pub suid: bool,
}

/// A path as the bytes that it is.
mod path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(path.as_os_str().as_bytes())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
        <&[u8]>::deserialize(d).map(|bytes| OsString::from_vec(bytes.to_vec()).into())
    }
}

/// What a gofer is told when it is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// What to serve.
    pub mounts: Vec<MountConfig>,
    /// What to hide of it.
    pub masks: Vec<Mask>,
    /// What confines it.
    pub confinement: Confinement,
}

impl Orders {
    /// As bytes, for another process of the same program.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn encode(&self) -> Result<Vec<u8>, Errno> {
        postcard::to_stdvec(self).map_err(|_| Errno::ENOMEM)
    }

    /// What [`Orders::encode`] made.
    ///
    /// # Errors
    /// EPROTO for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Errno> {
        crate::protocol::decode(bytes)
    }
}

/// What confines a gofer. Only tests leave something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Mount points of pseudo file systems lead to something empty.
    pub covers: bool,
    /// Paths begin at a descriptor, and none that the process has leads up.
    pub paths: bool,
    /// Of the capabilities only those of file access are left.
    pub capabilities: bool,
}

impl Default for Confinement {
    fn default() -> Self {
        Self { covers: true, paths: true, capabilities: true }
    }
}

/// What stopped a gofer from starting or serving.
#[derive(Debug)]
pub struct GoferError {
    step: &'static str,
    cause: String,
}

impl std::fmt::Display for GoferError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gofer: {}: {}", self.step, self.cause)
    }
}

impl std::error::Error for GoferError {}

fn at<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> GoferError {
    move |e| GoferError { step, cause: e.to_string() }
}

/// Confines this process and serves the mounts of `orders`, with what is in its masks hidden, on `socket` until the sentry closes its end.
///
/// As root the process gets namespaces with an empty root, no network and no one else's IPC, holds copies of the mounts as
/// descriptors only, from none of which a path leads up, and keeps the capabilities that file access needs. An ordinary user's
/// gofer holds descriptors of the host's own mounts and no capability. Both then get a seccomp filter.
///
/// # Errors
/// Says which step failed.
pub fn run(orders: &Orders, socket: OwnedFd) -> Result<(), GoferError> {
    let Orders { mounts, masks, confinement } = orders;
    let root = rustix::process::geteuid().is_root();
    // The standard hook looks at the file system, which the filter forbids.
    std::panic::set_hook(Box::new(|info| eprintln!("bevor: gofer: {info}")));
    rustix::process::umask(Mode::empty());
    raise_descriptor_limit().map_err(at("raise the limit of descriptors"))?;
    let (sources, own_fds) = if root {
        isolated(mounts, *confinement).map_err(at("make a mount namespace"))?
    } else {
        (shared(mounts).map_err(at("open the mounts"))?, open_own_fds().map_err(at("open /proc/self/fd"))?)
    };
    let proc = receive_proc(&socket).map_err(at("hear from the sentry"))?;
    if confinement.capabilities {
        limit_capabilities(if root { file_capabilities() } else { CapabilitySet::empty() })
            .map_err(at("give up capabilities"))?;
    }
    no_new_privileges().map_err(at("give up privileges"))?;
    // The process ends with the last request: its end closes thousands of files quicker than a call for each.
    let mut server = ManuallyDrop::new(Server::new(sources, &own_fds, proc).map_err(at("enter /proc/self/fd"))?);
    server.hide(masks.to_vec(), &own_fds).map_err(at("hide files"))?;
    for (number, _) in mounts.iter().enumerate().filter(|(_, mount)| mount.suid) {
        server.allow_set_ids(number);
    }
    filter(if confinement.paths { NO_DESCRIPTOR } else { 0 })
        .and_then(AllowList::install)
        .map_err(at("install the seccomp filter"))?;
    server.serve(socket).map_err(at("serve the sentry"))
}

/// What access to any user's files takes. CAP_DAC_OVERRIDE includes what CAP_DAC_READ_SEARCH gives to paths; the latter gives files by
/// handle besides.
fn file_capabilities() -> CapabilitySet {
    CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER | CapabilitySet::FSETID
}

/// The mounts, and the process's /proc/self/fd.
fn isolated(mounts: &[MountConfig], confinement: Confinement) -> Result<(Vec<MountSource>, OwnedFd), Errno> {
    unshare(Namespaces::MOUNT | Namespaces::NET | Namespaces::IPC | Namespaces::UTS)?;
    private_mounts()?;
    let own_fds = if confinement.paths { clone_directory(Path::new("/proc/self/fd"))? } else { open_own_fds()? };
    let sources = if confinement.covers {
        without_pseudo(mounts)?
    } else {
        mounts
            .iter()
            .map(|mount| Ok(MountSource { fd: clone_tree(&mount.source, mount.read_only)?, read_only: mount.read_only }))
            .collect::<Result<_, Errno>>()?
    };
    if confinement.paths {
        empty_root()?;
    }
    Ok((sources, own_fds))
}

fn shared(mounts: &[MountConfig]) -> Result<Vec<MountSource>, Errno> {
    mounts
        .iter()
        .map(|mount| {
            Ok(MountSource {
                fd: rustix::fs::open(&mount.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(errno)?,
                read_only: mount.read_only,
            })
        })
        .collect()
}

fn raise_descriptor_limit() -> Result<(), Errno> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).map_err(errno)
}

/// The sentry's first packet, before any request: with a descriptor of the sandbox's proc file system if there is one.
const HELLO: &[u8] = b"bevor";

/// Sends the first packet; the sentry's part of the handshake. Must come before the first call on a [`crate::Gofer`].
///
/// # Errors
/// EPIPE if the gofer is gone.
pub fn send_proc(socket: &OwnedFd, proc: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let socket = rustix::io::fcntl_dupfd_cloexec(socket, 0).map_err(errno)?;
    Transport::new(socket).send(HELLO, proc)
}

fn receive_proc(socket: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let socket = rustix::io::fcntl_dupfd_cloexec(socket.as_fd(), 0).map_err(errno)?;
    let mut packet = [0; 16];
    match Transport::new(socket).receive(&mut packet)? {
        Some((len, proc)) if &packet[..len] == HELLO => Ok(proc),
        Some(_) => Err(Errno::EPROTO),
        None => Err(Errno::EPIPE),
    }
}

/// The bit that AT_FDCWD has and no descriptor.
const NO_DESCRIPTOR: u32 = 1 << 31;

/// The calls that take paths, if none of `not` is set in the directory they begin at.
fn beneath_own_descriptors(list: AllowList, not: u32) -> Result<AllowList, FilterError> {
    const FIRST: [i64; 9] = [
        libc::SYS_openat2,
        libc::SYS_openat,
        libc::SYS_statx,
        libc::SYS_readlinkat,
        libc::SYS_mkdirat,
        libc::SYS_unlinkat,
        libc::SYS_fchmodat,
        libc::SYS_fchownat,
        libc::SYS_utimensat,
    ];
    let list = FIRST.into_iter().try_fold(list, |list, call| list.allow_without(call, 0, not))?;
    let list = list.allow_without(libc::SYS_symlinkat, 1, not)?;
    [libc::SYS_renameat2, libc::SYS_linkat]
        .into_iter()
        .try_fold(list, |list, call| list.allow_without_all(call, &[(0, not), (2, not)]))
}

/// The host calls that serving takes; those with paths only where the directory has no bit of `not`.
fn filter(not: u32) -> Result<AllowList, FilterError> {
    AllowList::default()
        .allow(&[
            // The connection.
            libc::SYS_recvmsg,
            libc::SYS_sendmsg,
            libc::SYS_close,
            // Looking up and opening.
            libc::SYS_fstatfs,
            libc::SYS_getdents64,
            libc::SYS_lseek,
            libc::SYS_getxattr,
            libc::SYS_listxattr,
            // Changing.
            libc::SYS_ftruncate,
            libc::SYS_setxattr,
            libc::SYS_removexattr,
            // The process itself: heap, its end, a panic's message.
            libc::SYS_brk,
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_write,
            libc::SYS_futex,
            libc::SYS_restart_syscall,
            libc::SYS_rt_sigreturn,
            libc::SYS_exit_group,
        ])
        .allow_without(libc::SYS_mmap, 2, 4)?
        .allow_values(libc::SYS_madvise, 2, &[4])?
        // F_GETFL tells what the sentry's descriptor of a memory file can do; debug builds of the standard library ask with F_GETFD
        // whether what they close was open.
        .allow_values(
            libc::SYS_fcntl,
            1,
            &[libc::F_DUPFD_CLOEXEC.unsigned_abs(), libc::F_GETFD.unsigned_abs(), libc::F_GETFL.unsigned_abs()],
        )?
        // No device node may be made: S_IFCHR is a bit of S_IFBLK too.
        .allow_without_all(libc::SYS_mknodat, &[(0, not), (2, libc::S_IFCHR)])
        .and_then(|list| beneath_own_descriptors(list, not))
}
