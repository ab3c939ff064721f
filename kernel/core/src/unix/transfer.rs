//! Sending and receiving on AF_UNIX sockets.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bevor_abi::Errno;

use super::address::Bound;
use super::in_flight::InFlight;
use super::{MAX_DGRAM_QLEN, Packet, Sent, State, UnixKind, UnixSocket, wake_senders};
use crate::io::{DataSink, DataSource};
use crate::memory::Charge;
use crate::num::to_u64;
use crate::socket::ROOM_FOR_OTHERS;
use crate::socket::{Control, Received, SocketCaller, UnixCredentials, msg};
use crate::wait::PollEvents;

/// SCM_MAX_FD.
const MAX_FILES: usize = 253;
/// What a message takes of the sandbox's memory besides its bytes.
const PACKET_COST: usize = 256;

/// What a message of `len` bytes takes of the send buffer: the buffers that Linux makes for it, so that as many fit as there.
fn true_size(len: usize) -> usize {
    /// `struct sk_buff`, and the page list at a buffer's end.
    const HEAD: usize = 256;
    const SHARED_INFO: usize = 320;
    /// The longest that is tried in one piece, and how much may lie in pages.
    const ONE_PIECE: usize = 16384 - SHARED_INFO;
    const IN_PAGES: usize = 17 * 4096;
    let pages = len.saturating_sub(ONE_PIECE).min(IN_PAGES).next_multiple_of(4096);
    let piece = ((len - pages.min(len)).next_multiple_of(64) + SHARED_INFO).next_power_of_two().max(512);
    HEAD + piece + pages
}

impl UnixSocket {
    pub(super) fn send_message(
        &self,
        who: Option<&SocketCaller<'_>>,
        to: Option<&[u8]>,
        source: &mut dyn DataSource,
        control: &Control,
        flags: u32,
    ) -> Result<usize, Errno> {
        if flags & msg::OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if control.files.len() > MAX_FILES {
            return Err(Errno::EINVAL);
        }
        let creds = control.creds.or(who.map(|w| w.creds)).unwrap_or_default();
        match self.kind {
            UnixKind::Stream => self.send_stream(to, source, control, creds),
            _ => self.send_packet(who, to, source, control, creds),
        }
    }

    /// Counts a message of `len` bytes in the sandbox's memory.
    fn charge(&self, len: usize) -> Result<Charge, Errno> {
        let charge = || Charge::new(self.vfs.memory(), to_u64(len + PACKET_COST));
        charge().or_else(|e| if self.vfs.flight.collect() { charge() } else { Err(e) }).map_err(|_| Errno::ENOBUFS)
    }

    fn connected_peer(&self) -> Result<Arc<UnixSocket>, Errno> {
        let state = self.state.lock();
        if !state.connected {
            return Err(Errno::ENOTCONN);
        }
        if state.shut_write {
            return Err(Errno::EPIPE);
        }
        state.peer.as_ref().and_then(Weak::upgrade).ok_or(Errno::EPIPE)
    }

    /// What a sender of packets is told in place of `e`. A datagram socket whose peer is gone is connected no more.
    fn refusal(&self, e: Errno) -> Errno {
        let mut state = self.state.lock();
        if self.kind != UnixKind::Datagram || e != Errno::EPIPE || state.shut_write {
            return e;
        }
        state.peer = None;
        state.connected = bevor_abi::mutated!("unix/peer-stays");
        state.peer_closed = false;
        let waits_at = state.waits_at.take();
        drop(state);
        self.waits_no_more(waits_at);
        Errno::ECONNREFUSED
    }

    fn send_stream(
        &self,
        to: Option<&[u8]>,
        source: &mut dyn DataSource,
        control: &Control,
        creds: UnixCredentials,
    ) -> Result<usize, Errno> {
        if to.is_some() && !bevor_abi::mutated!("unix/stream-address") {
            let connected = self.state.lock().connected;
            return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let peer = self.connected_peer()?;
        let (limit, peer_closed) = {
            let state = self.state.lock();
            (state.send_buffer, state.peer_closed)
        };
        let total = source.remaining();
        if total == 0 {
            return Ok(0);
        }
        let room = {
            let state = peer.state.lock();
            if state.shut_read || peer_closed {
                return Err(Errno::EPIPE);
            }
            limit.saturating_sub(state.bytes)
        };
        if room == 0 {
            return Err(Errno::EAGAIN);
        }
        // The data is in the kernel already; taking it before the lock keeps the critical section short.
        let mut data = vec![0; total.min(room)];
        let n = source.get(&mut data)?;
        data.truncate(n);
        let charge = self.charge(n)?;
        let files = InFlight::new(self.vfs.memory(), &self.vfs.flight, control)?;
        {
            let mut state = peer.state.lock();
            if state.shut_read {
                return Err(Errno::EPIPE);
            }
            state.bytes += n;
            let mergeable = control.files.is_empty()
                && state.queue.back().is_some_and(|p| p.files.is_empty() && p.creds == creds && p.data.len() + n <= 32768);
            match state.queue.back_mut() {
                Some(last) if mergeable => {
                    last.data.extend_from_slice(&data);
                    last.charge.merge(charge);
                }
                _ => {
                    state.queue.push_back(Packet { data, charge, start: 0, files, creds, from: Vec::new(), _sent: None });
                }
            }
        }
        peer.queue.wake(PollEvents::IN | PollEvents::RDNORM);
        Ok(n)
    }

    fn send_packet(
        &self,
        who: Option<&SocketCaller<'_>>,
        to: Option<&[u8]>,
        source: &mut dyn DataSource,
        control: &Control,
        creds: UnixCredentials,
    ) -> Result<usize, Errno> {
        let peer = match (to, who) {
            (Some(addr), Some(who)) if self.kind == UnixKind::Datagram => {
                if self.state.lock().shut_write {
                    return Err(Errno::EPIPE);
                }
                self.find(who, addr)?
            }
            // A connected sequence of packets ignores the address.
            _ => self.connected_peer().map_err(|e| self.refusal(e))?,
        };
        let total = source.remaining();
        let (limit, from) = {
            let state = self.state.lock();
            (state.send_buffer, state.bound.as_ref().map(Bound::address).unwrap_or_default())
        };
        if total == 0 && bevor_abi::mutated!("unix/zero-datagram") {
            return Ok(0);
        }
        if total > limit.saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        {
            let state = peer.state.lock();
            if state.shut_read {
                let dead = state.dead && !bevor_abi::mutated!("unix/dead-refuses");
                drop(state);
                return Err(match (dead, to) {
                    (true, None) => self.refusal(Errno::EPIPE),
                    (true, Some(_)) if self.kind == UnixKind::Datagram => Errno::ECONNREFUSED,
                    _ => Errno::EPIPE,
                });
            }
            let mutual = state.peer.as_ref().is_some_and(|w| w.ptr_eq(&self.this));
            if state.peer.is_some() && !mutual && !bevor_abi::mutated!("unix/foreign-sender") && self.kind == UnixKind::Datagram {
                // The receiver is connected to somebody else.
                return Err(Errno::EPERM);
            }
            if self.space.used.load(Ordering::Acquire) >= limit
                || (!mutual
                    && bevor_abi::mutant!(
                        "unix/queue-boundary",
                        state.queue.len() > MAX_DGRAM_QLEN,
                        state.queue.len() >= MAX_DGRAM_QLEN
                    ))
            {
                return Err(Errno::EAGAIN);
            }
        }
        let mut data = vec![0; total];
        let n = source.get(&mut data)?;
        data.truncate(n);
        let charge = self.charge(n)?;
        let files = InFlight::new(self.vfs.memory(), &self.vfs.flight, control)?;
        let size = true_size(n);
        self.space.used.fetch_add(size, Ordering::AcqRel);
        let sent = Some(Sent { space: Arc::clone(&self.space), size });
        {
            let mut state = peer.state.lock();
            state.bytes += n;
            state.queue.push_back(Packet { data, charge, start: 0, files, creds, from, _sent: sent });
        }
        peer.queue.wake(PollEvents::IN | PollEvents::RDNORM);
        Ok(n)
    }

    pub(super) fn receive_message(&self, sink: &mut dyn DataSink, flags: u32) -> Result<Received, Errno> {
        if flags & msg::OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let received = match self.kind {
            UnixKind::Stream => self.receive_stream(sink, flags),
            _ => self.receive_packet(sink, flags),
        }?;
        if flags & msg::PEEK == 0 {
            // Room for the sender, who sleeps on its own queue.
            if let Some(peer) = self.peer().filter(|_| !bevor_abi::mutated!("unix/drain-no-wake")) {
                peer.queue.wake(PollEvents::OUT | PollEvents::WRNORM);
            }
            if !bevor_abi::mutated!("unix/queue-no-wake") {
                self.queue.wake(bevor_abi::mutant!("unix/reader-has-room", ROOM_FOR_OTHERS, ROOM_FOR_OTHERS | PollEvents::OUT));
            }
        }
        Ok(received)
    }

    fn nothing_to_read(&self, state: &mut State) -> Result<Received, Errno> {
        if self.is_connection() && !state.connected {
            let stream = self.kind == UnixKind::Stream && !bevor_abi::mutated!("unix/recv-unconnected");
            return Err(if stream { Errno::EINVAL } else { Errno::ENOTCONN });
        }
        if state.reset {
            state.reset = false;
            return Err(Errno::ECONNRESET);
        }
        if state.shut_read || (self.is_connection() && state.peer_closed) {
            return Ok(Received::default());
        }
        Err(Errno::EAGAIN)
    }

    fn receive_stream(&self, sink: &mut dyn DataSink, flags: u32) -> Result<Received, Errno> {
        let peek = flags & msg::PEEK != 0;
        let mut out = Received::default();
        let mut state = self.state.lock();
        if state.queue.is_empty() {
            return self.nothing_to_read(&mut state);
        }
        let pass = state.pass_creds;
        let mut index = 0;
        let mut first_creds: Option<UnixCredentials> = None;
        let mut arrived = None;
        while let Some(packet) = state.queue.get_mut(index) {
            if pass && !bevor_abi::mutated!("unix/senders-glued") && first_creds.is_some_and(|c| c != packet.creds) {
                break;
            }
            let n = match sink.put(&packet.data[packet.start..]) {
                Ok(n) => n,
                Err(e) if out.len == 0 => return Err(e),
                Err(_) => break,
            };
            first_creds = Some(packet.creds);
            out.len += n;
            let had_files = !packet.files.is_empty();
            if peek {
                out.files.extend_from_slice(bevor_abi::mutant!("unix/peek-files", packet.files.peek(), &[]));
                index += 1;
            } else {
                arrived = had_files.then(|| std::mem::take(&mut packet.files));
                packet.start += n;
                let used_up = packet.start == packet.data.len();
                state.bytes -= n;
                if used_up {
                    state.queue.pop_front();
                }
            }
            if had_files && !bevor_abi::mutated!("unix/files-glued") || sink.remaining() == 0 || n == 0 {
                break;
            }
        }
        drop(state);
        match arrived {
            Some(files) => out.files = files.arrive(),
            None if !out.files.is_empty() => self.vfs.flight.pass(),
            None => {}
        }
        out.creds = first_creds.filter(|_| pass);
        out.full_len = out.len;
        Ok(out)
    }

    fn receive_packet(&self, sink: &mut dyn DataSink, flags: u32) -> Result<Received, Errno> {
        let peek = flags & msg::PEEK != 0;
        let mut state = self.state.lock();
        if state.queue.is_empty() {
            return self.nothing_to_read(&mut state);
        }
        let pass = state.pass_creds;
        let Some(packet) = state.queue.front_mut() else {
            return Err(Errno::EAGAIN);
        };
        let want = packet.data.len();
        let mut out =
            Received { full_len: want, from: packet.from.clone(), creds: pass.then_some(packet.creds), ..Received::default() };
        out.len = if want == 0 || sink.remaining() == 0 { 0 } else { sink.put(&packet.data)? };
        if out.len < want && !bevor_abi::mutated!("unix/trunc-flag") {
            out.flags |= msg::TRUNC;
        }
        if self.kind == UnixKind::SeqPacket {
            // No MSG_EOR: Linux's af_unix reports none.
            out.from.clear();
        }
        if peek && !bevor_abi::mutated!("unix/peek-takes-packet") {
            out.files = packet.files.peek().to_vec();
            drop(state);
            if !out.files.is_empty() {
                self.vfs.flight.pass();
            }
            return Ok(out);
        }
        state.bytes -= want;
        let packet = state.queue.pop_front();
        let waiting = std::mem::take(&mut state.peer_wait);
        drop(state);
        if let Some(packet) = packet {
            out.files = packet.files.arrive();
        }
        if !bevor_abi::mutated!("unix/poller-no-wake") {
            wake_senders(&waiting);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::io::{SliceSource, VecSink};
    use crate::testing::test_vfs;

    fn pair(kind: UnixKind) -> [Arc<File>; 2] {
        UnixSocket::create_pair(&test_vfs(), kind, 0, UnixCredentials::default()).unwrap()
    }

    fn socket(file: &File) -> &UnixSocket {
        file.downcast().unwrap()
    }

    fn receive(file: &File, room: usize) -> Result<(Vec<u8>, Received), Errno> {
        let mut data = Vec::new();
        let r = socket(file).receive_message(&mut VecSink { data: &mut data, room }, 0)?;
        Ok((data, r))
    }

    fn send(file: &File, data: &[u8], control: &Control) -> Result<usize, Errno> {
        socket(file).send_message(None, None, &mut SliceSource(data), control, 0)
    }

    #[test]
    fn a_stream_glues_messages_but_not_behind_passed_files() {
        let [a, b] = pair(UnixKind::Stream);
        send(&a, b"one", &Control::default()).unwrap();
        let files = Control { files: vec![Arc::clone(&a)], max_in_flight: u64::MAX, ..Control::default() };
        send(&a, b"two", &files).unwrap();
        send(&a, b"three", &Control::default()).unwrap();
        let (data, r) = receive(&b, 100).unwrap();
        assert_eq!((data.as_slice(), r.files.len()), (&b"onetwo"[..], 1));
        assert_eq!(receive(&b, 100).unwrap().0, b"three");
    }

    #[test]
    fn a_short_buffer_truncates_a_packet_and_says_so() {
        let [a, b] = pair(UnixKind::SeqPacket);
        send(&a, b"abcdef", &Control::default()).unwrap();
        send(&a, b"next", &Control::default()).unwrap();
        let (data, r) = receive(&b, 3).unwrap();
        assert_eq!((data.as_slice(), r.full_len), (&b"abc"[..], 6));
        assert!(r.flags & crate::socket::msg::TRUNC != 0);
        assert_eq!(receive(&b, 10).unwrap().0, b"next");
    }

    #[test]
    fn closing_one_end_is_end_of_file_and_epipe_for_the_other() {
        let [a, b] = pair(UnixKind::Stream);
        send(&a, b"x", &Control::default()).unwrap();
        drop(a);
        assert_eq!(receive(&b, 10).unwrap().0, b"x");
        assert_eq!(receive(&b, 10).unwrap().0, b"");
        assert_eq!(send(&b, b"y", &Control::default()), Err(Errno::EPIPE));
        assert!(b.poll().contains(PollEvents::HUP | PollEvents::IN));
    }

    #[test]
    fn closing_with_unread_data_resets_the_peer() {
        let [a, b] = pair(UnixKind::Stream);
        send(&a, b"unread", &Control::default()).unwrap();
        drop(b);
        assert_eq!(receive(&a, 10).map(|r| r.0), Err(Errno::ECONNRESET));
        assert_eq!(receive(&a, 10).map(|r| r.0), Ok(Vec::new()));
    }

    #[test]
    fn a_long_chain_of_sockets_in_flight_is_dropped_without_recursion() {
        let vfs = test_vfs();
        let mut last: Option<Arc<File>> = None;
        for _ in 0..20_000 {
            let [a, b] = UnixSocket::create_pair(&vfs, UnixKind::Stream, 0, UnixCredentials::default()).unwrap();
            if let Some(last) = last.take() {
                let control = Control { files: vec![last], max_in_flight: u64::MAX, ..Control::default() };
                send(&a, b"x", &control).unwrap();
            }
            last = Some(b);
        }
        drop(last);
        assert_eq!((vfs.memory().objects_used(Kind::Socket), vfs.memory().objects_used(Kind::FileInFlight)), (0, 0));
    }

    #[test]
    fn a_user_has_as_many_files_in_flight_as_it_may_open() {
        let vfs = test_vfs();
        let [a, b] = UnixSocket::create_pair(&vfs, UnixKind::Stream, 0, UnixCredentials::default()).unwrap();
        let control = Control { files: vec![Arc::clone(&a)], user: 7, max_in_flight: 2, ..Control::default() };
        let sent: Vec<_> = (0..4).map(|_| send(&a, b"x", &control)).collect();
        assert_eq!(sent, [Ok(1), Ok(1), Ok(1), Err(Errno::ETOOMANYREFS)]);
        receive(&b, 1).unwrap();
        assert_eq!(send(&a, b"x", &control), Ok(1));
    }

    /// As many as on Linux, whatever they hold.
    #[test]
    fn messages_take_what_linux_takes_of_the_send_buffer() {
        for (len, most) in [(0, 278), (192, 278), (193, 167), (1000, 93), (8000, 13), (30_000, 7), (65_536, 4), (200_000, 2)] {
            for kind in [UnixKind::Datagram, UnixKind::SeqPacket] {
                let [a, b] = pair(kind);
                let sent = (0..1000).take_while(|_| send(&a, &vec![0; len], &Control::default()) == Ok(len)).count();
                assert_eq!((sent, send(&a, b"", &Control::default())), (most, Err(Errno::EAGAIN)), "{len}");
                assert!(!a.poll().contains(PollEvents::OUT) && b.poll().contains(PollEvents::OUT));
                receive(&b, len).unwrap();
                assert_eq!(send(&a, b"", &Control::default()), Ok(0), "{len}");
                drop(b);
                assert_eq!(socket(&a).space.used.load(Ordering::Relaxed), 0);
            }
        }
    }

    /// Counts how often it is woken.
    struct Woken(std::sync::atomic::AtomicU32);

    impl crate::wait::Waiter for Woken {
        fn notify(&self, _events: PollEvents) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_for_room_at_somebody_elses_is_woken() {
        let vfs = test_vfs();
        let make = || UnixSocket::create(&vfs, UnixKind::Datagram, 0, (0, 0)).unwrap();
        let (receiver, one, other) = (make(), make(), make());
        for sender in [&one, &other] {
            let mut state = socket(sender).state.lock();
            state.peer = Some(Weak::clone(&socket(&receiver).this));
            state.connected = true;
        }
        let sent = (0..100).take_while(|_| send(&one, b"x", &Control::default()).is_ok()).count();
        assert_eq!((sent, send(&other, b"x", &Control::default())), (11, Err(Errno::EAGAIN)));
        let woken = Arc::new(Woken(0.into()));
        let waiter: Arc<dyn crate::wait::Waiter> = Arc::<Woken>::clone(&woken);
        let _token = other.queue().unwrap().register(PollEvents::OUT, waiter);
        assert!(!other.poll().contains(PollEvents::OUT));
        receive(&receiver, 1).unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(other.poll().contains(PollEvents::OUT));
        // Who has gone leaves nothing there.
        send(&other, b"x", &Control::default()).unwrap();
        assert!(!one.poll().contains(PollEvents::OUT) && socket(&receiver).state.lock().peer_wait.len() == 1);
        drop(one);
        assert!(socket(&receiver).state.lock().peer_wait.is_empty());
        assert!(!other.poll().contains(PollEvents::OUT));
        drop(receiver);
        assert!(woken.0.load(Ordering::Relaxed) > 1);
    }
}
