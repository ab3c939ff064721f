//! A hostile gofer against the sentry's side: random, mangled and surplus replies, with whatever descriptors, to the client and to a
//! file system over it. Nothing panics, hangs or grows, and what the client lets through is as it promises. `BEVOR_FUZZ_ROUNDS`,
//! `BEVOR_FUZZ_SECONDS` and `BEVOR_FUZZ_SEED` make longer and other runs.

use std::io::{IoSlice, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bevor_abi::Errno;
use bevor_abi::fs::o;
use bevor_core::creds::Credentials;
use bevor_core::io::{SliceSource, VecSink};
use bevor_core::memory::MemoryBudget;
use bevor_core::vfs::{Caller, FileKind, FsContext, Inode, MountNamespace, OpenRequest, Opened, SetAttr, Vfs, WalkFlags};
use bevor_fs::gofer::GoferFs;
use bevor_fs::overlay::OverlayFs;
use bevor_fs::tmpfs::TmpFs;
use bevor_gofer::protocol::{self as wire, DirEntry, MAX_MESSAGE, Reply, Request, decode, encode};
use bevor_gofer::{Gofer, NodeId, OpenFlags, Owner, ProcFile, RenameFlags, SpecialKind};
use bevor_hostcall::{HostFd, file};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};

mod common;
use common::Clock;

/// Bytes that listings may take.
const LISTING: u64 = 1 << 20;
/// Calls to one gofer, at most.
const CALLS: u64 = 100;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap())).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn number(&mut self) -> u64 {
        let (wide, small) = (self.below(1 << 31) << 32 | self.below(1 << 31), self.below(8192));
        let edges = [0, 1, 4096, i64::MAX.cast_unsigned(), i64::MAX.cast_unsigned() + 1, u64::MAX, u64::MAX - 1, 1 << 62];
        self.pick(&[self.pick_edge(edges), wide, small, small])
    }

    fn pick_edge(&self, from: [u64; 8]) -> u64 {
        from[usize::try_from(self.0 % 8).unwrap()]
    }

    fn word(&mut self) -> u32 {
        u32::try_from(self.number() & 0xffff_ffff).unwrap()
    }

    fn name(&mut self) -> Vec<u8> {
        const NAMES: [&[u8]; 12] =
            [b"a", b"b", b"dir", b"link", b"..", b".", b"", b"../secret", b"/etc/passwd", b"a/b", b"\xff\xfe", b"x\0y"];
        match self.below(20) {
            0 => vec![b'n'; self.index(5000)],
            1 => vec![b'n'; 255],
            _ => self.pick(&NAMES).to_vec(),
        }
    }
}

fn attr(random: &mut Random, odd: bool) -> wire::Attr {
    let time = |random: &mut Random| wire::TimeSpec { sec: random.number().cast_signed(), nsec: random.word() };
    let kinds = [0o040_755, 0o040_777, 0o100_644, 0o100_644, 0o120_777, 0o010_644, 0o140_755, 0o060_600, 0o020_666];
    let kind = if odd { random.word() } else { random.pick(&kinds) };
    wire::Attr {
        dev: random.below(3),
        ino: random.number(),
        mode: kind,
        nlink: random.word(),
        uid: random.word(),
        gid: random.word(),
        rdev: random.number(),
        size: random.number(),
        blocks: random.number(),
        blksize: random.word(),
        atime: time(random),
        mtime: time(random),
        ctime: time(random),
        btime: random.once_in(2).then(|| time(random)),
        attributes: random.number(),
        acl: random.once_in(2),
    }
}

/// A file in memory, opened like that.
fn memory(access: OFlags) -> OwnedFd {
    let fd = bevor_hostcall::fd::memfd(c"file").unwrap();
    file::pwrite(&fd, b"hello, world\n", 0).unwrap();
    rustix::fs::open(format!("/proc/self/fd/{}", fd.raw()), access | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Something to send along that nobody has asked for.
fn descriptor(random: &mut Random) -> OwnedFd {
    let open = |path: &str, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
    match random.below(12) {
        0 => open("/", OFlags::RDONLY | OFlags::DIRECTORY),
        1 => rustix::pipe::pipe().unwrap().0,
        2 => rustix::pipe::pipe().unwrap().1,
        3 => pair().0,
        4 => open("/proc/self/maps", OFlags::RDONLY),
        5 => open("/proc/self/fd", OFlags::PATH),
        6 => open("/dev/null", OFlags::RDWR),
        7 => open("/etc/passwd", OFlags::PATH),
        8 => open("/dev/zero", OFlags::RDONLY),
        9 => memory(OFlags::RDONLY),
        10 => memory(OFlags::WRONLY),
        _ => memory(OFlags::RDWR),
    }
}

/// What the request asks for.
fn wanted(request: &Request<'_>) -> Option<OwnedFd> {
    match request {
        Request::Open(_, flags) | Request::Create(_, _, flags, ..) => {
            let flags = OFlags::from_bits_retain(*flags);
            if flags.contains(OFlags::DIRECTORY) {
                return Some(rustix::fs::open("/proc/self/fdinfo", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap());
            }
            Some(memory(flags & OFlags::RWMODE))
        }
        Request::ProcOpen(_, ProcFile::Mem) => Some(memory(OFlags::RDWR)),
        Request::ProcOpen(..) | Request::ReadOnly => Some(memory(OFlags::RDONLY)),
        _ => None,
    }
}

/// What is sent with one reply.
struct Answer {
    packet: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// Which reply the request is after, by its place in the enumeration.
fn expected(request: &Request<'_>) -> u64 {
    match request {
        Request::Attach(_)
        | Request::Create(..)
        | Request::MkDir(..)
        | Request::SymLink(..)
        | Request::MkNod(..)
        | Request::TmpFile(..) => 3,
        Request::Walk(..) => 4,
        Request::Open(..) | Request::ReadOnly | Request::ProcOpen(..) => 2,
        Request::ReadLink(_) | Request::GetXattr(..) | Request::ListXattr(_) => 6,
        Request::ReadDir(..) => 7,
        Request::GetAttr(_) | Request::SetAttr(..) | Request::Link(..) => 5,
        Request::Unlink(..) | Request::Rename(..) | Request::Forget(_) | Request::SetXattr(..) | Request::RemoveXattr(..) => 1,
        Request::StatFs(_) => 8,
        Request::ProcPids | Request::ProcFiles(_) => 9,
    }
}

/// A reply to `request`: one that fits, whatever it claims, or (`odd`) one that may break any rule.
fn answer(random: &mut Random, request: &Request<'_>, odd: bool, buf: &mut [u8]) -> Answer {
    let other = odd && random.once_in(4);
    let kind = if other { random.below(10) } else { expected(request) };
    let node = |random: &mut Random| decode::<NodeId>(&[u8::try_from(random.below(100)).unwrap()]).unwrap();
    let bytes: Vec<u8> = match random.below(4) {
        0 if odd => vec![b'/'; random.index(60_000)],
        1 if odd => random.name().repeat(random.index(8)),
        2 => [b"user.one".to_vec(), vec![b'n'; 255], b"x".to_vec()].join(&b"../"[..]),
        _ => random.pick(&[&b"a"[..], b"/dir/a", b"..", b"/", b"", b"link/x"]).to_vec(),
    };
    let reply = match kind {
        0 => Reply::Err(u16::try_from(random.below(1 << 16)).unwrap()),
        _ if random.once_in(10) => Reply::Err(random.pick(&[0, 1, 2, 4, 11, 13, 20, 40, 116, 512, 4095, u16::MAX])),
        1 => Reply::Done,
        2 => Reply::Fd,
        3 => {
            let mut attr = attr(random, odd);
            if matches!(request, Request::Attach(_)) && !odd {
                attr.mode = 0o040_755;
            }
            Reply::Node(node(random), attr)
        }
        4 => {
            let asked = if let Request::Walk(_, names) = request { names.len() } else { 1 };
            let count = if odd { random.index(400) } else { random.index(asked + 1).max(random.index(asked + 1)) };
            let nodes = (0..count).map(|_| (node(random), attr(random, odd))).collect();
            Reply::Walk(nodes, random.pick(&[0, 0, 2, 20, 512, u16::MAX]))
        }
        5 => Reply::Attr(attr(random, odd)),
        6 => Reply::Bytes(&bytes),
        7 => {
            let count = if odd { 0 } else { random.pick(&[1, 10, 300]) };
            let names = (0..count).map(|_| random.name()).collect::<Vec<_>>();
            let entry = |name| DirEntry { name, ino: random.number(), kind: random.pick(&[0, 4, 8, 10, 99]) };
            let entries = names.into_iter().map(entry).collect();
            Reply::Dir(entries, random.pick(&[0, 0, 1, 7, u64::MAX]))
        }
        8 => {
            let figures = random.number();
            let block_size = random.number();
            Reply::StatFs(wire::StatFs { block_size, blocks: figures, name_max: figures, ..wire::StatFs::default() })
        }
        _ => Reply::List((0..random.index(3000)).map(|_| (random.number(), random.number())).collect()),
    };
    let mut packet = encode(&reply, buf).map_or_else(|_| vec![1], <[u8]>::to_vec);
    match random.below(8) {
        0 if odd => packet.truncate(random.index(packet.len())),
        1 if odd => packet.push(0),
        2 if odd => {
            let at = random.index(packet.len());
            packet[at] = u8::try_from(random.below(256)).unwrap();
        }
        _ => {}
    }
    let fds =
        if odd { (0..random.index(20)).map(|_| descriptor(random)).collect() } else { wanted(request).into_iter().collect() };
    Answer { packet, fds }
}

fn send(socket: &OwnedFd, answer: &Answer) -> bool {
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(20))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = answer.fds.iter().map(|fd| fd.as_fd()).collect();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&answer.packet)], &mut control, SendFlags::NOSIGNAL).is_ok()
}

fn pair() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// A connection to a hostile gofer that answers from this seed, and goes away some time.
fn hostile(seed: u64) -> (Gofer, std::thread::JoinHandle<()>) {
    let (ours, theirs) = pair();
    let serve = move || {
        let mut random = Random(seed);
        let (mut packet, mut buf) = (vec![0; MAX_MESSAGE], vec![0; MAX_MESSAGE]);
        let mut surplus = 0;
        // How seldom it breaks a rule.
        let rate = random.pick(&[10, 60, 400, 4000]);
        loop {
            let (n, _) = rustix::net::recv(&theirs, &mut packet[..], RecvFlags::empty()).unwrap_or((0, 0));
            if n == 0 {
                return;
            }
            let request: Request<'_> = decode(&packet[..n]).expect("the client sends nothing malformed");
            // An answer to what has none would be taken for the next one's: here it is, now and then.
            if matches!(request, Request::Forget(_)) && !random.once_in(10 * rate) {
                continue;
            }
            let again = random.once_in(10 * rate) && surplus < 20;
            surplus += u32::from(again);
            let answers = if again { 2 } else { 1 };
            for _ in 0..answers {
                let odd = random.once_in(rate);
                if random.once_in(20 * rate) || !send(&theirs, &answer(&mut random, &request, odd, &mut buf)) {
                    return;
                }
            }
        }
    };
    (Gofer::new(ours), std::thread::spawn(serve))
}

fn check_attr(attr: &wire::Attr) {
    assert!(attr.mode <= 0o177_777 && attr.size <= i64::MAX.cast_unsigned() && attr.mtime.nsec < 1_000_000_000, "{attr:?}");
}

fn check_fd(fd: &HostFd, kind: u32, access: OFlags) {
    let flags = rustix::fs::fcntl_getfl(fd).unwrap();
    assert_eq!((file::fstat(fd).unwrap().mode & 0o170_000, flags & (OFlags::RWMODE | OFlags::PATH)), (kind, access));
}

/// One call of the client, whose results are as it promises.
fn call(random: &mut Random, g: &Gofer, nodes: &mut Vec<NodeId>) -> Result<(), Errno> {
    const REGULAR: u32 = 0o100_000;
    let node = nodes.get(random.index(nodes.len().max(1))).copied().unwrap_or(decode(&[0]).unwrap());
    let owner = Owner { uid: 0, gid: 0 };
    let mut keep = |(id, attr): (NodeId, wire::Attr)| {
        check_attr(&attr);
        nodes.push(id);
    };
    match random.below(20) {
        0 => keep(g.attach(0)?),
        1 | 2 => {
            let names: Vec<&[u8]> = vec![b"a"; random.index(5)];
            let walked = g.walk(node, &names)?;
            assert!(walked.nodes.len() <= names.len() && walked.stopped.is_none_or(|e| e.code() <= 133));
            walked.nodes.into_iter().for_each(keep);
        }
        3 => check_fd(&g.open(node, OpenFlags::RDONLY)?, REGULAR, OFlags::RDONLY),
        4 => check_fd(&g.open(node, OpenFlags::RDWR)?, REGULAR, OFlags::RDWR),
        5 => check_fd(&g.open(node, OpenFlags::DIRECTORY)?, 0o040_000, OFlags::RDONLY),
        6 => assert!(g.readlink(node)?.len() < 4096),
        7 => {
            let list = g.readdir_within(node, LISTING)?;
            assert!(list.iter().all(|e| wire::check_name(&e.name).is_ok()));
            assert!(list.iter().map(|e| e.name.len() + 64).sum::<usize>() <= usize::try_from(LISTING).unwrap());
        }
        8 => check_attr(&g.getattr(node)?),
        9 => check_attr(&g.setattr(node, wire::SetAttr { size: Some(1), ..wire::SetAttr::default() })?),
        10 => {
            let (id, attr, fd) = g.create(node, b"a", OpenFlags::RDWR, 0o644, owner)?;
            check_fd(&fd, REGULAR, OFlags::RDWR);
            keep((id, attr));
        }
        11 => keep(g.mkdir(node, b"a", 0o755, owner)?),
        12 => g.rename(node, b"a", node, b"b", RenameFlags::empty())?,
        13 => check_attr(&g.link(node, node, b"a")?),
        14 => keep(g.mknod(node, b"a", SpecialKind::Fifo, 0o644, owner)?),
        15 => drop(g.statfs(node)?),
        16 => assert!(g.listxattr(node)?.iter().all(|name| name.len() <= 255 && !name.is_empty())),
        17 => {
            let memory = bevor_hostcall::fd::memfd(c"memory").unwrap();
            let back = g.read_only(&memory)?;
            let (sent, came) = (file::fstat(&memory).unwrap(), file::fstat(&back).unwrap());
            assert_eq!((sent.dev, sent.ino), (came.dev, came.ino));
        }
        18 => check_fd(&g.proc_open(7, ProcFile::Mem)?, REGULAR, OFlags::RDWR),
        _ => drop(g.proc_pids()?),
    }
    Ok(())
}

/// One operation on a file system over a hostile gofer.
fn operate(random: &mut Random, fs: &FsContext, caller: Caller<'_>) -> Result<(), Errno> {
    const PATHS: [&[u8]; 8] = [b"/a", b"/b", b"/a/b", b"/dir/a/b", b"/link/x", b"/", b"/a/..", b"/dir"];
    let path = random.pick(&PATHS);
    let new = random.pick(&PATHS);
    match random.below(12) {
        0 => drop(fs.resolve(None, path, caller, WalkFlags::FOLLOW)?.dentry.inode().attr()?),
        1..=5 => {
            let how =
                [o::RDONLY, o::RDWR, o::WRONLY | o::CREAT, o::RDONLY | o::DIRECTORY, o::WRONLY | o::TRUNC, o::RDWR | o::APPEND];
            let request = OpenRequest { flags: random.pick(&how), mode: 0o644, resolve: WalkFlags::empty() };
            if let Opened::File(file) = fs.open(None, path, caller, &request)? {
                let mut data = Vec::new();
                let _ = file.read(&mut VecSink { data: &mut data, room: 4096 });
                let _ = file.ops().readdir(&file, 0, &mut |entry| !entry.name.contains(&b'/'));
                for whence in 0..5 {
                    let _ = file.seek(random.pick(&[0, 1, -1, i64::MAX, i64::MIN]), whence);
                }
                let _ = file.write(&mut SliceSource(b"data"));
                let _ = file.pread(random.number(), &mut VecSink { data: &mut data, room: 64 * 1024 });
                let _ = file.pwrite(random.below(1 << 16), &mut SliceSource(b"data"));
                let _ = file.mapping(random.once_in(2));
                let _ = file.ops().truncate(&file, random.below(1 << 16));
            }
        }
        6 => drop(fs.make_node(None, path, caller, random.pick(&[FileKind::Directory, FileKind::Fifo]), 0o755, 0)?),
        7 => fs.symlink(b"target", None, path, caller)?,
        8 => fs.unlink(None, path, caller).or_else(|_| fs.rmdir(None, path, caller))?,
        9 => fs.rename((None, path), (None, new), caller, random.pick(&[0, 1, 2]))?,
        10 => {
            let at = fs.resolve(None, path, caller, WalkFlags::empty())?;
            let _ = fs.readlink(&at, caller);
            let inode = at.dentry.inode();
            let list = inode.ops().listxattr(inode).unwrap_or_default();
            for name in list.split(|byte| *byte == 0).take(4) {
                let _ = inode.ops().getxattr(inode, name);
            }
            inode.ops().setattr(inode, &SetAttr { mode: Some(0o600), size: Some(1), ..SetAttr::default() })?;
        }
        _ => {
            let source = fs.resolve(None, path, caller, WalkFlags::empty())?;
            fs.link(&source, None, new, caller)?;
            let _ = source.dentry.inode().sb();
        }
    }
    Ok(())
}

fn file_system(random: &mut Random, client: Gofer) -> Option<(Arc<Vfs>, Arc<FsContext>)> {
    let vfs = Vfs::bounded(Arc::new(Clock::default()), MemoryBudget::with_objects(8 << 20, 4 * LISTING));
    vfs.reclaim().set_limit(16);
    let root: Arc<Inode> = GoferFs::mount(&vfs, &Arc::new(client), 0, random.once_in(2)).ok().filter(|root| root.is_dir())?;
    let root = if random.once_in(2) { OverlayFs::new(&vfs, TmpFs::new(&vfs, 0o755), root) } else { root };
    let fs = FsContext::new(MountNamespace::new(Arc::clone(&vfs), vfs.new_mount(root, "root", 0)));
    Some((vfs, fs))
}

/// Resident pages, and descriptors, of this process.
fn footprint() -> (u64, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    (statm.split(' ').nth(1).unwrap().parse().unwrap(), std::fs::read_dir("/proc/self/fd").unwrap().count())
}

/// Plays rounds `from..` until `to` or the time; returns how many calls were made, and how many succeeded.
fn play(random: &mut Random, rounds: std::ops::Range<u64>, until: Instant, seen: &AtomicU64) -> (u64, u64) {
    let creds = Credentials::root();
    let caller = Caller { creds: &creds, pid: 1, tid: 1 };
    let (mut made, mut good) = (0, 0);
    for round in rounds {
        if Instant::now() >= until {
            break;
        }
        seen.store(round, Ordering::Relaxed);
        // The seed that begins with this round.
        let state = random.0;
        let (client, thread) = hostile(random.0);
        if random.once_in(2) {
            let mut nodes = Vec::new();
            made += CALLS;
            for _ in 0..CALLS {
                good += u64::from(call(random, &client, &mut nodes).is_ok());
            }
            client.forget(&nodes);
            drop(client);
        } else if let Some((vfs, fs)) = file_system(random, client) {
            made += CALLS;
            for _ in 0..CALLS {
                good += u64::from(operate(random, &fs, caller).is_ok());
            }
            let kept = vfs.memory().used();
            assert!(kept <= 8 << 20, "{kept} bytes are kept (round {round}, BEVOR_FUZZ_SEED={state})");
            // Cached names and their directories hold each other.
            let left = Arc::downgrade(&vfs);
            fs.root().dentry.invalidate();
            drop((fs, vfs));
            assert_eq!(left.strong_count(), 0, "something keeps what nobody can reach (round {round}, BEVOR_FUZZ_SEED={state})");
        }
        thread.join().unwrap();
    }
    (made, good)
}

#[test]
fn no_reply_harms_the_sentrys_side() {
    let from_env = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = from_env("BEVOR_FUZZ_SECONDS");
    let rounds = seconds.map_or_else(|| from_env("BEVOR_FUZZ_ROUNDS").unwrap_or(400), |_| u64::MAX);
    let seed = from_env("BEVOR_FUZZ_SEED").unwrap_or(1).max(1);
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(600));
    let seen = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&seen);
    // A hang ends the run and says where.
    std::thread::spawn(move || {
        let mut last = u64::MAX;
        loop {
            std::thread::sleep(Duration::from_secs(60));
            let now = watched.load(Ordering::Relaxed);
            if now == last {
                let _ = writeln!(std::io::stderr(), "seed {seed}, round {now}: nothing has happened for a minute");
                std::process::abort();
            }
            last = now;
        }
    });
    let mut random = Random(seed);
    // What the first rounds take (the heap, libc's caches) is no growth.
    let warm = rounds.min(100);
    play(&mut random, 0..warm, until, &seen);
    let before = footprint();
    let (made, good) = play(&mut random, warm..rounds, until, &seen);
    let after = footprint();
    eprintln!(
        "seed {seed}, {} rounds, {made} calls, {good} of them succeeded; pages {} -> {}, descriptors {} -> {}",
        seen.load(Ordering::Relaxed) + 1,
        before.0,
        after.0,
        before.1,
        after.1
    );
    assert_eq!(before.1, after.1, "descriptors are lost (seed {seed})");
    assert!(after.0 < before.0 + 4096, "{} pages have become {} (seed {seed})", before.0, after.0);
    assert!(good > made / 20, "the fuzzer gets nowhere");
}
