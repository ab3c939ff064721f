//! One packet, perhaps with one descriptor, over a `SOCK_SEQPACKET` socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use bevor_abi::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// One end of the connection.
///
/// Both ends sleep in recvmsg(2) until a packet comes. On the reference machine a round trip takes 4 to 6 µs while the host runs
/// both ends on one CPU (it does where the other is busy), and 35 to 70 µs where it wakes an idle one. Neither polling the
/// socket nor following the client's CPU by affinity made that better; only spinning on shared memory would.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: OwnedFd,
}

/// Translates a host error.
pub(crate) fn errno(e: rustix::io::Errno) -> Errno {
    Errno::from_code(e.raw_os_error()).unwrap_or(Errno::EIO)
}

impl Transport {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends one packet. Blocks while the peer's queue is full.
    pub(crate) fn send(&self, packet: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = fd.map(|fd| [fd]);
        if let Some(fds) = &fds {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        loop {
            match sendmsg(&self.socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(errno(e)),
            }
        }
    }

    /// Receives one packet into `buf`: its length, and a descriptor if one came. `None` when the peer has gone.
    pub(crate) fn receive(&self, buf: &mut [u8]) -> Result<Option<(usize, Option<OwnedFd>)>, Errno> {
        loop {
            match self.receive_once(buf) {
                Err(Errno::EINTR) => {}
                other => return other,
            }
        }
    }

    fn receive_once(&self, buf: &mut [u8]) -> Result<Option<(usize, Option<OwnedFd>)>, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.socket, &mut [IoSliceMut::new(buf)], &mut control, RecvFlags::CMSG_CLOEXEC).map_err(errno)?;
        let mut fd = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                // Any beyond the first are closed as they are dropped.
                for received in fds {
                    fd.get_or_insert(received);
                }
            }
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(Errno::EMSGSIZE);
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        Ok(Some((received.bytes, fd)))
    }
}
