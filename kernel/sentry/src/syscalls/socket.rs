//! Socket calls (socket(2), sendmsg(2), recvmsg(2) ...). Families other than AF_UNIX answer EAFNOSUPPORT.

use std::sync::Arc;

use bevor_abi::fs::{IoVec, o};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::Capability;
use bevor_core::error::{SyscallError, SyscallResult};
use bevor_core::io::DataSource;
use bevor_core::num::{to_u64, to_usize};
use bevor_core::socket::{Control, Received, Socket, SocketCaller, UnixCredentials, msg};
use bevor_core::unix::{UnixKind, UnixSocket};
use bevor_core::vfs::File;
use bevor_core::wait::PollEvents;
use bevor_platform::Defence;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::hooks::{self, Env};
use super::io::{wait_for, wait_for_either};
use super::open::{install, install_pair};
use crate::user_io::{IoVecs, Unreadable, UserSink, UserSource, copy_in_iovecs, single, total};

/// Longest socket address (`struct sockaddr_storage`).
const MAX_ADDR: usize = 128;
/// Longest ancillary data taken in.
const MAX_CONTROL: usize = 64 * 1024;
/// SOL_SOCKET.
const SOL_SOCKET: i32 = 1;
const SO_ERROR: i32 = 4;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
/// The first type that Linux does not know.
const SOCK_MAX: u32 = 11;
/// What only the kernel says of messages of 32-bit programs.
const MSG_CMSG_COMPAT: u32 = 1 << 31;

fn with_socket<R>(file: &File, f: impl FnOnce(&dyn Socket) -> R) -> Result<R, Errno> {
    file.ops().as_socket().map(f).ok_or(Errno::ENOTSOCK)
}

fn caller(env: &Env) -> SocketCaller<'_> {
    SocketCaller { fs: &env.fs, caller: env.caller(), creds: env.ucred() }
}

fn unix_kind(domain: u32, kind: u32, protocol: u32) -> Result<(UnixKind, u32), Errno> {
    let flags = kind & !0xf;
    if flags & !(o::NONBLOCK | o::CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    if kind & 0xf >= SOCK_MAX {
        return Err(Errno::EINVAL);
    }
    if domain != 1 {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol > 1 {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let kind = UnixKind::from_type(kind & 0xf).ok_or(Errno::ESOCKTNOSUPPORT)?;
    Ok((kind, flags))
}

/// socket(2).
pub fn socket(ctx: &mut SyscallContext<'_>, domain: u32, kind: u32, protocol: u32) -> SyscallResult {
    let (kind, flags) = unix_kind(domain, kind, protocol)?;
    let env = Env::new(ctx);
    let file = UnixSocket::create(&env.fs.ns.vfs, kind, flags, env.owner())?;
    install(ctx, file, flags & o::CLOEXEC != 0)
}

/// socketpair(2).
pub fn socketpair(ctx: &mut SyscallContext<'_>, domain: u32, kind: u32, protocol: u32, out: UserAddr) -> SyscallResult {
    let (kind, flags) = unix_kind(domain, kind, protocol)?;
    let env = Env::new(ctx);
    let files = UnixSocket::create_pair(&env.fs.ns.vfs, kind, flags, env.ucred())?;
    install_pair(ctx, files, flags & o::CLOEXEC != 0, out)
}

fn address(ctx: &SyscallContext<'_>, addr: UserAddr, len: i32) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len)
        .ok()
        .filter(|n| bevor_abi::mutant!("unix/address-length", *n <= MAX_ADDR, *n < MAX_ADDR))
        .ok_or(Errno::EINVAL)?;
    let mut out = vec![0; len];
    if len > 0 {
        ctx.copy_in(addr, &mut out)?;
    }
    Ok(out)
}

/// Stores an address and its true length; the address is cut to the room given.
fn store_address(ctx: &SyscallContext<'_>, addr: UserAddr, len_at: UserAddr, value: &[u8]) -> Result<(), Errno> {
    if addr.is_null() {
        return Ok(());
    }
    let room: i32 = ctx.copy_in_value(len_at)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let n = room.min(value.len());
    if n > 0 {
        ctx.copy_out(addr, &value[..n])?;
    }
    ctx.copy_out_value(len_at, &u32::try_from(bevor_abi::mutant!("unix/name-length", value.len(), n)).unwrap_or(0))
}

/// bind(2).
pub fn bind(ctx: &mut SyscallContext<'_>, fd: Fd, addr: UserAddr, len: i32) -> SyscallResult {
    let file = ctx.file(fd)?;
    let env = Env::new(ctx);
    with_socket(&file, |_| ())?;
    let addr = address(ctx, addr, len)?;
    with_socket(&file, |s| s.bind(&caller(&env), &addr))??;
    Ok(0)
}

/// listen(2).
pub fn listen(ctx: &mut SyscallContext<'_>, fd: Fd, backlog: i32) -> SyscallResult {
    let file = ctx.file(fd)?;
    let env = Env::new(ctx);
    with_socket(&file, |s| s.listen(&caller(&env), backlog))??;
    Ok(0)
}

/// connect(2).
pub fn connect(ctx: &mut SyscallContext<'_>, fd: Fd, addr: UserAddr, len: i32) -> SyscallResult {
    let file = ctx.file(fd)?;
    with_socket(&file, |_| ())?;
    let addr = address(ctx, addr, len)?;
    let env = Env::new(ctx);
    match with_socket(&file, |s| s.connect(&caller(&env), &addr))? {
        Err(Errno::EAGAIN) => {
            let timeout = with_socket(&file, |s| s.timeout(true))?;
            let listener = with_socket(&file, |s| s.room_queue(&caller(&env), Some(&addr)))?;
            Err(wait_for_either(ctx, &file, listener.as_ref(), PollEvents::OUT, false, timeout))
        }
        other => Ok(other.map(|()| 0)?),
    }
}

/// accept4(2).
pub fn accept4(ctx: &mut SyscallContext<'_>, fd: Fd, addr: UserAddr, len_at: UserAddr, flags: u32) -> SyscallResult {
    if flags & !(o::NONBLOCK | o::CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = ctx.file(fd)?;
    let env = Env::new(ctx);
    let accepted = match with_socket(&file, |s| {
        s.accept(&caller(&env), (flags | bevor_abi::mutant!("unix/accept-nonblock", 0, file.flags())) & o::NONBLOCK)
    })? {
        Err(Errno::EAGAIN) => {
            let timeout = with_socket(&file, |s| s.timeout(false))?;
            return Err(wait_for(ctx, &file, PollEvents::IN, false, timeout));
        }
        // Nobody comes any more: who would wait is told so.
        Err(Errno::ESHUTDOWN) => return Err(if file.is_nonblocking() { Errno::EAGAIN } else { Errno::EINVAL }.into()),
        other => other?,
    };
    if !addr.is_null() {
        let peer = with_socket(&accepted, |s| s.peer_name())?.map_err(|_| Errno::ECONNABORTED)?;
        store_address(ctx, addr, len_at, &peer)?;
    }
    install(ctx, accepted, flags & o::CLOEXEC != 0 && !bevor_abi::mutated!("unix/accept-cloexec"))
}

/// accept(2).
pub fn accept(ctx: &mut SyscallContext<'_>, fd: Fd, addr: UserAddr, len_at: UserAddr) -> SyscallResult {
    accept4(ctx, fd, addr, len_at, 0)
}

/// shutdown(2).
pub fn shutdown(ctx: &mut SyscallContext<'_>, fd: Fd, how: u32) -> SyscallResult {
    let file = ctx.file(fd)?;
    with_socket(&file, |s| s.shutdown(how))??;
    Ok(0)
}

/// getsockname(2).
pub fn getsockname(ctx: &mut SyscallContext<'_>, fd: Fd, addr: UserAddr, len_at: UserAddr) -> SyscallResult {
    let file = ctx.file(fd)?;
    let name = with_socket(&file, |s| s.name())??;
    store_address(ctx, addr, len_at, &name)?;
    Ok(0)
}

/// getpeername(2).
pub fn getpeername(ctx: &mut SyscallContext<'_>, fd: Fd, addr: UserAddr, len_at: UserAddr) -> SyscallResult {
    let file = ctx.file(fd)?;
    let name = with_socket(&file, |s| s.peer_name())??;
    store_address(ctx, addr, len_at, &name)?;
    Ok(0)
}

/// setsockopt(2).
pub fn setsockopt(ctx: &mut SyscallContext<'_>, fd: Fd, level: i32, option: i32, value: UserAddr, len: i32) -> SyscallResult {
    let file = ctx.file(fd)?;
    with_socket(&file, |_| ())?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let mut bytes = vec![0; len.min(256)];
    if !bytes.is_empty() {
        ctx.copy_in(value, &mut bytes)?;
    }
    with_socket(&file, |s| s.set_option(level, option, &bytes))??;
    Ok(0)
}

/// getsockopt(2).
pub fn getsockopt(
    ctx: &mut SyscallContext<'_>,
    fd: Fd,
    level: i32,
    option: i32,
    value: UserAddr,
    len_at: UserAddr,
) -> SyscallResult {
    let file = ctx.file(fd)?;
    with_socket(&file, |_| ())?;
    let room: i32 = ctx.copy_in_value(len_at)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let bytes = with_socket(&file, |s| s.option(level, option))??;
    let n = room.min(bytes.len());
    if n > 0 {
        ctx.copy_out(value, &bytes[..n])?;
    }
    ctx.copy_out_value(len_at, &u32::try_from(bevor_abi::mutant!("unix/option-length", n, room)).unwrap_or(0))?;
    Ok(0)
}

/// How much of a stream is copied in at once.
const STEP: usize = 256 << 10;

/// How much of a stream Linux puts into one buffer.
const STREAM_BUFFER: usize = 4096 - 320 + 32768;

/// What is sent next: a message as a whole, a stream in steps.
enum Outgoing {
    Data(UserSource),
    Not(Unreadable),
}

impl Outgoing {
    fn get(&mut self) -> &mut dyn DataSource {
        match self {
            Self::Data(source) => source,
            Self::Not(source) => source,
        }
    }
}

fn gather(ctx: &SyscallContext<'_>, iov: &[IoVec], done: usize, longest: usize) -> Result<Outgoing, Errno> {
    let left = total(iov) - done;
    if left > longest && ctx.task.kernel.options.defences.has(Defence::Objects) {
        return Ok(Outgoing::Not(Unreadable { len: left, errno: Errno::EMSGSIZE }));
    }
    let stream = longest == usize::MAX;
    let len = if stream { left.min(STEP) } else { left };
    // Who cannot be sent anything says so first.
    let unreadable = Ok(Outgoing::Not(Unreadable { len, errno: Errno::EFAULT }));
    let Ok(mut source) = UserSource::gather(&**ctx.thread, iov, done, len) else { return unreadable };
    let got = source.remaining();
    if got < len {
        // A message goes as a whole or not at all, and a stream's data buffer by buffer.
        let whole = if stream { got - got % STREAM_BUFFER } else { 0 };
        if whole == 0 {
            return unreadable;
        }
        source.cut(whole);
    }
    Ok(Outgoing::Data(source))
}

/// write(2) on a socket.
pub fn write(ctx: &mut SyscallContext<'_>, file: &Arc<File>, iov: &[IoVec], nowait: bool) -> SyscallResult {
    do_send(ctx, file, iov, None, &Control::default(), if nowait { msg::DONTWAIT } else { 0 })
}

/// The phase of a send that slept.
const SLEPT: u32 = 1;

fn do_send(
    ctx: &mut SyscallContext<'_>,
    file: &Arc<File>,
    iov: &[IoVec],
    to: Option<&[u8]>,
    control: &Control,
    flags: u32,
) -> SyscallResult {
    let stream = with_socket(file, |s| s.kind().1 == 1)?;
    let longest = with_socket(file, |s| s.max_message())?;
    let want = total(iov);
    let env = Env::new(ctx);
    // SCM_CREDENTIALS are the real ids, unlike SO_PEERCRED.
    let creds = bevor_abi::mutant!(
        "unix/effective-sender",
        UnixCredentials { uid: env.creds.uid, gid: env.creds.gid, ..env.ucred() },
        env.ucred()
    );
    let sender = SocketCaller { creds, ..caller(&env) };
    let mut done = if stream { ctx.progress.done.min(want) } else { 0 };
    let nothing = Control::default();
    loop {
        let mut source = match gather(ctx, iov, done, longest) {
            Err(_) if done > 0 => return Ok(to_u64(done)),
            source => source?,
        };
        // Files travel with the first byte only.
        let with = if done == 0 { control } else { &nothing };
        match with_socket(file, |s| s.send(&sender, to, source.get(), with, flags))? {
            Ok(n) => {
                done += n;
                if !stream || n == 0 || done >= want {
                    return Ok(to_u64(done));
                }
            }
            Err(Errno::EAGAIN) => {
                (ctx.progress.done, ctx.progress.phase) = (done, SLEPT);
                let timeout = with_socket(file, |s| s.timeout(true))?;
                let nonblocking = flags & msg::DONTWAIT != 0 && !bevor_abi::mutated!("unix/dontwait") || file.is_nonblocking();
                // A datagram's receiver knows its own peer only.
                let receiver = if stream || nonblocking { None } else { with_socket(file, |s| s.room_queue(&sender, to))? };
                let e = wait_for_either(ctx, file, receiver.as_ref(), PollEvents::OUT, nonblocking, timeout);
                if done > 0 && !matches!(e, SyscallError::Block) {
                    return Ok(to_u64(done));
                }
                return Err(e);
            }
            Err(e) => {
                if done > 0 {
                    return Ok(to_u64(done));
                }
                // Who waits for room hears of an error of the socket first.
                if ctx.progress.phase == SLEPT
                    && !bevor_abi::mutated!("unix/slept-error")
                    && let Ok(code) = with_socket(file, |s| s.option(SOL_SOCKET, SO_ERROR))?
                    && code.iter().any(|byte| *byte != 0)
                {
                    return Err(Errno::ECONNRESET.into());
                }
                if e == Errno::EPIPE
                    && (flags & msg::NOSIGNAL == 0 || bevor_abi::mutated!("unix/nosignal"))
                    && (stream || bevor_abi::mutated!("unix/packet-signal"))
                {
                    ctx.raise_sigpipe();
                }
                return Err(e.into());
            }
        }
    }
}

fn do_receive(ctx: &mut SyscallContext<'_>, file: &Arc<File>, iov: &IoVecs, flags: u32) -> Result<Received, SyscallError> {
    let want = total(iov);
    let stream = with_socket(file, |s| s.kind().1 == 1)?;
    // MSG_WAITALL: what came earlier is in the buffer already.
    let before = if stream && flags & msg::WAITALL != 0 { ctx.progress.done.min(want) } else { 0 };
    let mut sink = UserSink::new(&**ctx.thread, iov, before, want - before);
    match with_socket(file, |s| s.receive(&mut sink, flags))? {
        Ok(mut r) => {
            // Of what did not arrive nothing is told: a message comes as a whole.
            if sink.finish()? < r.len {
                return Err(Errno::EFAULT.into());
            }
            let got = r.len;
            r.len += before;
            r.full_len += before;
            let more = stream && flags & (msg::WAITALL | msg::PEEK) == msg::WAITALL && got > 0 && r.len < want;
            if more && r.files.is_empty() && !bevor_abi::mutated!("unix/waitall-short") {
                ctx.progress.done = r.len;
                return match wait_for(ctx, file, PollEvents::IN, flags & msg::DONTWAIT != 0, 0) {
                    SyscallError::Block => Err(SyscallError::Block),
                    _ => Ok(r),
                };
            }
            Ok(r)
        }
        Err(Errno::EAGAIN) => {
            let timeout = with_socket(file, |s| s.timeout(false))?;
            match wait_for(ctx, file, PollEvents::IN, flags & msg::DONTWAIT != 0, timeout) {
                SyscallError::Block => Err(SyscallError::Block),
                _ if before > 0 => Ok(Received { len: before, full_len: before, ..Received::default() }),
                e => Err(e),
            }
        }
        Err(_) if before > 0 => Ok(Received { len: before, full_len: before, ..Received::default() }),
        Err(e) => Err(e.into()),
    }
}

/// sendto(2).
pub fn sendto(
    ctx: &mut SyscallContext<'_>,
    fd: Fd,
    buf: UserAddr,
    len: usize,
    flags: u32,
    addr: UserAddr,
    addr_len: i32,
) -> SyscallResult {
    let file = ctx.file(fd)?;
    with_socket(&file, |_| ())?;
    let to = if addr.is_null() || addr_len == 0 && !bevor_abi::mutated!("unix/empty-address") {
        None
    } else {
        Some(address(ctx, addr, addr_len)?)
    };
    let iov = single(buf, len)?;
    do_send(ctx, &file, &iov, to.as_deref(), &Control::default(), flags)
}

/// The sender's address; empty if it has none. That of a connection is its peer's.
fn sender(file: &File, r: &Received) -> Result<Vec<u8>, Errno> {
    with_socket(file, |s| match s.kind().1 {
        2 => r.from.clone(),
        1 if r.len == 0 => Vec::new(),
        _ => s.peer_name().ok().filter(|name| name.len() > 2).unwrap_or_default(),
    })
}

/// recvfrom(2).
pub fn recvfrom(
    ctx: &mut SyscallContext<'_>,
    fd: Fd,
    buf: UserAddr,
    len: usize,
    flags: u32,
    addr: UserAddr,
    len_at: UserAddr,
) -> SyscallResult {
    let file = ctx.file(fd)?;
    with_socket(&file, |_| ())?;
    let iov = single(buf, len)?;
    let r = do_receive(ctx, &file, &iov, flags)?;
    if !addr.is_null() {
        store_address(ctx, addr, len_at, &sender(&file, &r)?)?;
    }
    Ok(to_u64(if flags & msg::TRUNC != 0 && !bevor_abi::mutated!("unix/trunc-length") { r.full_len } else { r.len }))
}

/// `struct msghdr`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct MsgHdr {
    name: u64,
    name_len: u32,
    pad: u32,
    iov: u64,
    iov_len: u64,
    control: u64,
    control_len: u64,
    flags: u32,
    pad2: u32,
}

const CMSG_HEADER: usize = 16;

/// Reads ancillary data that is to be sent.
fn parse_control(ctx: &SyscallContext<'_>, header: &MsgHdr, env: &Env) -> Result<Control, Errno> {
    let privileged = env.creds.capable(Capability::SysResource) || env.creds.capable(Capability::SysAdmin);
    let max_in_flight = if privileged { u64::MAX } else { hooks::nofile_limit(ctx) };
    let mut control = Control { user: env.creds.uid, max_in_flight, ..Control::default() };
    let len = to_usize(header.control_len);
    if header.control == 0 || len == 0 {
        return Ok(control);
    }
    if len > MAX_CONTROL {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = vec![0; len];
    ctx.copy_in(UserAddr(header.control), &mut bytes)?;
    let mut at = 0;
    while bytes.len() - at >= CMSG_HEADER {
        let field = |i: usize| bytes[at + i..].first_chunk().map_or(0, |b| i32::from_le_bytes(*b));
        let size = bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let size = to_usize(size);
        if size < CMSG_HEADER || size > bytes.len() - at {
            return Err(Errno::EINVAL);
        }
        let (level, kind) = (field(8), field(12));
        let data = &bytes[at + CMSG_HEADER..at + size];
        if level == SOL_SOCKET {
            match kind {
                SCM_RIGHTS => {
                    for fd in data.chunks_exact(4) {
                        let fd = fd.first_chunk().map_or(-1, |b| i32::from_le_bytes(*b));
                        control.files.push(ctx.file_any(Fd(fd))?);
                    }
                }
                SCM_CREDENTIALS => control.creds = Some(check_creds(data, env)?),
                _ => return Err(Errno::EINVAL),
            }
        }
        at = (at + size.next_multiple_of(8)).min(bytes.len());
    }
    Ok(control)
}

fn check_creds(data: &[u8], env: &Env) -> Result<UnixCredentials, Errno> {
    let bytes: &[u8; 12] = data.try_into().map_err(|_| Errno::EINVAL)?;
    let word = |i: usize| bytes[i..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    let given = UnixCredentials { pid: word(0).cast_signed(), uid: word(4), gid: word(8) };
    let c = &env.creds;
    let pid_ok = given.pid == env.ucred().pid || bevor_abi::mutated!("unix/forged-pid") || c.capable(Capability::SysAdmin);
    let uid_ok = [c.uid, c.euid, c.suid].contains(&given.uid) || c.capable(Capability::Setuid);
    let gid_ok = [c.gid, c.egid, c.sgid].contains(&given.gid) || c.capable(Capability::Setgid);
    if pid_ok && uid_ok && gid_ok { Ok(given) } else { Err(Errno::EPERM) }
}

fn send_header(ctx: &mut SyscallContext<'_>, fd: Fd, at: UserAddr, flags: u32) -> SyscallResult {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = ctx.file(fd)?;
    with_socket(&file, |_| ())?;
    let header: MsgHdr = ctx.copy_in_value(at)?;
    let iov = copy_in_iovecs(ctx, UserAddr(header.iov), to_usize(header.iov_len)).map_err(too_many)?;
    let env = Env::new(ctx);
    let to = if header.name == 0 || header.name_len == 0 {
        None
    } else {
        Some(address(ctx, UserAddr(header.name), header.name_len.cast_signed())?)
    };
    let control = parse_control(ctx, &header, &env)?;
    do_send(ctx, &file, &iov, to.as_deref(), &control, flags)
}

/// More than UIO_MAXIOV buffers are EMSGSIZE for messages.
fn too_many(e: Errno) -> Errno {
    if e == Errno::EINVAL && !bevor_abi::mutated!("unix/iov-count") { Errno::EMSGSIZE } else { e }
}

/// sendmsg(2).
pub fn sendmsg(ctx: &mut SyscallContext<'_>, fd: Fd, header: UserAddr, flags: u32) -> SyscallResult {
    send_header(ctx, fd, header, flags)
}

/// Lays out received ancillary data; puts passed files into the table. Returns the bytes and whether something did not fit.
fn build_control(ctx: &SyscallContext<'_>, r: &mut Received, room: usize, cloexec: bool) -> (Vec<u8>, bool) {
    let mut out: Vec<u8> = Vec::new();
    let mut cut = false;
    let header = |out: &mut Vec<u8>, len: usize, kind: i32| {
        out.extend_from_slice(&to_u64(CMSG_HEADER + len).to_le_bytes());
        out.extend_from_slice(&SOL_SOCKET.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
    };
    if let Some(c) = r.creds {
        if room >= CMSG_HEADER + 12 {
            header(&mut out, 12, SCM_CREDENTIALS);
            out.extend_from_slice(&c.pid.to_le_bytes());
            out.extend_from_slice(&c.uid.to_le_bytes());
            out.extend_from_slice(&c.gid.to_le_bytes());
            out.resize(out.len().next_multiple_of(8).min(room), 0);
        } else {
            cut = true;
        }
    }
    if !r.files.is_empty() {
        let fit = room.saturating_sub(out.len() + CMSG_HEADER) / 4;
        cut |= fit < r.files.len();
        let fit = bevor_abi::mutant!("unix/rights-all-or-none", fit, if cut { 0 } else { fit });
        let limit = hooks::nofile_limit(ctx);
        let table = ctx.files();
        let mut fds = Vec::new();
        for file in r.files.drain(..).take(fit) {
            match table.alloc(file, cloexec, 0, limit) {
                Ok(fd) => fds.push(fd),
                Err(_) => {
                    cut = true;
                    break;
                }
            }
        }
        if !fds.is_empty() {
            header(&mut out, fds.len() * 4, SCM_RIGHTS);
            for fd in fds {
                out.extend_from_slice(&fd.0.to_le_bytes());
            }
            out.resize(out.len().next_multiple_of(8).min(room), 0);
        }
    }
    (out, cut)
}

fn receive_header(ctx: &mut SyscallContext<'_>, fd: Fd, at: UserAddr, flags: u32) -> SyscallResult {
    if flags & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = ctx.file(fd)?;
    with_socket(&file, |_| ())?;
    let mut header: MsgHdr = ctx.copy_in_value(at)?;
    let iov = copy_in_iovecs(ctx, UserAddr(header.iov), to_usize(header.iov_len)).map_err(too_many)?;
    let mut r = do_receive(ctx, &file, &iov, flags)?;
    let room = to_usize(header.control_len).min(MAX_CONTROL);
    let room = if header.control == 0 { 0 } else { room };
    let (control, cut) =
        build_control(ctx, &mut r, room, flags & msg::CMSG_CLOEXEC != 0 && !bevor_abi::mutated!("unix/cmsg-cloexec"));
    if header.name != 0 {
        let from = sender(&file, &r)?;
        let n = to_usize(u64::from(header.name_len)).min(from.len());
        if n > 0 {
            ctx.copy_out(UserAddr(header.name), &from[..n])?;
        }
        header.name_len = u32::try_from(from.len()).unwrap_or(0);
    }
    if !control.is_empty() {
        ctx.copy_out(UserAddr(header.control), &control)?;
    }
    header.control_len = to_u64(control.len());
    header.flags = r.flags | if cut && !bevor_abi::mutated!("unix/ctrunc") { msg::CTRUNC } else { 0 } | flags & msg::CMSG_CLOEXEC;
    ctx.copy_out_value(at, &header)?;
    Ok(to_u64(if flags & msg::TRUNC != 0 { r.full_len } else { r.len }))
}

/// recvmsg(2).
pub fn recvmsg(ctx: &mut SyscallContext<'_>, fd: Fd, header: UserAddr, flags: u32) -> SyscallResult {
    receive_header(ctx, fd, header, flags)
}

/// Size of `struct mmsghdr`.
const MMSG: u64 = 64;
const MAX_MESSAGES: u32 = 1024;

/// sendmmsg(2). Messages that went out count; the first failure shows only if none did.
pub fn sendmmsg(ctx: &mut SyscallContext<'_>, fd: Fd, vector: UserAddr, count: u32, flags: u32) -> SyscallResult {
    many(ctx, vector, count, |ctx, at, _| send_header(ctx, fd, at, flags))
}

/// recvmmsg(2).
pub fn recvmmsg(
    ctx: &mut SyscallContext<'_>,
    fd: Fd,
    vector: UserAddr,
    count: u32,
    flags: u32,
    timeout: UserAddr,
) -> SyscallResult {
    if !bevor_abi::mutated!("recvmmsg/timeout") {
        super::poll::Wait::timespec(ctx, timeout)?;
    }
    many(ctx, vector, count, |ctx, at, index| {
        let later = flags & msg::WAITFORONE != 0 && index > 0 && !bevor_abi::mutated!("unix/waitforone");
        let flags = flags & !msg::WAITFORONE | if later { msg::DONTWAIT } else { 0 };
        receive_header(ctx, fd, at, flags)
    })
}

fn many(
    ctx: &mut SyscallContext<'_>,
    vector: UserAddr,
    count: u32,
    mut one: impl FnMut(&mut SyscallContext<'_>, UserAddr, u64) -> SyscallResult,
) -> SyscallResult {
    let count = u64::from(count.min(MAX_MESSAGES));
    let mut index = ctx.progress.value;
    // Each message may have a thousand parts.
    while index < count && !(index > 0 && ctx.task.is_dying()) {
        let at = vector.add(index * MMSG)?;
        match one(ctx, at, index) {
            Ok(_) if bevor_abi::mutated!("unix/sendmmsg-length") => {}
            Ok(n) => ctx.copy_out_value(at.add(56)?, &u32::try_from(n).unwrap_or(u32::MAX))?,
            Err(SyscallError::Block) => {
                ctx.progress.value = bevor_abi::mutant!("unix/recvmmsg-progress", index, 0);
                return Err(SyscallError::Block);
            }
            Err(_) if index > 0 => break,
            Err(e) => return Err(e),
        }
        ctx.progress.done = 0;
        index += 1;
    }
    Ok(index)
}
