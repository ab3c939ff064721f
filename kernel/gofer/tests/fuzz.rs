//! Random and mangled requests at the server: it does not panic, hang or grow, and reaches nothing outside of its mount.
//! `BEVOR_FUZZ_ROUNDS`, `BEVOR_FUZZ_SECONDS` and `BEVOR_FUZZ_SEED` make longer and other runs. `kernel/fs/tests/hostile_gofer.rs` is the other
//! side.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use bevor_gofer::protocol::{MAX_MESSAGE, Reply, Request, decode, encode};
use bevor_gofer::server::open_own_fds;
use bevor_gofer::{MountSource, NodeId, Owner, ProcFile, Server, SetAttr, SpecialKind};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(u64::try_from(from.len()).unwrap())).unwrap()]
    }

    fn number(&mut self) -> u32 {
        let wide = u32::try_from(self.below(1 << 31)).unwrap();
        self.pick(&[0, 1, 2, 0o644, 0o755, 0o6755, 0o200, 0o1000, u32::MAX, wide])
    }
}

const NAMES: [&[u8]; 12] = [b"a", b"b", b"dir", b"link", b"..", b".", b"", b"../secret", b"/etc/passwd", b"a/b", b"up", b"x\0y"];

const ATTRIBUTES: [&[u8]; 6] = [b"user.a", b"user.", b"security.capability", b"trusted.a", b"system.posix_acl_access", b""];

fn request<'a>(random: &mut Random, nodes: &[NodeId]) -> Request<'a> {
    let node = random.pick(nodes);
    let other = random.pick(nodes);
    let (name, second) = (random.pick(&NAMES), random.pick(&NAMES));
    let (number, mode) = (random.number(), random.number());
    let owner = Owner { uid: random.pick(&[0, 1, 65534, u32::MAX]), gid: random.number() };
    match random.below(25) {
        0 => Request::Attach(number % 3),
        1 => Request::Walk(node, vec![name, second]),
        2 => Request::Open(node, number),
        3 => Request::ReadLink(node),
        4 => Request::ReadDir(node, u64::from(number)),
        5 => Request::GetAttr(node),
        6 => Request::SetAttr(node, SetAttr { mode: Some(mode), size: Some(u64::from(number % 4096)), ..SetAttr::default() }),
        7 | 8 => Request::Create(node, name, number, mode, owner),
        9 => Request::MkDir(node, name, mode, owner),
        10 => Request::Unlink(node, name, number % 2 == 0),
        11 => Request::Rename(node, name, other, second, number % 4),
        12 => Request::Link(node, other, name),
        13 => Request::SymLink(node, name, b"../secret", owner),
        14 => Request::MkNod(node, name, SpecialKind::Fifo, mode, owner),
        15 => Request::StatFs(node),
        16 => Request::GetXattr(node, name),
        17 => Request::ListXattr(node),
        18 => Request::Forget(vec![node]),
        19 => Request::ReadOnly,
        20 => Request::TmpFile(node, mode, owner),
        21 => Request::SetXattr(node, random.pick(&ATTRIBUTES), second, number % 4),
        22 => Request::RemoveXattr(node, random.pick(&ATTRIBUTES)),
        23 => Request::ProcOpen(number.cast_signed(), ProcFile::Mem),
        _ => Request::ProcPids,
    }
}

fn serve(inner: &Path) -> (OwnedFd, std::thread::JoinHandle<()>) {
    use rustix::fs::{Mode, OFlags};
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    set_socket_timeout(&ours, Timeout::Recv, Some(Duration::from_secs(20))).unwrap();
    let fd = rustix::fs::open(inner, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mounts = vec![MountSource { fd, read_only: false }];
    let thread = std::thread::spawn(move || {
        // A malformed message is an error, and the end of the connection.
        let _ = Server::new(mounts, &open_own_fds().unwrap(), None).unwrap().serve(theirs);
    });
    (ours, thread)
}

/// Resident pages, and descriptors, of this process.
fn footprint() -> (u64, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    (statm.split(' ').nth(1).unwrap().parse().unwrap(), std::fs::read_dir("/proc/self/fd").unwrap().count())
}

#[test]
fn no_request_harms_the_server_or_leads_out_of_its_mount() {
    let from_env = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = from_env("BEVOR_FUZZ_SECONDS");
    let rounds = seconds.map_or_else(|| from_env("BEVOR_FUZZ_ROUNDS").unwrap_or(200), |_| u64::MAX);
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(600));
    let seed = from_env("BEVOR_FUZZ_SEED").unwrap_or(1).max(1);
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("..", inner.join("up")).unwrap();
    let before = dir.path().join("secret").metadata().unwrap();
    let mut random = Random(seed);
    let mut buf = vec![0; MAX_MESSAGE];
    let (mut requests, mut connections) = (0_u64, 0);
    let mut at_first = footprint();
    for round in 0..rounds {
        // What the first take (the heap, libc's caches) is no growth.
        if round == 50 {
            at_first = footprint();
        }
        if Instant::now() >= until {
            break;
        }
        connections += 1;
        let (socket, server) = serve(&inner);
        let mut nodes: Vec<NodeId> = vec![decode(&[5]).unwrap()];
        let mut done = 0_u32;
        let mut next = Request::Attach(0);
        for _ in 0..200 {
            let mut packet = encode(&next, &mut buf).unwrap().to_vec();
            if random.below(100) == 0 {
                let at = usize::try_from(random.below(u64::try_from(packet.len()).unwrap())).unwrap();
                packet[at] = u8::try_from(random.below(256)).unwrap();
            }
            let silent = matches!(decode::<Request<'_>>(&packet), Ok(Request::Forget(_)));
            if send(&socket, &packet, SendFlags::NOSIGNAL).is_err() {
                break;
            }
            next = request(&mut random, &nodes);
            if silent {
                continue;
            }
            let n = recv(&socket, &mut buf[..], RecvFlags::empty()).unwrap_or_else(|e| panic!("round {round}: no answer: {e}")).0;
            if n == 0 {
                break;
            }
            match decode(&buf[..n]).expect("a well-formed reply") {
                Reply::Node(id, _) => nodes.push(id),
                Reply::Walk(found, _) => nodes.extend(found.iter().map(|node| node.0)),
                _ => {}
            }
            done += 1;
            requests += 1;
        }
        drop(socket);
        server.join().unwrap_or_else(|_| panic!("the server panicked (seed {seed}, round {round})"));
        assert!(done > 0 || round > 0);
    }
    let now = footprint();
    eprintln!(
        "seed {seed}, {connections} connections, {requests} answers; pages {} -> {}, descriptors {} -> {}",
        at_first.0, now.0, at_first.1, now.1
    );
    assert_eq!(at_first.1, now.1, "descriptors are lost (seed {seed})");
    assert!(now.0 < at_first.0 + 4096, "{} pages have become {} (seed {seed})", at_first.0, now.0);
    use std::os::unix::fs::MetadataExt as _;
    let after = dir.path().join("secret").metadata().unwrap();
    assert_eq!((before.ctime(), before.ctime_nsec(), before.nlink()), (after.ctime(), after.ctime_nsec(), after.nlink()));
    assert_eq!(std::fs::read(dir.path().join("secret")).unwrap(), b"secret");
    let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["inner", "secret"]);
}
