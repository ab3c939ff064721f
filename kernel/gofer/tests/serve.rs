//! The server's promises, seen through the client.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use bevor_abi::Errno;
use bevor_gofer::protocol::{Reply, Request, decode, encode};
use bevor_gofer::server::open_own_fds;
use bevor_gofer::{Gofer, Mask, MountSource, NodeId, OpenFlags, Owner, ProcFile, RenameFlags, Server, SetAttr, SpecialKind};

fn path_fd(path: &Path) -> OwnedFd {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn pair() -> (OwnedFd, OwnedFd) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// A connection to a server (on a thread) for these directories.
fn serve(mounts: &[(&Path, bool)]) -> Gofer {
    let (ours, theirs) = pair();
    let mounts = mounts.iter().map(|&(path, read_only)| MountSource { fd: path_fd(path), read_only }).collect();
    std::thread::spawn(move || {
        let fds = open_own_fds().unwrap();
        Server::new(mounts, &fds, None).unwrap().serve(theirs)
    });
    Gofer::new(ours)
}

fn me() -> Owner {
    Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}

fn one(g: &Gofer, parent: NodeId, name: &str) -> Result<NodeId, Errno> {
    let walked = g.walk(parent, &[name.as_bytes()])?;
    walked.nodes.first().map(|n| n.0).ok_or(walked.stopped.unwrap_or(Errno::EIO))
}

fn read_all(fd: impl AsFd) -> Vec<u8> {
    let mut buf = vec![0; 4096];
    let n = rustix::io::pread(fd, &mut buf, 0).unwrap();
    buf.truncate(n);
    buf
}

#[test]
fn a_walk_resolves_several_components_and_stops_at_links_and_gaps() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    std::fs::write(dir.path().join("a/b/file"), "text").unwrap();
    symlink("b", dir.path().join("a/link")).unwrap();
    let g = serve(&[(dir.path(), true)]);
    let (root, attr) = g.attach(0).unwrap();
    assert_eq!(attr.ino, std::fs::metadata(dir.path()).unwrap().ino());

    let full = g.walk(root, &[b"a", b"b", b"file"]).unwrap();
    assert_eq!((full.nodes.len(), full.stopped), (3, None));
    assert_eq!(full.nodes[2].1.size, 4);
    assert_eq!(read_all(g.open(full.nodes[2].0, OpenFlags::RDONLY).unwrap()), b"text");

    let link = g.walk(root, &[b"a", b"link", b"file"]).unwrap();
    assert_eq!((link.nodes.len(), link.stopped), (2, None));
    assert!(link.nodes[1].1.is_symlink());
    assert_eq!(g.readlink(link.nodes[1].0).unwrap(), b"b");

    let gap = g.walk(root, &[b"a", b"missing", b"file"]).unwrap();
    assert_eq!((gap.nodes.len(), gap.stopped), (1, Some(Errno::ENOENT)));

    let through_file = g.walk(full.nodes[2].0, &[b"x"]).unwrap();
    assert_eq!(through_file.stopped, Some(Errno::ENOTDIR));
}

#[test]
fn names_that_could_leave_the_mount_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("inner")).unwrap();
    symlink("/etc", dir.path().join("inner/etc")).unwrap();
    let g = serve(&[(&dir.path().join("inner"), false)]);
    let (root, _) = g.attach(0).unwrap();
    for name in ["..", ".", "", "a/b", "/etc", "a\0b"] {
        assert_eq!(g.walk(root, &[name.as_bytes()]).unwrap_err(), Errno::EINVAL, "{name:?}");
    }
    let etc = one(&g, root, "etc").unwrap();
    assert_eq!(g.walk(etc, &[b"passwd"]).unwrap().stopped, Some(Errno::ENOTDIR));
    assert_eq!(g.open(etc, OpenFlags::RDONLY).unwrap_err(), Errno::ELOOP);
    assert_eq!(g.attach(1).unwrap_err(), Errno::ENODEV);
}

/// The client checks names too; a taken-over sentry would not.
#[test]
fn the_server_checks_names_itself() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("inner")).unwrap();
    let (ours, theirs) = pair();
    let mounts = vec![MountSource { fd: path_fd(&dir.path().join("inner")), read_only: false }];
    std::thread::spawn(move || {
        let fds = open_own_fds().unwrap();
        Server::new(mounts, &fds, None).unwrap().serve(theirs)
    });
    let mut buf = vec![0; 65536];
    let mut call = |request: &Request<'_>| {
        let packet = encode(request, &mut buf).unwrap();
        rustix::net::send(&ours, packet, rustix::net::SendFlags::empty()).unwrap();
        let (n, _) = rustix::net::recv(&ours, &mut buf[..], rustix::net::RecvFlags::empty()).unwrap();
        match decode(&buf[..n]).unwrap() {
            Reply::Node(id, _) => Ok(id),
            Reply::Walk(nodes, code) if nodes.is_empty() => Err(i32::from(code)),
            Reply::Err(code) => Err(i32::from(code)),
            other => panic!("{other:?}"),
        }
    };
    let root = call(&Request::Attach(0)).unwrap();
    let einval = Err(Errno::EINVAL.code());
    assert_eq!(call(&Request::Walk(root, vec![b".."])), einval);
    assert_eq!(call(&Request::Create(root, b"../made", 0o200, 0o644, me())), einval);
    assert_eq!(call(&Request::MkDir(root, b"../made", 0o755, me())), einval);
    assert_eq!(call(&Request::Unlink(root, b"..", true)), einval);
    assert_eq!(call(&Request::Rename(root, b"x", root, b"../y", 0)), einval);
    assert_eq!(call(&Request::Open(root, 0o100)), einval, "O_CREAT is no flag of open");
    assert!(!dir.path().join("made").exists());
}

#[test]
fn a_read_only_mount_refuses_every_change() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "old").unwrap();
    let g = serve(&[(dir.path(), true)]);
    let (root, _) = g.attach(0).unwrap();
    let f = one(&g, root, "f").unwrap();
    let erofs = Errno::EROFS;
    assert_eq!(g.open(f, OpenFlags::WRONLY).unwrap_err(), erofs);
    assert_eq!(g.open(f, OpenFlags::TRUNC).unwrap_err(), erofs);
    assert_eq!(g.create(root, b"n", OpenFlags::RDWR, 0o644, me()).unwrap_err(), erofs);
    assert_eq!(g.mkdir(root, b"n", 0o755, me()).unwrap_err(), erofs);
    assert_eq!(g.unlink(root, b"f", false).unwrap_err(), erofs);
    assert_eq!(g.rename(root, b"f", root, b"n", RenameFlags::empty()).unwrap_err(), erofs);
    assert_eq!(g.link(f, root, b"n").unwrap_err(), erofs);
    assert_eq!(g.symlink(root, b"n", b"f", me()).unwrap_err(), erofs);
    assert_eq!(g.mknod(root, b"n", SpecialKind::Fifo, 0o644, me()).unwrap_err(), erofs);
    let set = SetAttr { size: Some(0), ..SetAttr::default() };
    assert_eq!(g.setattr(f, set).unwrap_err(), erofs);
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"old");
}

#[test]
fn changes_on_a_writable_mount_reach_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let g = serve(&[(dir.path(), false)]);
    let (root, _) = g.attach(0).unwrap();
    let (f, attr, fd) = g.create(root, b"f", OpenFlags::RDWR | OpenFlags::EXCL, 0o640, me()).unwrap();
    assert_eq!(attr.mode & 0o7777, 0o640);
    rustix::io::pwrite(&fd, b"hello", 0).unwrap();
    assert_eq!(g.getattr(f).unwrap().size, 5);
    assert_eq!(g.create(root, b"f", OpenFlags::EXCL, 0o640, me()).unwrap_err(), Errno::EEXIST);
    let set = SetAttr { mode: Some(0o600), size: Some(2), ..SetAttr::default() };
    assert_eq!(g.setattr(f, set).unwrap().size, 2);
    assert_eq!(std::fs::metadata(dir.path().join("f")).unwrap().permissions().mode() & 0o7777, 0o600);

    let (sub, _) = g.mkdir(root, b"sub", 0o755, me()).unwrap();
    g.rename(root, b"f", sub, b"g", RenameFlags::NOREPLACE).unwrap();
    assert_eq!(g.link(f, root, b"h").unwrap().nlink, 2);
    let (link, _) = g.symlink(root, b"s", b"sub/g", me()).unwrap();
    assert_eq!(g.readlink(link).unwrap(), b"sub/g");
    assert_eq!(g.readlink(f).unwrap_err(), Errno::EINVAL);
    let (fifo, _) = g.mknod(root, b"p", SpecialKind::Fifo, 0o600, me()).unwrap();
    assert_eq!(g.open(fifo, OpenFlags::RDONLY).unwrap_err(), Errno::ENXIO, "opening it would block");
    let mut names: Vec<_> = g.readdir(root).unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
    names.sort();
    assert_eq!(names, [(b"h".to_vec(), 8), (b"p".to_vec(), 1), (b"s".to_vec(), 10), (b"sub".to_vec(), 4)]);
    assert_eq!(g.unlink(root, b"sub", true).unwrap_err(), Errno::ENOTEMPTY);
    g.unlink(sub, b"g", false).unwrap();
    g.unlink(root, b"sub", true).unwrap();
    assert!(!dir.path().join("sub").exists());
    assert!(g.statfs(root).unwrap().block_size > 0);
}

#[test]
fn a_forgotten_node_is_gone_and_its_id_is_not_reused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "").unwrap();
    let g = serve(&[(dir.path(), true)]);
    let (root, _) = g.attach(0).unwrap();
    let f = one(&g, root, "f").unwrap();
    g.forget(&[f, f]);
    assert_eq!(g.getattr(f).unwrap_err(), Errno::EBADF);
    let again = one(&g, root, "f").unwrap();
    assert_ne!(f, again);
    assert_eq!(g.getattr(f).unwrap_err(), Errno::EBADF);
}

#[test]
fn a_large_directory_comes_in_parts_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..2000 {
        std::fs::write(dir.path().join(format!("{i:0>200}")), "").unwrap();
    }
    let g = serve(&[(dir.path(), true)]);
    let (root, _) = g.attach(0).unwrap();
    let mut names: Vec<_> = g.readdir(root).unwrap().into_iter().map(|e| e.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 2000);
}

#[test]
fn the_hosts_proc_shows_as_an_empty_directory_and_opens_nothing() {
    let g = serve(&[(Path::new("/"), true)]);
    let (root, _) = g.attach(0).unwrap();
    let proc = one(&g, root, "proc").unwrap();
    assert_eq!(g.readdir(proc).unwrap(), []);
    assert_eq!(one(&g, proc, "self").unwrap_err(), Errno::ENOENT);
    assert_eq!(g.open(proc, OpenFlags::DIRECTORY).unwrap_err(), Errno::EOPNOTSUPP);
    assert_eq!(g.proc_open(1, ProcFile::Mem).unwrap_err(), Errno::ENOSYS);
    let null = g.walk(root, &[b"dev", b"null"]).unwrap();
    if let Some((null, _)) = null.nodes.get(1) {
        assert_eq!(g.open(*null, OpenFlags::RDONLY).unwrap_err(), Errno::ENXIO);
    }
}

#[test]
fn a_client_whose_server_is_gone_gets_errors() {
    let (ours, theirs) = pair();
    let g = Gofer::new(ours);
    drop(theirs);
    assert_eq!(g.attach(0).unwrap_err(), Errno::EPIPE);
}

/// As [`serve`] of one writable directory where files may get set-id bits.
fn serve_suid(path: &Path) -> Gofer {
    let (ours, theirs) = pair();
    let mounts = vec![MountSource { fd: path_fd(path), read_only: false }];
    std::thread::spawn(move || {
        let fds = open_own_fds().unwrap();
        let mut server = Server::new(mounts, &fds, None).unwrap();
        server.allow_set_ids(0);
        server.serve(theirs)
    });
    Gofer::new(ours)
}

#[test]
fn set_id_bits_do_not_reach_the_host_unless_they_may() {
    for (suid, kept) in [(false, 0), (true, 0o6000)] {
        let dir = tempfile::tempdir().unwrap();
        let g = if suid { serve_suid(dir.path()) } else { serve(&[(dir.path(), false)]) };
        let (root, _) = g.attach(0).unwrap();
        let mode = |name: &str| dir.path().join(name).metadata().unwrap().mode() & 0o7777;
        let (made, attr, _) = g.create(root, b"made", OpenFlags::RDWR | OpenFlags::EXCL, 0o6755, me()).unwrap();
        assert_eq!((attr.mode & 0o7777, mode("made")), (0o755 | kept, 0o755 | kept), "create");
        let attr = g.setattr(made, SetAttr { mode: Some(0o7711), ..SetAttr::default() }).unwrap();
        assert_eq!((attr.mode & 0o7777, mode("made")), (0o1711 | kept, 0o1711 | kept), "chmod");
        g.mknod(root, b"node", SpecialKind::Regular, 0o6755, me()).unwrap();
        assert_eq!(mode("node"), 0o755 | kept, "mknod");
        // Directories hand their group on; there is nothing to run.
        let (sub, _) = g.mkdir(root, b"sub", 0o755, me()).unwrap();
        g.setattr(sub, SetAttr { mode: Some(0o2755), ..SetAttr::default() }).unwrap();
        assert_eq!(mode("sub"), 0o2755);
        // What the host has is not written and left as privileged as it was.
        for flags in [OpenFlags::WRONLY, OpenFlags::RDWR, OpenFlags::TRUNC] {
            let host = dir.path().join("host");
            std::fs::write(&host, "program").unwrap();
            std::fs::set_permissions(&host, std::fs::Permissions::from_mode(0o6755)).unwrap();
            let node = one(&g, root, "host").unwrap();
            g.open(node, OpenFlags::RDONLY).unwrap();
            assert_eq!(mode("host"), 0o6755);
            g.open(node, flags).unwrap();
            assert_eq!(mode("host") & !kept, 0o755, "{flags:?}");
            std::fs::set_permissions(&host, std::fs::Permissions::from_mode(0o6755)).unwrap();
            g.create(root, b"host", flags, 0, me()).unwrap();
            assert_eq!(mode("host") & !kept, 0o755, "create with {flags:?}");
        }
    }
}

/// Detached trees are what the gofer of root has; the host does not look after mount points in them.
#[test]
fn mount_points_are_neither_opened_nor_removed() {
    use bevor_hostcall::confine::clone_tree;
    use bevor_hostcall::process::{Namespaces, unshare};
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    unshare(Namespaces::MOUNT).unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["proc", "plain", "other"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    std::fs::write(path("knob"), "").unwrap();
    mount("proc", path("proc"), "proc", MountFlags::empty(), None).unwrap();
    mount("plain", path("plain"), "tmpfs", MountFlags::empty(), None).unwrap();
    mount_bind("/proc/sys/kernel/core_pattern", path("knob")).unwrap();
    let (ours, theirs) = pair();
    let mounts = vec![MountSource { fd: clone_tree(dir.path(), false).unwrap(), read_only: false }];
    std::thread::spawn(move || {
        let fds = open_own_fds().unwrap();
        Server::new(mounts, &fds, None).unwrap().serve(theirs)
    });
    let g = Gofer::new(ours);
    let (root, _) = g.attach(0).unwrap();

    let hidden = Errno::EOPNOTSUPP;
    for name in ["proc", "knob"] {
        let bytes = name.as_bytes();
        for flags in [OpenFlags::RDONLY, OpenFlags::WRONLY, OpenFlags::TRUNC] {
            assert_eq!(g.create(root, bytes, flags, 0, me()).unwrap_err(), hidden, "{name} {flags:?}");
        }
        assert_eq!(g.create(root, bytes, OpenFlags::EXCL, 0, me()).unwrap_err(), Errno::EEXIST);
        assert_eq!(g.mkdir(root, bytes, 0, me()).unwrap_err(), Errno::EEXIST);
        assert_eq!(g.mknod(root, bytes, SpecialKind::Fifo, 0, me()).unwrap_err(), Errno::EEXIST);
        assert_eq!(g.symlink(root, bytes, b"x", me()).unwrap_err(), Errno::EEXIST);
        let node = one(&g, root, name).unwrap();
        assert_eq!(g.open(node, OpenFlags::RDONLY).unwrap_err(), hidden);
        assert_eq!(g.open(node, OpenFlags::WRONLY).unwrap_err(), Errno::EROFS);
        assert_eq!(g.link(node, root, b"linked").unwrap_err(), Errno::EROFS);
        assert_eq!(g.setattr(node, SetAttr { mode: Some(0o777), ..SetAttr::default() }).unwrap_err(), Errno::EROFS);
        assert_eq!(g.listxattr(node).unwrap_err(), hidden);
    }
    for name in ["proc", "plain", "knob"] {
        let bytes = name.as_bytes();
        assert_eq!(g.unlink(root, bytes, name != "knob").unwrap_err(), Errno::EBUSY, "{name}");
        assert_eq!(g.rename(root, bytes, root, b"moved", RenameFlags::empty()).unwrap_err(), Errno::EBUSY, "{name}");
        assert_eq!(g.rename(root, b"other", root, bytes, RenameFlags::EXCHANGE).unwrap_err(), Errno::EBUSY, "{name}");
    }
    assert!(path("proc/self").exists(), "everything is still mounted");
    // What is mounted there is shown where it is no pseudo file system, and its neighbours can be removed.
    let plain = one(&g, root, "plain").unwrap();
    g.create(plain, b"file", OpenFlags::EXCL, 0o644, me()).unwrap();
    assert!(path("plain/file").exists());
    g.rename(root, b"other", root, b"moved", RenameFlags::empty()).unwrap();
    g.unlink(root, b"moved", true).unwrap();
}

/// Every prefix and every one-byte change of valid messages either decodes or is refused; nothing panics.
#[test]
fn mangled_messages_never_panic_the_decoder() {
    let (a, b) = (decode::<NodeId>(&[5]).unwrap(), decode::<NodeId>(&[7]).unwrap());
    let messages = [
        Request::Walk(a, vec![b"etc", b"passwd"]),
        Request::Rename(a, b"old", b, b"new", 1),
        Request::SetAttr(a, SetAttr::default()),
        Request::Forget(vec![a, b]),
        Request::ProcOpen(7, ProcFile::Mem),
        Request::ReadOnly,
    ];
    let mut buf = [0; 256];
    for message in &messages {
        let packet = encode(message, &mut buf).unwrap().to_vec();
        assert_eq!(decode::<Request<'_>>(&packet).as_ref(), Ok(message));
        for cut in 0..packet.len() {
            assert!(decode::<Request<'_>>(&packet[..cut]).is_err());
        }
        for at in 0..packet.len() {
            for value in 0..=u8::MAX {
                let mut mangled = packet.clone();
                mangled[at] = value;
                if let Ok(request) = decode::<Request<'_>>(&mangled) {
                    assert_eq!(decode::<Request<'_>>(encode(&request, &mut buf).unwrap()).unwrap(), request);
                }
            }
        }
    }
}

#[test]
fn a_memory_file_comes_back_for_reading_only() {
    use bevor_hostcall::{HostFd, file};
    use rustix::fs::{Mode, OFlags};

    let dir = tempfile::tempdir().unwrap();
    let g = serve(&[(dir.path(), true)]);
    let memory = bevor_hostcall::fd::memfd(c"memory").unwrap();
    file::pwrite(&memory, b"text", 0).unwrap();
    let reader = g.read_only(&memory).unwrap();
    assert_eq!(read_all(&reader), b"text");
    assert_eq!(rustix::fs::fcntl_getfl(&reader).unwrap() & OFlags::RWMODE, OFlags::RDONLY);
    assert_eq!(file::pwrite(&reader, b"x", 0), Err(Errno::EBADF));
    assert_eq!(g.read_only(&reader).map(|_| ()), Ok(()));

    // Nothing else, and never more than what was sent can do.
    let own = |flags| HostFd::new(rustix::fs::open(format!("/proc/self/fd/{}", memory.raw()), flags, Mode::empty()).unwrap());
    assert_eq!(g.read_only(&own(OFlags::WRONLY)).unwrap_err(), Errno::EINVAL);
    assert_eq!(g.read_only(&own(OFlags::PATH)).unwrap_err(), Errno::EINVAL);
    std::fs::write(dir.path().join("file"), "secret").unwrap();
    let host = HostFd::new(std::fs::File::open(dir.path().join("file")).unwrap().into());
    assert_eq!(g.read_only(&host).unwrap_err(), Errno::EINVAL);
    let (socket, _other) = pair();
    assert_eq!(g.read_only(&HostFd::new(socket)).unwrap_err(), Errno::EINVAL);
}

/// As a sentry that a guest has taken over would ask: no request gets at what is hidden, and none changes it.
#[test]
fn what_is_masked_is_out_of_reach_of_every_request() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
    std::fs::create_dir(at("keys")).unwrap();
    for name in ["keys/id", "shadow", "plain"] {
        std::fs::write(at(name), name).unwrap();
    }
    std::fs::hard_link(at("shadow"), at("again")).unwrap();
    let (ours, theirs) = pair();
    let mounts = vec![MountSource { fd: path_fd(dir.path()), read_only: false }];
    let masks = vec![Mask::new(&at("keys")).unwrap(), Mask::new(&at("shadow")).unwrap()];
    std::thread::spawn(move || {
        let fds = open_own_fds().unwrap();
        let mut server = Server::new(mounts, &fds, None).unwrap();
        server.hide(masks, &fds).unwrap();
        server.serve(theirs)
    });
    let g = Gofer::new(ours);
    let (root, _) = g.attach(0).unwrap();
    let (keys, plain) = (one(&g, root, "keys").unwrap(), one(&g, root, "plain").unwrap());
    assert_eq!(one(&g, keys, "id"), Err(Errno::ENOENT));
    assert_eq!(g.readdir(keys).unwrap(), []);
    assert_eq!(g.open(keys, OpenFlags::DIRECTORY).map(drop), Err(Errno::EOPNOTSUPP));
    assert_eq!(g.unlink(keys, b"id", false), Err(Errno::EROFS));
    for name in ["shadow", "again"] {
        let file = one(&g, root, name).unwrap();
        assert_eq!((g.getattr(file).unwrap().size, g.getattr(file).unwrap().mode), (0, 0o100_444));
        let fd = g.open(file, OpenFlags::RDONLY).unwrap();
        assert_eq!(read_all(&fd), b"");
        // Nor does it lead anywhere, or let anyone leave something for the next one.
        assert!(rustix::io::write(&fd, b"x").is_err() && rustix::fs::ftruncate(&fd, 1).is_err());
        assert_eq!(g.open(file, OpenFlags::RDWR).map(drop), Err(Errno::EROFS));
        assert_eq!(g.setattr(file, SetAttr { size: Some(0), ..SetAttr::default() }).map(drop), Err(Errno::EROFS));
        assert_eq!(g.link(file, root, b"third").map(drop), Err(Errno::EROFS));
        let name = name.as_bytes();
        assert_eq!(g.create(root, name, OpenFlags::RDWR, 0o644, me()).map(drop), Err(Errno::EROFS));
        assert_eq!(g.unlink(root, name, false), Err(Errno::EROFS));
        assert_eq!(g.rename(root, b"plain", root, name, RenameFlags::empty()), Err(Errno::EROFS));
        assert_eq!(g.rename(root, name, root, b"out", RenameFlags::empty()), Err(Errno::EROFS));
    }
    for flags in [RenameFlags::empty(), RenameFlags::EXCHANGE] {
        assert_eq!(g.rename(root, b"keys", root, b"plain", flags), Err(Errno::EROFS));
    }
    assert_eq!(read_all(g.open(plain, OpenFlags::RDONLY).unwrap()), b"plain");
    assert_eq!(std::fs::read(at("shadow")).unwrap(), b"shadow");
}

#[test]
fn user_attributes_change_and_those_that_speak_to_the_host_do_not() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    symlink("file", dir.path().join("link")).unwrap();
    let g = serve(&[(dir.path(), false), (dir.path(), true)]);
    let root = g.attach(0).unwrap().0;
    let file = one(&g, root, "file").unwrap();
    g.setxattr(file, b"user.a", b"1", 0).unwrap();
    assert_eq!(g.getxattr(file, b"user.a").unwrap(), b"1");
    assert_eq!(g.setxattr(file, b"user.a", b"2", 1).unwrap_err(), Errno::EEXIST);
    assert_eq!(g.setxattr(file, b"user.b", b"2", 2).unwrap_err(), Errno::ENODATA);
    assert_eq!(g.setxattr(file, b"user.a", b"2", 4).unwrap_err(), Errno::EINVAL);
    assert_eq!(g.setxattr(file, b"user.a", &[0; 61 * 1024], 0).unwrap_err(), Errno::E2BIG);
    for name in ["security.capability", "security.x", "trusted.a", "system.posix_acl_access", "user", "x"] {
        assert_eq!(g.setxattr(file, name.as_bytes(), b"1", 0).unwrap_err(), Errno::EOPNOTSUPP, "{name}");
        assert_eq!(g.removexattr(file, name.as_bytes()).unwrap_err(), Errno::EOPNOTSUPP, "{name}");
    }
    g.removexattr(file, b"user.a").unwrap();
    assert_eq!(g.getxattr(file, b"user.a").unwrap_err(), Errno::ENODATA);
    let link = one(&g, root, "link").unwrap();
    assert_eq!(g.setxattr(link, b"user.a", b"1", 0).unwrap_err(), Errno::EPERM);
    assert_eq!(g.listxattr(file).unwrap(), Vec::<Vec<u8>>::new(), "not through the link");
    let read_only = one(&g, g.attach(1).unwrap().0, "file").unwrap();
    assert_eq!(g.setxattr(read_only, b"user.a", b"1", 0).unwrap_err(), Errno::EROFS);
    assert_eq!(g.removexattr(read_only, b"user.a").unwrap_err(), Errno::EROFS);
}

#[test]
fn an_unnamed_file_is_made_opened_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let g = serve(&[(dir.path(), false), (dir.path(), true)]);
    let root = g.attach(0).unwrap().0;
    let (node, attr) = g.tmpfile(root, 0o6750, me()).unwrap();
    assert_eq!((attr.nlink, attr.mode & 0o7777), (0, 0o750), "set-id bits do not reach the host");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    rustix::io::write(g.open(node, OpenFlags::RDWR).unwrap(), b"data").unwrap();
    assert_eq!(g.link(node, root, b"named").unwrap().nlink, 1);
    assert_eq!(std::fs::read(dir.path().join("named")).unwrap(), b"data");
    assert_eq!(g.tmpfile(node, 0o600, me()).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(g.tmpfile(g.attach(1).unwrap().0, 0o600, me()).unwrap_err(), Errno::EROFS);
}
