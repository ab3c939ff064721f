//! What every socket family implements, and messages with ancillary data.

use std::sync::Arc;

use bevor_abi::Errno;

use crate::io::{DataSink, DataSource};
use crate::vfs::{Caller, File, FsContext};
use crate::wait::{PollEvents, WaitQueue};

/// What those are woken by who wait in a receiver's or listener's queue for room there: no event that is told of the socket itself.
pub const ROOM_FOR_OTHERS: PollEvents = PollEvents::MSG;

/// Message flags (MSG_*).
#[allow(missing_docs)]
pub mod msg {
    pub const OOB: u32 = 0x1;
    pub const PEEK: u32 = 0x2;
    pub const DONTROUTE: u32 = 0x4;
    pub const CTRUNC: u32 = 0x8;
    pub const TRUNC: u32 = 0x20;
    pub const DONTWAIT: u32 = 0x40;
    pub const EOR: u32 = 0x80;
    pub const WAITALL: u32 = 0x100;
    pub const NOSIGNAL: u32 = 0x4000;
    pub const MORE: u32 = 0x8000;
    pub const WAITFORONE: u32 = 0x10000;
    pub const CMSG_CLOEXEC: u32 = 0x4000_0000;
}

/// `struct ucred`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnixCredentials {
    /// Process.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Ancillary data that is sent.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// SCM_RIGHTS.
    pub files: Vec<Arc<File>>,
    /// SCM_CREDENTIALS; the sender's own if not given.
    pub creds: Option<UnixCredentials>,
    /// The sender's real user id.
    pub user: u32,
    /// How many files it may have in flight before it sends more.
    pub max_in_flight: u64,
}

/// What recvmsg(2) got besides data.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes stored.
    pub len: usize,
    /// The datagram's full length (differs when truncated).
    pub full_len: usize,
    /// Sender's address as `struct sockaddr`, empty if none.
    pub from: Vec<u8>,
    /// SCM_RIGHTS.
    pub files: Vec<Arc<File>>,
    /// SCM_CREDENTIALS, if the socket has SO_PASSCRED.
    pub creds: Option<UnixCredentials>,
    /// MSG_TRUNC, MSG_EOR ...
    pub flags: u32,
}

/// Who makes a socket call.
pub struct SocketCaller<'a> {
    /// For names in the file system.
    pub fs: &'a FsContext,
    /// For permissions.
    pub caller: Caller<'a>,
    /// Identity for SO_PEERCRED and SCM_CREDENTIALS.
    pub creds: UnixCredentials,
}

/// A socket. EAGAIN means "sleep on the file's queue, then try again" unless O_NONBLOCK or MSG_DONTWAIT. Defaults are Linux's
/// answers for a family without the operation.
#[allow(unused_variables, clippy::missing_errors_doc)]
pub trait Socket: Send + Sync {
    /// (domain, type, protocol).
    fn kind(&self) -> (u32, u32, u32);
    /// bind(2).
    fn bind(&self, who: &SocketCaller<'_>, addr: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// listen(2).
    fn listen(&self, who: &SocketCaller<'_>, backlog: i32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// accept(2): the new socket's file (flags O_NONBLOCK only).
    fn accept(&self, who: &SocketCaller<'_>, flags: u32) -> Result<Arc<File>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// connect(2).
    fn connect(&self, who: &SocketCaller<'_>, addr: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// sendmsg(2). EPIPE raises SIGPIPE unless MSG_NOSIGNAL.
    fn send(
        &self,
        who: &SocketCaller<'_>,
        to: Option<&[u8]>,
        source: &mut dyn DataSource,
        control: &Control,
        flags: u32,
    ) -> Result<usize, Errno>;
    /// recvmsg(2).
    fn receive(&self, sink: &mut dyn DataSink, flags: u32) -> Result<Received, Errno>;
    /// shutdown(2): 0 read, 1 write, 2 both.
    fn shutdown(&self, how: u32) -> Result<(), Errno>;
    /// getsockname(2).
    fn name(&self) -> Result<Vec<u8>, Errno>;
    /// getpeername(2).
    fn peer_name(&self) -> Result<Vec<u8>, Errno>;
    /// setsockopt(2).
    fn set_option(&self, level: i32, option: i32, value: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOPROTOOPT)
    }
    /// getsockopt(2).
    fn option(&self, level: i32, option: i32) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOPROTOOPT)
    }
    /// SIOCINQ / FIONREAD.
    fn input_len(&self) -> Result<usize, Errno>;
    /// SIOCOUTQ / TIOCOUTQ.
    fn output_len(&self) -> usize {
        0
    }
    /// The longest message; more is EMSGSIZE.
    fn max_message(&self) -> usize {
        usize::MAX
    }
    /// Where a call that finds no room at `to` (a datagram's receiver, a connection's listener; the peer without it) waits besides its own queue.
    fn room_queue(&self, who: &SocketCaller<'_>, to: Option<&[u8]>) -> Option<WaitQueue> {
        None
    }
    /// SO_RCVTIMEO (false) or SO_SNDTIMEO in nanoseconds; 0 is none.
    fn timeout(&self, send: bool) -> u64 {
        0
    }
}
