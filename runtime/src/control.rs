//! The line between the command and the sandbox: signals go in, the exit status comes out. Each end sees the other's death.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg,
    socketpair,
};

/// One end.
#[derive(Debug)]
pub(crate) struct Control(OwnedFd);

/// A message, in two bytes: a letter and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// To the sandbox: its id maps are written, it may go on.
    Go,
    /// To the sandbox: deliver this signal to its first process.
    Signal(u8),
    /// From the sandbox: how its first process ended, as a shell would say.
    Exit(u8),
    /// From the sandbox: a failure of Bevor's own, already reported on stderr.
    Failed,
}

impl Control {
    /// Both ends: the command's and the sandbox's.
    pub(crate) fn pair() -> rustix::io::Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(a), Self(b)))
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// A second handle on the same end.
    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Whether the other end is gone.
    pub(crate) fn is_closed(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|n| n > 0) && fds[0].revents().contains(PollFlags::HUP)
    }

    pub(crate) fn send(&self, message: Message) -> rustix::io::Result<()> {
        let packet = match message {
            Message::Go => [b'g', 0],
            Message::Signal(n) => [b's', n],
            Message::Exit(n) => [b'x', n],
            Message::Failed => [b'f', 0],
        };
        // Never waits: a peer that does not read loses signals, as a process with a full queue would.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.0, &[IoSlice::new(&packet)], &mut SendAncillaryBuffer::default(), flags).map(drop)
    }

    /// The next message; `None` when the other end is gone (or talks nonsense).
    pub(crate) fn receive(&self) -> Option<Message> {
        self.get(RecvFlags::empty())
    }

    /// The next message if there is one.
    pub(crate) fn poll(&self) -> Option<Message> {
        self.get(RecvFlags::DONTWAIT)
    }

    fn get(&self, flags: RecvFlags) -> Option<Message> {
        let mut packet = [0; 2];
        loop {
            let received = recvmsg(&self.0, &mut [IoSliceMut::new(&mut packet)], &mut RecvAncillaryBuffer::default(), flags);
            return match received.map(|r| r.bytes) {
                Ok(2) => match packet {
                    [b'g', 0] => Some(Message::Go),
                    [b's', n] => Some(Message::Signal(n)),
                    [b'x', n] => Some(Message::Exit(n)),
                    [b'f', 0] => Some(Message::Failed),
                    _ => None,
                },
                // Said once, and before what the other end has sent, when it is gone without having read all.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => continue,
                _ => None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, Message};

    #[test]
    fn the_last_word_arrives_from_an_end_that_was_still_being_talked_to() {
        let (command, sandbox) = Control::pair().unwrap();
        sandbox.send(Message::Exit(143)).unwrap();
        command.send(Message::Signal(15)).unwrap();
        drop(sandbox);
        assert_eq!(command.poll(), Some(Message::Exit(143)));
        assert_eq!(command.poll(), None);
    }
}
