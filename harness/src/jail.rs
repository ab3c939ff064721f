//! The native jail: the surroundings that the sandbox gives its programs, made from host namespaces.
//!
//! `bevor-harness jail -- CMD…` unshares mount, pid, ipc, uts, net and cgroup namespaces (and a user namespace
//! when it isn't root), then starts itself again as pid 1 of them (`--init`), which lays a tmpfs overlay over the host's root,
//! mounts fresh /proc, /dev/pts, /dev/shm and /tmp, gives up the capabilities that reach the host, and
//! executes CMD. Two steps because only a child enters the new pid namespace; no fork is needed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use bevor_bench::tie::tie;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, chdir, getgid, getuid, pivot_root, sethostname};

use crate::container::bind_for;
use crate::error::{Error, Result};

/// Host name inside of the jail; `bevor do` shows the same.
pub const HOST_NAME: &str = "bevor";

/// Soft limits that every column starts with: (resource, soft value), capped by the hard limit.
const LIMITS: [(Resource, u64); 3] =
    [(Resource::RLIMIT_NOFILE, 1024), (Resource::RLIMIT_STACK, 8 << 20), (Resource::RLIMIT_CORE, 0)];

/// Device nodes bound into the jail's /dev.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Capabilities that reach the host itself; the jail gives them up (number, name).
const DROPPED: [(u8, &str); 4] = [(16, "CAP_SYS_MODULE"), (17, "CAP_SYS_RAWIO"), (22, "CAP_SYS_BOOT"), (25, "CAP_SYS_TIME")];

/// Sets the common soft limits for this process and the columns it starts.
///
/// # Errors
/// [`Error::Infrastructure`] if the host refuses.
pub fn set_limits() -> Result<()> {
    for (resource, soft) in LIMITS {
        let (_, hard) = getrlimit(resource).map_err(|e| Error::infra(format!("getrlimit: {e}")))?;
        setrlimit(resource, soft.min(hard), hard).map_err(|e| Error::infra(format!("setrlimit {resource:?}: {e}")))?;
    }
    Ok(())
}

/// `jail`: enters new namespaces, starts `command` as pid 1 in them and waits. The exit code is the command's,
/// 128 + n after signal n.
///
/// # Errors
/// [`Error::Infrastructure`] if a namespace can't be made, [`Error::Input`] for an empty command.
pub fn enter(command: &[std::ffi::OsString], binds: &[String]) -> Result<ExitCode> {
    if command.is_empty() {
        return Err(Error::input("jail: no command given"));
    }
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWCGROUP;
    let (uid, gid) = (getuid(), getgid());
    if !uid.is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags).map_err(|e| Error::infra(format!("jail: can't make namespaces: {e}")))?;
    if !uid.is_root() {
        map_ids(uid, gid)?;
    }
    let mut init = Command::new("/proc/self/exe");
    init.arg("jail").arg("--init");
    // This program can be executed inside as well, wherever it was built.
    let own = std::env::current_exe().ok().and_then(|exe| bind_for(&exe)).filter(|own| !binds.contains(own));
    for bind in binds.iter().chain(own.as_ref()) {
        init.arg("--bind").arg(bind);
    }
    init.arg("--").args(command);
    // Everything in the namespace ends with its init.
    tie(&mut init).map_err(|e| step("tie its init to it", e))?;
    let status = init.status().map_err(|e| Error::infra(format!("jail: can't start its init: {e}")))?;
    Ok(ExitCode::from(match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(255),
        (None, None) => 1,
    }))
}

fn map_ids(uid: Uid, gid: Gid) -> Result<()> {
    let write = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text)
            .map_err(|e| Error::infra(format!("jail: can't write /proc/self/{name}: {e}")))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// `jail --init`: pid 1 of the new namespaces. Returns only on failure.
///
/// # Errors
/// [`Error::Infrastructure`] naming the step that failed.
pub fn init(command: &[std::ffi::OsString], binds: &[String]) -> Result<ExitCode> {
    let [program, args @ ..] = command else {
        return Err(Error::input("jail: no command given"));
    };
    sethostname(HOST_NAME).map_err(|e| step("sethostname", e))?;
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    root(binds)?;
    if chdir(&cwd).is_err() {
        chdir("/").map_err(|e| step("chdir", e))?;
    }
    loopback_up()?;
    set_limits()?;
    drop_capabilities()?;
    let error = Command::new(program).args(args).exec();
    Err(Error::infra(format!("jail: can't execute {}: {error}", program.display())))
}

fn step(what: &str, e: impl std::fmt::Display) -> Error {
    Error::infra(format!("jail: {what}: {e}"))
}

/// Where the new root is built: a folder that exists nearly everywhere and that no bind comes from.
fn building_site() -> &'static Path {
    ["/media", "/srv", "/mnt", "/tmp"].into_iter().map(Path::new).find(|p| p.is_dir()).unwrap_or(Path::new("/"))
}

/// Builds the new root on a private tmpfs and pivots into it.
fn root(binds: &[String]) -> Result<()> {
    bare_mount(None, "/", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    let base = building_site();
    typed_mount("tmpfs", path_text(base)?, "tmpfs", MsFlags::empty(), "mode=0755")?;
    let (upper, work, new) = (base.join("upper"), base.join("work"), base.join("root"));
    for dir in [&upper, &work, &new] {
        make_dir(dir, 0o755)?;
    }
    let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    if typed_mount("overlay", path_text(&new)?, "overlay", MsFlags::empty(), &options).is_err() {
        // An ordinary user may not stack over mounts that it doesn't own: the root itself then, read-only.
        bind(Path::new("/"), &new)?;
        read_only_tree(path_text(&new)?)?;
    }
    let inside = |p: &str| new.join(p.trim_start_matches('/'));

    let dev = inside("/dev");
    typed_mount("tmpfs", path_text(&dev)?, "tmpfs", MsFlags::MS_NOSUID, "mode=0755")?;
    for name in DEVICES {
        let node = dev.join(name);
        fs::write(&node, "").map_err(|e| step(&format!("/dev/{name}"), e))?;
        bind(&Path::new("/dev").join(name), &node)?;
    }
    for (name, mode) in [("pts", 0o755), ("shm", 0o1777)] {
        make_dir(&dev.join(name), mode)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, dev.join(name)).map_err(|e| step(&format!("/dev/{name}"), e))?;
    }
    let nosuid = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    typed_mount("devpts", path_text(&dev.join("pts"))?, "devpts", MsFlags::MS_NOSUID, "newinstance,ptmxmode=0666,mode=0620")?;
    typed_mount("shm", path_text(&dev.join("shm"))?, "tmpfs", nosuid, "mode=1777")?;
    typed_mount("proc", path_text(&inside("/proc"))?, "proc", nosuid | MsFlags::MS_NOEXEC, "")?;
    // A fresh sysfs needs a network namespace of the same user namespace; the host's read-only one does otherwise.
    if typed_mount("sysfs", path_text(&inside("/sys"))?, "sysfs", nosuid | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY, "").is_err() {
        bind(Path::new("/sys"), &inside("/sys"))?;
    }
    typed_mount("tmpfs", path_text(&inside("/tmp"))?, "tmpfs", nosuid, "mode=1777")?;
    for spec in binds {
        bind_spec(spec, &new)?;
    }
    // Stacks the old root below the new one in the same place, from where it is unmounted: pivot_root(2).
    chdir(&new).map_err(|e| step("chdir to the new root", e))?;
    pivot_root(".", ".").map_err(|e| step("pivot_root", e))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|e| step("umount of the old root", e))?;
    chdir("/").map_err(|e| step("chdir /", e))
}

fn bare_mount(source: Option<&Path>, target: &str, flags: MsFlags) -> Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>).map_err(|e| step(&format!("mount on {target}"), e))
}

fn typed_mount(source: &str, target: &str, kind: &str, flags: MsFlags, data: &str) -> Result<()> {
    mount(Some(source), target, Some(kind), flags, Some(data)).map_err(|e| step(&format!("mount of {kind} on {target}"), e))
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    bare_mount(Some(source), path_text(target)?, MsFlags::MS_BIND | MsFlags::MS_REC)
}

/// Makes the mount at `path` and all below it read-only: mount_setattr(2).
#[allow(unsafe_code)]
fn read_only_tree(path: &str) -> Result<()> {
    let path = std::ffi::CString::new(path).map_err(|e| step("read-only root", e))?;
    let attr = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a live C string and the structure a live `mount_attr` of the size passed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer != 0 {
        return Err(step("read-only root", std::io::Error::last_os_error()));
    }
    Ok(())
}

/// `SRC:DST[:ro]` as in `bevor do --bind`.
fn bind_spec(spec: &str, new: &Path) -> Result<()> {
    let mut parts = spec.split(':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err(Error::input(format!("jail: `{spec}` is not SRC:DST[:ro]")));
    };
    let read_only = match parts.next() {
        None => false,
        Some("ro") => true,
        Some(other) => {
            return Err(Error::input(format!("jail: `{other}` in `{spec}` is not `ro`")));
        }
    };
    let target = new.join(target.trim_start_matches('/'));
    make_dir_if_missing(&target)?;
    bind(Path::new(source), &target)?;
    if read_only {
        bare_mount(None, path_text(&target)?, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY)?;
    }
    Ok(())
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::infra(format!("jail: {} is not UTF-8", path.display())))
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new().mode(mode).create(path).map_err(|e| step(&format!("mkdir {}", path.display()), e))
}

fn make_dir_if_missing(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|e| step(&format!("mkdir {}", path.display()), e))
}

/// Sets the loopback interface up, as every container has it: one RTM_NEWLINK message (rtnetlink(7)).
fn loopback_up() -> Result<()> {
    use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};
    use std::os::fd::AsRawFd;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
        .map_err(|e| step("netlink socket", e))?;
    let mut message = Vec::with_capacity(32);
    message.extend(32u32.to_ne_bytes()); // nlmsg_len
    message.extend(16u16.to_ne_bytes()); // RTM_NEWLINK
    message.extend(5u16.to_ne_bytes()); // NLM_F_REQUEST | NLM_F_ACK
    message.extend([0; 8]); // sequence, port
    message.extend([0; 4]); // family, padding, device type
    message.extend(1i32.to_ne_bytes()); // interface 1 is lo
    message.extend(1u32.to_ne_bytes()); // IFF_UP
    message.extend(1u32.to_ne_bytes()); // change mask
    sendto(fd.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map_err(|e| step("netlink send", e))?;
    let mut reply = [0u8; 512];
    let n = recv(fd.as_raw_fd(), &mut reply, MsgFlags::empty()).map_err(|e| step("netlink receive", e))?;
    match reply.get(16..20).filter(|_| n >= 20) {
        Some([0, 0, 0, 0]) => Ok(()),
        _ => Err(step("loopback", "the kernel refused to set it up")),
    }
}

/// Gives up the capabilities that reach the host, for good: out of the bounding set and of this process's sets.
#[allow(unsafe_code)]
fn drop_capabilities() -> Result<()> {
    for (number, name) in DROPPED {
        // SAFETY: PR_CAPBSET_DROP takes plain integers and no pointers.
        let answer = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        if answer != 0 {
            return Err(step(name, std::io::Error::last_os_error()));
        }
    }
    // Root's capabilities are computed anew by execve from the bounding set, so nothing else is needed.
    Ok(())
}

/// Absolute path of `program`, looked up in PATH when it holds no slash.
#[must_use]
pub fn which(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return path.is_file().then_some(path);
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}
