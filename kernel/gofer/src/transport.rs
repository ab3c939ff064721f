//! One packet, perhaps with one descriptor, over a `SOCK_SEQPACKET` socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bevor_abi::Errno;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// How often to look for a packet before sleeping. One look costs about 0.2 µs.
const SPINS: u32 = 150;

/// One end of the connection.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: OwnedFd,
    /// 0 where only one CPU is allowed: the peer can't run while we spin.
    spins: u32,
}

/// Translates a host error.
pub(crate) fn errno(e: rustix::io::Errno) -> Errno {
    Errno::from_code(e.raw_os_error()).unwrap_or(Errno::EIO)
}

impl Transport {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        let cpus = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
        Self {
            socket,
            spins: if cpus > 1 { SPINS } else { 0 },
        }
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
    ///
    /// With `spin`, looks for a while before it sleeps.
    pub(crate) fn receive(&self, buf: &mut [u8], spin: bool) -> Result<Option<(usize, Option<OwnedFd>)>, Errno> {
        if spin {
            for _ in 0..self.spins {
                match self.receive_once(buf, RecvFlags::DONTWAIT) {
                    Err(Errno::EAGAIN | Errno::EINTR) => std::hint::spin_loop(),
                    other => return other,
                }
            }
        }
        loop {
            match self.receive_once(buf, RecvFlags::empty()) {
                Err(Errno::EINTR) => {}
                // A socket that was made non-blocking by whoever shares it.
                Err(Errno::EAGAIN) => self.wait()?,
                other => return other,
            }
        }
    }

    fn receive_once(&self, buf: &mut [u8], flags: RecvFlags) -> Result<Option<(usize, Option<OwnedFd>)>, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(buf)],
            &mut control,
            flags | RecvFlags::CMSG_CLOEXEC,
        )
        .map_err(errno)?;
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

    fn wait(&self) -> Result<(), Errno> {
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(errno(e)),
        }
    }
}
