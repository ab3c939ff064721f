//! Sockets in flight that nobody can reach any more: each lies in the queue of another, or its own.
//!
//! A socket's file is *held* if there are more references to it than lie in queues of sockets in flight. What is held, and what can be
//! received from it, stays. The queues of the rest are emptied, which closes them.
//!
//! **A reference moves only past the lock of the map.** A look at the sockets in flight counts references in one queue after the other. Whoever
//! takes one out of a queue (or copies it, or takes a whole queue out of another by accepting it) therefore passes the map's lock before
//! anything else can be done with it, and has a reference to the queue's own file until then: so nothing is counted twice, and no way to a
//! socket is missed. The lock is never taken with a socket's locked, but the other way round.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{Packet, UnixSocket, in_flight};
use crate::num::to_u64;
use crate::time::{Instant, Timers};
use crate::vfs::File;
use crate::wait::{PollEvents, Waiter};

/// How many steps of a look one closed or received socket pays for.
const STEPS: u64 = 64;

/// In nanoseconds: so long after something that did not pay for a look there is one all the same.
const LATER: u64 = 100_000_000;

/// The sockets in flight.
pub struct Flight {
    me: Weak<Self>,
    timers: Arc<dyn Timers>,
    /// A look comes by itself.
    scheduled: AtomicBool,
    map: Mutex<FxHashMap<usize, Flying>>,
    /// How many there are.
    sockets: AtomicUsize,
    /// What may have made one unreachable since the last look.
    credits: AtomicU64,
    /// The steps of the last look.
    cost: AtomicU64,
    off: AtomicBool,
    recursive: AtomicBool,
}

/// A file that is in flight.
struct Flying {
    file: Weak<File>,
    times: usize,
}

fn socket(file: &Arc<File>) -> Option<&UnixSocket> {
    file.downcast()
}

impl Waiter for Flight {
    fn notify(&self, _events: PollEvents) {
        self.scheduled.store(false, Ordering::Relaxed);
        if self.may_look() {
            self.cost.store(0, Ordering::Relaxed);
            self.collect();
        }
    }
}

impl Flight {
    pub(crate) fn new(timers: &Arc<dyn Timers>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            timers: Arc::clone(timers),
            scheduled: AtomicBool::default(),
            map: Mutex::default(),
            sockets: AtomicUsize::default(),
            credits: AtomicU64::default(),
            cost: AtomicU64::default(),
            off: AtomicBool::default(),
            recursive: AtomicBool::default(),
        })
    }

    /// Attacks only: nothing is collected.
    pub fn keep_all(&self) {
        self.off.store(true, Ordering::Relaxed);
    }

    /// Attacks only: what is in flight is dropped where it lies.
    pub fn nest_without_end(&self) {
        self.recursive.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_recursive(&self) -> bool {
        self.recursive.load(Ordering::Relaxed)
    }

    /// `files` are about to be put into a queue.
    pub(super) fn register(&self, files: &[Arc<File>]) {
        let mut map = self.map.lock();
        for file in files.iter().filter(|file| socket(file).is_some()) {
            map.entry(file.id()).or_insert_with(|| Flying { file: Arc::downgrade(file), times: 0 }).times += 1;
        }
        self.sockets.store(map.len(), Ordering::Relaxed);
    }

    /// `files` have been taken out of a queue.
    pub(super) fn unregister(&self, files: &[Arc<File>]) {
        let mut gone = 0;
        let mut map = self.map.lock();
        for file in files.iter().filter(|file| socket(file).is_some()) {
            gone += 1;
            if let Some(flying) = map.get_mut(&file.id()) {
                flying.times -= 1;
                if flying.times == 0 {
                    map.remove(&file.id());
                }
            }
        }
        self.sockets.store(map.len(), Ordering::Relaxed);
        self.credits.fetch_add(gone, Ordering::Relaxed);
    }

    /// References were copied or a queue was taken over: no look is under way that has seen them elsewhere.
    pub(super) fn pass(&self) {
        drop(self.map.lock());
    }

    /// Somebody who may have held sockets by calls of its own is gone: what a look found held for that alone is looked at again.
    pub(crate) fn let_go(&self) {
        self.closed();
        self.collect();
    }

    /// A descriptor of a socket is gone.
    pub(super) fn closed(&self) {
        if self.sockets.load(Ordering::Relaxed) > 0 {
            self.credits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether something may have become unreachable since the last look.
    fn may_look(&self) -> bool {
        self.sockets.load(Ordering::Relaxed) > 0 && self.credits.load(Ordering::Relaxed) > 0 && !self.off.load(Ordering::Relaxed)
    }

    fn is_due(&self) -> bool {
        self.may_look() && self.credits.load(Ordering::Relaxed).saturating_mul(STEPS) >= self.cost.load(Ordering::Relaxed)
    }

    /// Closes sockets in flight that nobody can reach, if enough has happened since the last look to pay for one, and else in a while.
    /// Call it with no lock held. Whether anything was closed.
    pub fn collect(&self) -> bool {
        let mut any = false;
        // What is dropped on the way leads here again.
        while !in_flight::is_dropping() && self.is_due() {
            let look = Look::at(self);
            let unreachable = look.nodes.iter().filter(|node| !node.reached).filter_map(|node| socket(&node.file));
            let packets: Vec<Vec<Packet>> = unreachable.map(UnixSocket::purge).collect();
            any |= !packets.is_empty();
            in_flight::drop_together((packets, look));
        }
        if self.may_look()
            && !self.scheduled.swap(true, Ordering::Relaxed)
            && let Some(me) = self.me.upgrade()
        {
            self.timers.schedule(Instant(self.timers.now().0.saturating_add(LATER)), PollEvents::IN, me);
        }
        any
    }
}

/// A socket in flight.
struct Node {
    file: Arc<File>,
    /// References in queues of sockets in flight.
    inside: usize,
    /// Those that lie in its queue.
    holds: Vec<usize>,
    reached: bool,
}

/// What is in flight, and what of it can be reached.
struct Look {
    nodes: Vec<Node>,
}

impl Look {
    fn at(flight: &Flight) -> Self {
        let map = flight.map.lock();
        flight.credits.store(0, Ordering::Relaxed);
        // None of them goes away meanwhile. Those that are going away already count as somebody who holds others.
        let files = map.values().filter_map(|flying| flying.file.upgrade());
        let mut nodes: Vec<_> = files.map(|file| Node { file, inside: 0, holds: Vec::new(), reached: false }).collect();
        let places: FxHashMap<usize, usize> = nodes.iter().enumerate().map(|(at, node)| (node.file.id(), at)).collect();
        let mut steps = nodes.len();
        for node in &mut nodes {
            let Node { file, holds, .. } = node;
            if let Some(socket) = socket(file) {
                steps += socket.each_in_queue(&mut |file| holds.extend(places.get(&file.id())));
            }
        }
        let inside: Vec<usize> = nodes.iter().flat_map(|node| node.holds.iter().copied()).collect();
        for at in inside {
            nodes[at].inside += 1;
        }
        // One reference is this look's own.
        let mut reached: Vec<usize> =
            (0..nodes.len()).filter(|at| Arc::strong_count(&nodes[*at].file) - 1 > nodes[*at].inside).collect();
        while let Some(at) = reached.pop() {
            if !std::mem::replace(&mut nodes[at].reached, true) {
                reached.append(&mut nodes[at].holds);
            }
        }
        flight.cost.store(to_u64(steps), Ordering::Relaxed);
        drop(map);
        Self { nodes }
    }
}

impl UnixSocket {
    /// Calls `f` for the files that can be received from it, or from what waits to be accepted. How many steps that took.
    fn each_in_queue(&self, f: &mut dyn FnMut(&Arc<File>)) -> usize {
        let state = self.state.lock();
        let mut steps = state.queue.len() + state.pending.len();
        state.queue.iter().flat_map(|packet| packet.files.peek()).for_each(|file| {
            steps += 1;
            f(file);
        });
        for (pending, _) in &state.pending {
            let state = pending.state.lock();
            steps += state.queue.len();
            state.queue.iter().flat_map(|packet| packet.files.peek()).for_each(|file| {
                steps += 1;
                f(file);
            });
        }
        steps
    }

    /// Takes out what nobody can receive any more.
    fn purge(&self) -> Vec<Packet> {
        let take = |state: &mut super::State| {
            state.bytes = 0;
            std::mem::take(&mut state.queue)
        };
        let mut state = self.state.lock();
        let mut packets: Vec<_> = take(&mut state).into();
        for (pending, _) in &state.pending {
            packets.extend(take(&mut pending.state.lock()));
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::creds::Credentials;
    use crate::epoll::Epoll;
    use crate::io::{SliceSource, VecSink};
    use crate::socket::{Control, msg};
    use crate::testing::{TestTimers, test_vfs};
    use crate::time::Timers;
    use crate::vfs::{Caller, FsContext, MountNamespace};

    fn pair(vfs: &Arc<Vfs>) -> [Arc<File>; 2] {
        UnixSocket::create_pair(vfs, UnixKind::SeqPacket, 0, UnixCredentials::default()).unwrap()
    }

    fn socket(file: &File) -> &UnixSocket {
        file.downcast().unwrap()
    }

    /// Puts `files` into the queue of the peer of `to`.
    fn send(to: &File, files: &[&Arc<File>]) {
        let files = files.iter().map(|file| Arc::clone(file)).collect();
        let control = Control { files, max_in_flight: u64::MAX, ..Control::default() };
        socket(to).send_message(None, None, &mut SliceSource(b"x"), &control, 0).unwrap();
    }

    fn receive(from: &File, flags: u32) -> Vec<Arc<File>> {
        socket(from).receive_message(&mut VecSink { data: &mut Vec::new(), room: 1 }, flags).unwrap().files
    }

    fn held(vfs: &Vfs) -> (u64, u64) {
        let of = |kind: Kind| vfs.memory().objects_used(kind) / kind.cost();
        (of(Kind::Socket), of(Kind::FileInFlight))
    }

    /// A socket is closed, as any may be at any time.
    fn close_one(vfs: &Arc<Vfs>) {
        drop(pair(vfs));
    }

    #[test]
    fn a_socket_in_its_own_queue_goes() {
        let vfs = test_vfs();
        let [a, b] = pair(&vfs);
        send(&a, &[&b]);
        drop(b);
        close_one(&vfs);
        assert_eq!(held(&vfs), (1, 0), "only the other end is left");
        assert!(a.poll().contains(PollEvents::HUP | PollEvents::IN));
    }

    #[test]
    fn two_sockets_in_the_queue_of_one_another_go() {
        let vfs = test_vfs();
        let ([a, b], [c, d]) = (pair(&vfs), pair(&vfs));
        let [other, beside] = pair(&vfs);
        send(&a, &[&d, &beside]);
        send(&c, &[&b]);
        drop((a, b, c, d, beside));
        close_one(&vfs);
        assert_eq!(held(&vfs), (1, 0));
        assert!(other.poll().contains(PollEvents::HUP), "what lies beside them goes, too");
    }

    #[test]
    fn what_a_descriptor_leads_to_stays() {
        let vfs = test_vfs();
        let ([a, b], [c, d], [e, f]) = (pair(&vfs), pair(&vfs), pair(&vfs));
        // From `b` one gets `d`, from that `f`, from that `b` and `f` again.
        send(&a, &[&d]);
        send(&c, &[&f]);
        send(&e, &[&b, &f]);
        drop((c, d, e, f));
        close_one(&vfs);
        assert_eq!(held(&vfs), (4, 4));
        let [d] = receive(&b, 0).try_into().unwrap();
        let [f] = receive(&d, 0).try_into().unwrap();
        assert_eq!(receive(&f, 0).len(), 2);
        drop((a, b, d, f));
        assert_eq!(held(&vfs), (0, 0));
    }

    #[test]
    fn what_a_message_that_nobody_took_was_the_last_way_to_goes() {
        let vfs = test_vfs();
        let ([a, b], [c, d]) = (pair(&vfs), pair(&vfs));
        // `d` lies in its own queue, and otherwise only in that of `b`.
        send(&c, &[&d]);
        send(&a, &[&d]);
        drop((c, d));
        assert_eq!(held(&vfs), (3, 2));
        drop(receive(&b, 0));
        close_one(&vfs);
        assert_eq!(held(&vfs), (2, 0));
        // The same by a message that is dropped as it is, which is in flight itself.
        let ([c, d], [e, f]) = (pair(&vfs), pair(&vfs));
        send(&c, &[&d]);
        send(&e, &[&d]);
        send(&a, &[&f]);
        drop((c, d, e, f));
        assert_eq!(held(&vfs).1, 3);
        socket(&b).purge();
        assert_eq!(held(&vfs), (2, 0));
    }

    #[test]
    fn what_was_only_looked_at_stays() {
        let vfs = test_vfs();
        let [a, b] = pair(&vfs);
        send(&a, &[&b]);
        let [again] = receive(&b, msg::PEEK).try_into().unwrap();
        drop(b);
        close_one(&vfs);
        assert_eq!(receive(&again, 0).len(), 1);
        assert_eq!(held(&vfs), (2, 0));
    }

    #[test]
    fn a_listener_in_the_queue_of_a_connection_that_nobody_accepts_goes() {
        let vfs = test_vfs();
        let listener = UnixSocket::create(&vfs, UnixKind::SeqPacket, 0, (0, 0)).unwrap();
        // Names that are no paths: any root will do.
        let root = vfs.new_mount(Arc::clone(listener.inode()), "none", 0);
        let fs = FsContext::new(MountNamespace::new(Arc::clone(&vfs), root));
        let creds = Credentials::root();
        let caller = Caller { creds: &creds, pid: 1, tid: 1 };
        let who = SocketCaller { fs: &fs, caller, creds: UnixCredentials::default() };
        socket(&listener).bind(&who, b"\x01\0\0name").unwrap();
        socket(&listener).listen(&who, 1).unwrap();
        let client = UnixSocket::create(&vfs, UnixKind::SeqPacket, 0, (0, 0)).unwrap();
        socket(&client).connect(&who, b"\x01\0\0name").unwrap();
        send(&client, &[&listener]);
        close_one(&vfs);
        assert_eq!(held(&vfs), (3, 1), "it can be accepted yet");
        drop(listener);
        close_one(&vfs);
        assert_eq!(held(&vfs), (1, 0));
        assert_eq!(socket(&client).connect(&who, b"\x01\0\0name"), Err(Errno::ECONNREFUSED));
        assert!(client.poll().contains(PollEvents::HUP | PollEvents::ERR));
    }

    #[test]
    fn instances_that_watch_hold_nothing() {
        let vfs = test_vfs();
        let [a, b] = pair(&vfs);
        let (inside, outside) = (Epoll::create(&vfs, (0, 0), 0).unwrap(), Epoll::create(&vfs, (0, 0), 0).unwrap());
        for epoll in [&inside, &outside] {
            epoll.downcast::<Epoll>().unwrap().add(epoll, 1, &b, 1, 0).unwrap();
        }
        send(&a, &[&b, &inside]);
        drop((b, inside));
        let mut events = 0;
        assert_eq!(outside.downcast::<Epoll>().unwrap().collect(1, &mut |_| events += 1), 1, "it can be received yet");
        close_one(&vfs);
        assert_eq!(held(&vfs), (1, 0));
        assert_eq!(outside.downcast::<Epoll>().unwrap().collect(1, &mut |_| events += 1), 0);
        assert_eq!(vfs.memory().objects_used(Kind::EpollInstance), Kind::EpollInstance.cost());
    }

    #[test]
    fn looks_are_paid_for_by_what_was_closed_or_come_later() {
        let timers = Arc::new(TestTimers::default());
        let vfs = Vfs::new(Arc::clone(&timers) as Arc<dyn Timers>);
        let [a, b] = pair(&vfs);
        for _ in 0..5 {
            let files: Vec<_> = (0..200).flat_map(|_| pair(&vfs)).collect();
            send(&a, &files.iter().collect::<Vec<_>>()[..250]);
        }
        close_one(&vfs);
        assert!(vfs.flight.cost.load(std::sync::atomic::Ordering::Relaxed) > 1000);
        let [c, d] = pair(&vfs);
        send(&c, &[&d]);
        drop((c, d));
        assert!(held(&vfs).1 > 1250, "not at once");
        for _ in 0..20 {
            close_one(&vfs);
        }
        assert_eq!(held(&vfs).1, 1250);
        let [c, d] = pair(&vfs);
        send(&c, &[&d]);
        drop((c, d));
        assert_eq!(held(&vfs).1, 1251);
        timers.fire();
        assert_eq!(held(&vfs).1, 1250, "nothing needs to come after it");
        drop(b);
        assert_eq!(held(&vfs), (1, 0));
    }

    /// One thread makes cycles, another hands sockets on and on; what somebody has is never closed.
    #[test]
    fn nothing_that_moves_is_taken_for_unreachable() {
        let vfs = test_vfs();
        let ends: Vec<_> = (0..4).map(|_| pair(&vfs)).collect();
        let [mine, carried] = pair(&vfs);
        send(&ends[0][0], &[&carried]);
        drop(carried);
        std::thread::scope(|scope| {
            let maker = scope.spawn(|| {
                for _ in 0..20_000 {
                    let [a, b] = pair(&vfs);
                    send(&a, &[&b]);
                }
            });
            let mut at = 0;
            while !maker.is_finished() {
                if at % 3 == 0 {
                    assert_eq!(receive(&ends[at % 4][1], msg::PEEK).len(), 1);
                }
                let [carried] = receive(&ends[at % 4][1], 0).try_into().unwrap();
                at += 1;
                // By way of a socket that is in flight itself.
                let [c, d] = pair(&vfs);
                send(&c, &[&carried, &d]);
                drop(carried);
                let [carried, again] = receive(&d, 0).try_into().unwrap();
                drop(again);
                send(&ends[at % 4][0], &[&carried]);
            }
            assert!(at > 10);
        });
        assert!(!mine.poll().contains(PollEvents::HUP));
        drop(ends);
        close_one(&vfs);
        assert_eq!(held(&vfs), (1, 0));
    }
}
