//! AF_UNIX sockets (unix(7)): stream, datagram and sequenced packets, with ancillary data.

mod address;
mod collect;
mod in_flight;
mod options;
mod transfer;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bevor_abi::fs::o;
use bevor_abi::{Errno, UserAddr};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::context::SyscallContext;
use crate::error::SyscallResult;
use crate::io::{DataSink, DataSource};
use crate::memory::{Charge, Kind, ObjectCharge};
use crate::socket::{Control, ROOM_FOR_OTHERS, Received, Socket, SocketCaller, UnixCredentials};
use crate::vfs::{File, FileOps, Vfs};
use crate::wait::{PollEvents, WaitQueue};
use address::Bound;
pub use collect::Flight;
use in_flight::InFlight;

/// AF_UNIX.
pub const AF_UNIX: u32 = 1;
/// Default SO_SNDBUF and SO_RCVBUF.
const BUFFER: usize = 212_992;
/// Whom nobody knows (overflowuid).
const OVERFLOW: u32 = 65534;
/// net.unix.max_dgram_qlen.
const MAX_DGRAM_QLEN: usize = 10;

/// Socket types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixKind {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_DGRAM.
    Datagram,
    /// SOCK_SEQPACKET.
    SeqPacket,
}

impl UnixKind {
    /// The type of this SOCK_* number (SOCK_RAW means datagram).
    #[must_use]
    pub fn from_type(kind: u32) -> Option<Self> {
        Some(match kind {
            1 => Self::Stream,
            2 | 3 => Self::Datagram,
            5 => Self::SeqPacket,
            _ => return None,
        })
    }

    fn number(self) -> u32 {
        match self {
            Self::Stream => 1,
            Self::Datagram => 2,
            Self::SeqPacket => 5,
        }
    }
}

/// A message in a receive queue.
struct Packet {
    data: Vec<u8>,
    charge: Charge,
    start: usize,
    files: InFlight,
    creds: UnixCredentials,
    from: Vec<u8>,
    /// What a message other than a stream's takes of its sender's buffer.
    _sent: Option<Sent>,
}

/// What a socket's messages take of its send buffer until they are received.
struct SendSpace {
    used: AtomicUsize,
    /// The socket's.
    queue: WaitQueue,
}

/// One message's part of it. Dropped with no lock held.
struct Sent {
    space: Arc<SendSpace>,
    size: usize,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.space.used.fetch_sub(self.size, Ordering::AcqRel);
        self.space.queue.wake(PollEvents::OUT | PollEvents::WRNORM);
    }
}

struct State {
    queue: VecDeque<Packet>,
    bytes: usize,
    peer: Option<Weak<UnixSocket>>,
    /// Was connected (a stream's peer may be gone since).
    connected: bool,
    peer_closed: bool,
    /// The peer went away with unread data: ECONNRESET once.
    reset: bool,
    shut_read: bool,
    shut_write: bool,
    /// Closed for good (SOCK_DEAD).
    dead: bool,
    bound: Option<Bound>,
    peer_addr: Vec<u8>,
    peer_creds: UnixCredentials,
    backlog: Option<usize>,
    pending: VecDeque<(Arc<UnixSocket>, ObjectCharge)>,
    /// Those who are connected to it and wait for room in its queue.
    peer_wait: FxHashMap<usize, Weak<UnixSocket>>,
    /// In whose `peer_wait` it is.
    waits_at: Option<Weak<UnixSocket>>,
    pass_creds: bool,
    send_buffer: usize,
    receive_buffer: usize,
    receive_timeout: u64,
    send_timeout: u64,
}

impl State {
    /// Whether connections are accepted.
    fn is_listening(&self) -> bool {
        self.backlog.is_some() && !self.shut_read
    }
}

/// One AF_UNIX socket.
pub struct UnixSocket {
    this: Weak<UnixSocket>,
    kind: UnixKind,
    vfs: Arc<Vfs>,
    state: Mutex<State>,
    queue: WaitQueue,
    space: Arc<SendSpace>,
    _charge: ObjectCharge,
}

impl UnixSocket {
    fn new(vfs: &Arc<Vfs>, kind: UnixKind) -> Result<Arc<Self>, Errno> {
        let charge = vfs.memory().object(Kind::Socket);
        let charge = charge.or_else(|e| if vfs.flight.collect() { vfs.memory().object(Kind::Socket) } else { Err(e) })?;
        let queue = WaitQueue::new();
        let space = Arc::new(SendSpace { used: AtomicUsize::new(0), queue: queue.clone() });
        Ok(Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            kind,
            vfs: Arc::clone(vfs),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                bytes: 0,
                peer: None,
                connected: false,
                peer_closed: false,
                reset: false,
                shut_read: false,
                shut_write: false,
                dead: false,
                bound: None,
                peer_addr: Vec::new(),
                peer_creds: UnixCredentials { pid: 0, uid: u32::MAX, gid: u32::MAX },
                backlog: None,
                pending: VecDeque::new(),
                peer_wait: FxHashMap::default(),
                waits_at: None,
                pass_creds: false,
                send_buffer: BUFFER,
                receive_buffer: BUFFER,
                receive_timeout: 0,
                send_timeout: 0,
            }),
            queue,
            space,
            _charge: charge,
        }))
    }

    fn file(self: Arc<Self>, flags: u32, owner: (u32, u32)) -> Arc<File> {
        let vfs = Arc::clone(&self.vfs);
        vfs.anon_file("socket:[{}]", 0o140_777, self, o::RDWR | flags & o::NONBLOCK, owner)
    }

    /// socket(2).
    ///
    /// # Errors
    /// ENOBUFS if there are too many.
    pub fn create(vfs: &Arc<Vfs>, kind: UnixKind, flags: u32, owner: (u32, u32)) -> Result<Arc<File>, Errno> {
        Ok(Self::new(vfs, kind)?.file(flags, owner))
    }

    /// socketpair(2).
    ///
    /// # Errors
    /// As [`UnixSocket::create`].
    pub fn create_pair(vfs: &Arc<Vfs>, kind: UnixKind, flags: u32, creds: UnixCredentials) -> Result<[Arc<File>; 2], Errno> {
        let (a, b) = (Self::new(vfs, kind)?, Self::new(vfs, kind)?);
        for (me, peer) in [(&a, &b), (&b, &a)] {
            let mut state = me.state.lock();
            state.peer = Some(Arc::downgrade(peer));
            state.connected = true;
            state.peer_creds = bevor_abi::mutant!("unix/pair-credentials", creds, state.peer_creds);
        }
        let owner = (creds.uid, creds.gid);
        Ok([a.file(flags, owner), b.file(flags, owner)])
    }

    fn peer(&self) -> Option<Arc<UnixSocket>> {
        self.state.lock().peer.as_ref().and_then(Weak::upgrade)
    }

    fn is_connection(&self) -> bool {
        self.kind != UnixKind::Datagram
    }

    /// The socket goes away: tells its peer, refuses what waits to be accepted.
    fn disconnect(&self) {
        let (peer, pending, packets, bound, waiting, waits_at) = {
            let mut state = self.state.lock();
            state.shut_read = true;
            state.shut_write = true;
            state.dead = true;
            state.bytes = 0;
            state.backlog = None;
            (
                state.peer.take().and_then(|w| w.upgrade()),
                std::mem::take(&mut state.pending),
                std::mem::take(&mut state.queue),
                state.bound.take(),
                std::mem::take(&mut state.peer_wait),
                state.waits_at.take(),
            )
        };
        self.waits_no_more(waits_at);
        if let Some(peer) = peer {
            let mut state = peer.state.lock();
            if self.is_connection() {
                state.peer_closed = true;
                state.reset |= !packets.is_empty() && !bevor_abi::mutated!("unix/close-no-reset");
            } else if state.peer.as_ref().is_some_and(|w| w.ptr_eq(&self.this)) {
                state.peer_closed = true;
            }
            drop(state);
            // A datagram socket hears of it when it sends; who waits for room at this one is woken below.
            if self.is_connection() {
                peer.queue.wake(PollEvents::all());
            }
        }
        for (socket, _charge) in pending {
            if !bevor_abi::mutated!("unix/pending-not-reset") {
                socket.reset_unaccepted();
            }
        }
        drop(bound);
        self.queue.wake(PollEvents::all());
        wake_senders(&waiting);
    }

    /// It is not connected to `peer` any more, where it waited.
    fn waits_no_more(&self, peer: Option<Weak<UnixSocket>>) {
        if let Some(peer) = peer.and_then(|peer| peer.upgrade()) {
            peer.state.lock().peer_wait.remove(&self.id());
        }
    }

    /// Waits until there is room in the queue of `peer`. One is waited for at a time: the one that it is connected to.
    fn wait_at(&self, peer: &UnixSocket) {
        let before = self.state.lock().waits_at.replace(Weak::clone(&peer.this));
        self.waits_no_more(before.filter(|before| !before.ptr_eq(&peer.this)));
        let mut state = peer.state.lock();
        if state.peer_wait.len() == state.peer_wait.capacity() {
            state.peer_wait.retain(|_, waiting| waiting.strong_count() > 0);
        }
        state.peer_wait.insert(self.id(), Weak::clone(&self.this));
    }

    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn reset_unaccepted(&self) {
        if let Some(peer) = self.peer() {
            let mut state = peer.state.lock();
            state.peer_closed = true;
            state.reset = true;
            drop(state);
            peer.queue.wake(PollEvents::all());
        }
    }

    fn poll_events(&self) -> PollEvents {
        let mut events = PollEvents::empty();
        let peer = {
            let state = self.state.lock();
            if state.backlog.is_some() {
                if !state.pending.is_empty() {
                    events |= PollEvents::IN | PollEvents::RDNORM;
                }
                if state.shut_read && !bevor_abi::mutated!("unix/listener-shut") {
                    events |= PollEvents::IN | PollEvents::RDNORM | PollEvents::RDHUP;
                    events |= if state.shut_write { PollEvents::HUP } else { PollEvents::empty() };
                }
                return events;
            }
            let ended = state.shut_read || (self.is_connection() && state.peer_closed);
            if !state.queue.is_empty() || ended {
                events |= PollEvents::IN | PollEvents::RDNORM;
            }
            if ended && !bevor_abi::mutated!("unix/half-closed") {
                events |= PollEvents::RDHUP;
            }
            if self.is_connection() && (!state.connected || state.peer_closed) {
                events |= PollEvents::HUP;
            }
            if state.shut_read && state.shut_write {
                events |= PollEvents::HUP;
            }
            if state.reset {
                events |= PollEvents::ERR;
            }
            state.peer.as_ref().and_then(Weak::upgrade)
        };
        let writable = peer.is_none_or(|p| self.has_room_in(&p));
        if writable {
            events |= PollEvents::OUT | PollEvents::WRNORM | PollEvents::WRBAND;
        }
        events
    }

    /// Whether poll(2) calls the way to `peer` writable.
    fn has_room_in(&self, peer: &UnixSocket) -> bool {
        let limit = self.state.lock().send_buffer;
        if self.kind == UnixKind::Stream {
            // Linux: writable while no more than a quarter of the buffer is taken.
            let bytes = peer.state.lock().bytes;
            return bevor_abi::mutant!("unix/poll-quarter", bytes * 4 <= limit, bytes < limit);
        }
        if self.space.used.load(Ordering::Acquire) * 4 > limit {
            return false;
        }
        if self.kind == UnixKind::Datagram && peer.is_full_for(self) {
            // Look again: it may have been emptied before it knew.
            self.wait_at(peer);
            return !peer.is_full_for(self);
        }
        true
    }

    /// Whether as many datagrams wait in the queue as there may be of others than the socket's own peer.
    fn is_full_for(&self, sender: &UnixSocket) -> bool {
        let state = self.state.lock();
        state.queue.len() > MAX_DGRAM_QLEN && !state.peer.as_ref().is_some_and(|w| w.ptr_eq(&sender.this))
    }
}

/// There is room in a queue that they wait for.
fn wake_senders(waiting: &FxHashMap<usize, Weak<UnixSocket>>) {
    for socket in waiting.values().filter_map(Weak::upgrade) {
        socket.queue.wake(PollEvents::OUT | PollEvents::WRNORM);
    }
}

impl FileOps for UnixSocket {
    fn read_at(&self, _file: &File, _offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        self.receive_message(sink, 0).map(|r| r.len)
    }
    fn write_at(&self, _file: &File, _offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        // Calls that know who writes go by way of `send`.
        let nobody = Control { creds: Some(UnixCredentials { pid: 0, uid: OVERFLOW, gid: OVERFLOW }), ..Control::default() };
        self.send_message(None, None, source, &nobody, 0)
    }
    fn poll(&self, _file: &File) -> PollEvents {
        self.poll_events()
    }
    fn queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
    fn ioctl(&self, _file: &File, ctx: &mut SyscallContext<'_>, request: u32, arg: u64) -> SyscallResult {
        let n = match request {
            0x541b => self.input_len()?,
            0x5411 => self.output_len(),
            _ => return Err(Errno::ENOTTY.into()),
        };
        ctx.copy_out_value(UserAddr(arg), &i32::try_from(n).unwrap_or(i32::MAX))?;
        Ok(0)
    }
    fn flush(&self, _file: &File) -> Result<(), Errno> {
        self.vfs.flight.closed();
        Ok(())
    }
    fn release(&self, _file: &File) {
        self.disconnect();
        self.vfs.flight.closed();
        self.vfs.flight.collect();
    }
    fn as_socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Socket for UnixSocket {
    fn kind(&self) -> (u32, u32, u32) {
        (AF_UNIX, self.kind.number(), 0)
    }
    fn bind(&self, who: &SocketCaller<'_>, addr: &[u8]) -> Result<(), Errno> {
        self.bind_address(who, addr)
    }
    fn listen(&self, who: &SocketCaller<'_>, backlog: i32) -> Result<(), Errno> {
        if !self.is_connection() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if state.bound.is_none() || state.connected && !bevor_abi::mutated!("unix/listen-connected") {
            return Err(Errno::EINVAL);
        }
        state.backlog = Some(usize::try_from(backlog).unwrap_or(bevor_abi::mutant!("unix/backlog-negative", 4096, 0)).min(4096));
        state.peer_creds = who.creds;
        drop(state);
        self.queue.wake(ROOM_FOR_OTHERS);
        Ok(())
    }
    fn accept(&self, who: &SocketCaller<'_>, flags: u32) -> Result<Arc<File>, Errno> {
        if !self.is_connection() {
            return Err(Errno::EOPNOTSUPP);
        }
        let (socket, charge, pass_creds) = {
            let mut state = self.state.lock();
            if state.backlog.is_none() {
                return Err(Errno::EINVAL);
            }
            // Who connected before a shutdown is accepted after it.
            let ended = state.shut_read && !bevor_abi::mutated!("unix/accept-shutdown");
            let none = if ended { Errno::ESHUTDOWN } else { Errno::EAGAIN };
            let (socket, charge) = state.pending.pop_front().ok_or(none)?;
            (socket, charge, state.pass_creds)
        };
        self.vfs.flight.pass();
        drop(charge);
        socket.state.lock().pass_creds = bevor_abi::mutant!("unix/accept-passcred", pass_creds, false);
        if !bevor_abi::mutated!("unix/accept-no-wake") {
            self.queue.wake(ROOM_FOR_OTHERS);
        }
        Ok(socket.file(flags, (who.caller.creds.fsuid, who.caller.creds.fsgid)))
    }
    fn connect(&self, who: &SocketCaller<'_>, addr: &[u8]) -> Result<(), Errno> {
        self.connect_to(who, addr)
    }
    fn send(
        &self,
        who: &SocketCaller<'_>,
        to: Option<&[u8]>,
        source: &mut dyn DataSource,
        control: &Control,
        flags: u32,
    ) -> Result<usize, Errno> {
        self.send_message(Some(who), to, source, control, flags)
    }
    fn receive(&self, sink: &mut dyn DataSink, flags: u32) -> Result<Received, Errno> {
        self.receive_message(sink, flags)
    }
    fn shutdown(&self, how: u32) -> Result<(), Errno> {
        let (read, write) = match how {
            0 => (true, false),
            1 => (false, true),
            2 => (true, true),
            _ if bevor_abi::mutated!("unix/shutdown-how") => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let peer = {
            let mut state = self.state.lock();
            state.shut_read |= read;
            state.shut_write |= write;
            state.peer.as_ref().and_then(Weak::upgrade)
        };
        if let Some(peer) = peer.filter(|_| self.is_connection()) {
            let mut state = peer.state.lock();
            state.shut_read |= write;
            state.shut_write |= read && !bevor_abi::mutated!("unix/shutdown-peer-writes");
            drop(state);
            peer.queue.wake(PollEvents::all());
        }
        if !bevor_abi::mutated!("unix/shutdown-no-wake") {
            self.queue.wake(PollEvents::all());
        }
        Ok(())
    }
    fn name(&self) -> Result<Vec<u8>, Errno> {
        Ok(self.state.lock().bound.as_ref().map_or_else(address::unnamed, Bound::address))
    }
    fn peer_name(&self) -> Result<Vec<u8>, Errno> {
        let state = self.state.lock();
        if !state.connected || (self.is_connection() && state.peer.is_none()) {
            return Err(Errno::ENOTCONN);
        }
        if state.peer_addr.is_empty() {
            return Ok(address::unnamed());
        }
        Ok(state.peer_addr.clone())
    }
    fn set_option(&self, level: i32, option: i32, value: &[u8]) -> Result<(), Errno> {
        self.set_socket_option(level, option, value)
    }
    fn option(&self, level: i32, option: i32) -> Result<Vec<u8>, Errno> {
        self.socket_option(level, option)
    }
    fn input_len(&self) -> Result<usize, Errno> {
        let state = self.state.lock();
        if state.backlog.is_some() {
            return Err(Errno::EINVAL);
        }
        if self.is_connection() {
            return Ok(state.bytes);
        }
        Ok(state.queue.front().map_or(0, |p| p.data.len()))
    }
    fn output_len(&self) -> usize {
        if self.kind != UnixKind::Stream {
            return self.space.used.load(Ordering::Acquire);
        }
        bevor_abi::mutant!("unix/outq-own", self.peer().map_or(0, |p| p.state.lock().bytes), self.state.lock().bytes)
    }
    fn room_queue(&self, who: &SocketCaller<'_>, to: Option<&[u8]>) -> Option<WaitQueue> {
        let receiver = match to {
            Some(addr) => self.find(who, addr).ok()?,
            None => self.peer()?,
        };
        Some(receiver.queue.clone())
    }
    fn max_message(&self) -> usize {
        if self.kind == UnixKind::Stream { usize::MAX } else { self.state.lock().send_buffer.saturating_sub(32) }
    }
    fn timeout(&self, send: bool) -> u64 {
        let state = self.state.lock();
        if bevor_abi::mutant!("unix/timeouts-swapped", send, !send) { state.send_timeout } else { state.receive_timeout }
    }
}
