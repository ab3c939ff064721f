//! Path lookup, tmpfs, overlay, epoll and descriptor tables on in-memory file systems.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bevor_abi::fs::o;
use bevor_abi::{Errno, Fd};
use bevor_core::creds::{CapSet, Credentials};
use bevor_core::epoll::{EDGE, Epoll, ONESHOT};
use bevor_core::eventfd::EventFd;
use bevor_core::io::{SliceSource, VecSink};
use bevor_core::pipe::Pipe;
use bevor_core::time::{Instant, TimerId, Timers};
use bevor_core::vfs::{
    Caller, FdTable, File, FileKind, FsContext, Inode, MountNamespace, OpenRequest, Opened, Path, SetAttr, Vfs, WalkFlags,
};
use bevor_core::wait::{PollEvents, Waiter};
use bevor_fs::overlay::OverlayFs;
use bevor_fs::tmpfs::TmpFs;
use bevor_hostcall::{HostFd, file};

#[derive(Default)]
struct Clock(AtomicU64);

impl Timers for Clock {
    fn now(&self) -> Instant {
        Instant(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn realtime(&self) -> u64 {
        1_700_000_000_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed)
    }
    fn schedule(&self, _at: Instant, _events: PollEvents, _waiter: Arc<dyn Waiter>) -> TimerId {
        TimerId(0)
    }
    fn cancel(&self, _id: TimerId) {}
}

struct World {
    vfs: Arc<Vfs>,
    fs: Arc<FsContext>,
    creds: Credentials,
}

impl World {
    fn on(vfs: Arc<Vfs>, root: Arc<Inode>) -> Self {
        let mount = vfs.new_mount(root, "root", 0);
        let ns = MountNamespace::new(Arc::clone(&vfs), mount);
        Self { vfs, fs: FsContext::new(ns), creds: Credentials::root() }
    }

    fn tmpfs() -> Self {
        let vfs = Vfs::new(Arc::new(Clock::default()));
        let root = TmpFs::new(&vfs, 0o755);
        Self::on(vfs, root)
    }

    /// An overlay over a lower tree that `fill` made.
    fn overlay(fill: impl FnOnce(&World)) -> (Self, Self) {
        let lower = Self::tmpfs();
        fill(&lower);
        let lower_root = Arc::clone(lower.fs.root().dentry.inode());
        let upper = TmpFs::new(&lower.vfs, 0o755);
        let root = OverlayFs::new(&lower.vfs, upper, lower_root);
        (Self::on(Arc::clone(&lower.vfs), root), lower)
    }

    fn caller(&self) -> Caller<'_> {
        Caller { creds: &self.creds, pid: 1, tid: 1 }
    }

    fn mkdir(&self, path: &str) -> Result<(), Errno> {
        self.fs.make_node(None, path.as_bytes(), self.caller(), FileKind::Directory, 0o755, 0).map(|_| ())
    }

    fn symlink(&self, target: &str, path: &str) {
        self.fs.symlink(target.as_bytes(), None, path.as_bytes(), self.caller()).unwrap();
    }

    fn open(&self, path: &str, flags: u32) -> Result<Arc<File>, Errno> {
        let request = OpenRequest { flags, mode: 0o644, resolve: WalkFlags::empty() };
        match self.fs.open(None, path.as_bytes(), self.caller(), &request)? {
            Opened::File(file) => Ok(file),
            Opened::Fifo(_) => Err(Errno::ENXIO),
        }
    }

    fn put(&self, path: &str, data: &str) {
        let file = self.open(path, o::CREAT | o::WRONLY | o::TRUNC).unwrap();
        file.write(&mut SliceSource(data.as_bytes())).unwrap();
    }

    fn get(&self, path: &str) -> Result<String, Errno> {
        let file = self.open(path, o::RDONLY)?;
        let mut data = Vec::new();
        file.read(&mut VecSink { data: &mut data, room: 1 << 20 })?;
        Ok(String::from_utf8(data).unwrap())
    }

    fn resolve(&self, path: &str, flags: WalkFlags) -> Result<Path, Errno> {
        self.fs.resolve(None, path.as_bytes(), self.caller(), flags)
    }

    fn list(&self, path: &str) -> Vec<String> {
        let file = self.open(path, o::RDONLY | o::DIRECTORY).unwrap();
        let mut names = Vec::new();
        file.ops()
            .readdir(&file, 2, &mut |e| {
                names.push(String::from_utf8(e.name.to_vec()).unwrap());
                true
            })
            .unwrap();
        names.sort();
        names
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        self.fs.rename((None, from.as_bytes()), (None, to.as_bytes()), self.caller(), 0)
    }

    fn unlink(&self, path: &str) -> Result<(), Errno> {
        self.fs.unlink(None, path.as_bytes(), self.caller())
    }

    fn rmdir(&self, path: &str) -> Result<(), Errno> {
        self.fs.rmdir(None, path.as_bytes(), self.caller())
    }
}

fn error<T>(result: Result<T, Errno>) -> Option<Errno> {
    result.err()
}

#[test]
fn trailing_slashes_demand_a_directory() {
    let w = World::tmpfs();
    w.put("/file", "x");
    w.mkdir("/dir/").unwrap();
    w.symlink("dir", "/link");
    w.symlink("file", "/flink");
    assert_eq!(error(w.resolve("/file/", WalkFlags::FOLLOW)), Some(Errno::ENOTDIR));
    assert_eq!(error(w.resolve("/flink/", WalkFlags::empty())), Some(Errno::ENOTDIR));
    assert!(w.resolve("/link/", WalkFlags::empty()).unwrap().dentry.inode().is_dir());
    assert!(w.resolve("/link", WalkFlags::empty()).unwrap().dentry.inode().is_symlink());
    assert_eq!(error(w.open("/new/", o::CREAT | o::WRONLY)), Some(Errno::EISDIR));
    assert_eq!(w.unlink("/file/"), Err(Errno::ENOTDIR));
    assert_eq!(w.rmdir("/link/"), Err(Errno::ENOTDIR));
    assert_eq!(w.rmdir("/dir/."), Err(Errno::EINVAL));
    assert_eq!(w.rmdir("/dir/.."), Err(Errno::ENOTEMPTY));
}

#[test]
fn forty_links_are_followed_and_the_next_is_eloop() {
    let w = World::tmpfs();
    w.put("/l0", "end");
    for i in 1..=41 {
        w.symlink(&format!("l{}", i - 1), &format!("/l{i}"));
    }
    assert_eq!(w.get("/l40").as_deref(), Ok("end"));
    assert_eq!(error(w.get("/l41")), Some(Errno::ELOOP));
    w.symlink("self", "/self");
    assert_eq!(error(w.get("/self")), Some(Errno::ELOOP));
}

#[test]
fn dot_dot_stops_at_the_root_and_crosses_mounts_upwards() {
    let w = World::tmpfs();
    w.mkdir("/mnt").unwrap();
    w.put("/top", "top");
    let other = w.vfs.new_mount(TmpFs::new(&w.vfs, 0o755), "other", 0);
    let at = w.resolve("/mnt", WalkFlags::FOLLOW).unwrap();
    w.fs.ns.attach(&other, &at).unwrap();
    w.put("/mnt/inside", "inside");
    assert_eq!(w.get("/mnt/../../../top").as_deref(), Ok("top"));
    assert_eq!(w.get("/mnt/inside").as_deref(), Ok("inside"));
    assert_eq!(w.rmdir("/mnt"), Err(Errno::EBUSY));
    assert_eq!(w.rename("/mnt/inside", "/inside"), Err(Errno::EXDEV));
    assert_eq!(error(w.resolve("/mnt/inside", WalkFlags::NO_XDEV)), Some(Errno::EXDEV));
    let inside = w.resolve("/mnt/inside", WalkFlags::FOLLOW).unwrap();
    assert_eq!(w.fs.display(&inside), b"/mnt/inside");
    w.fs.ns.detach(&other, false).unwrap();
    assert_eq!(error(w.get("/mnt/inside")), Some(Errno::ENOENT));
}

#[test]
fn resolve_beneath_refuses_every_way_out_and_in_root_bends_it() {
    let w = World::tmpfs();
    w.mkdir("/d").unwrap();
    w.put("/outside", "o");
    w.put("/d/outside", "i");
    w.symlink("/outside", "/d/abs");
    w.symlink("../outside", "/d/up");
    let d = w.resolve("/d", WalkFlags::FOLLOW).unwrap();
    let look = |path: &str, flags| w.fs.resolve(Some(&d), path.as_bytes(), w.caller(), flags | WalkFlags::FOLLOW);
    for path in ["../outside", "/outside", "abs", "up"] {
        assert_eq!(error(look(path, WalkFlags::BENEATH)), Some(Errno::EXDEV), "{path}");
        let found = look(path, WalkFlags::IN_ROOT).unwrap();
        assert_eq!(w.fs.display(&found), b"/d/outside", "{path}");
    }
    assert_eq!(error(look("abs", WalkFlags::NO_SYMLINKS)), Some(Errno::ELOOP));
}

#[test]
fn permissions_follow_owner_group_other_and_the_sticky_bit() {
    let mut w = World::tmpfs();
    w.mkdir("/tmp").unwrap();
    let tmp = w.resolve("/tmp", WalkFlags::FOLLOW).unwrap();
    let inode = tmp.dentry.inode();
    let set = SetAttr { mode: Some(0o1777), ..SetAttr::default() };
    inode.ops().setattr(inode, &set).unwrap();
    w.put("/tmp/root", "secret");
    w.creds = Credentials { fsuid: 1000, fsgid: 1000, effective: CapSet(0), ..Credentials::default() };
    assert_eq!(error(w.open("/tmp/root", o::WRONLY)), Some(Errno::EACCES));
    assert_eq!(w.unlink("/tmp/root"), Err(Errno::EPERM));
    assert_eq!(error(w.open("/new", o::CREAT | o::WRONLY)), Some(Errno::EACCES));
    w.put("/tmp/mine", "x");
    assert_eq!(w.unlink("/tmp/mine"), Ok(()));
}

#[test]
fn rename_keeps_the_tree_a_tree() {
    let w = World::tmpfs();
    w.mkdir("/a").unwrap();
    w.mkdir("/a/b").unwrap();
    w.mkdir("/full").unwrap();
    w.put("/full/x", "x");
    w.put("/f", "f");
    assert_eq!(w.rename("/a", "/a/b/c"), Err(Errno::EINVAL));
    assert_eq!(w.rename("/a/b", "/a"), Err(Errno::ENOTEMPTY));
    assert_eq!(w.rename("/a", "/full"), Err(Errno::ENOTEMPTY));
    assert_eq!(w.rename("/a", "/f"), Err(Errno::ENOTDIR));
    assert_eq!(w.rename("/f", "/a"), Err(Errno::EISDIR));
    assert_eq!(w.rename("/a", "/."), Err(Errno::EBUSY));
    w.rename("/full", "/a/b").unwrap();
    assert_eq!(w.get("/a/b/x").as_deref(), Ok("x"));
    assert_eq!(error(w.get("/full/x")), Some(Errno::ENOENT));
}

#[test]
fn a_file_grows_past_a_page_and_keeps_its_holes() {
    let w = World::tmpfs();
    let file = w.open("/f", o::CREAT | o::RDWR).unwrap();
    file.write(&mut SliceSource(b"head")).unwrap();
    file.pwrite(1 << 20, &mut SliceSource(b"tail")).unwrap();
    assert_eq!(file.inode().attr().unwrap().size, (1 << 20) + 4);
    let mut data = Vec::new();
    file.pread(2, &mut VecSink { data: &mut data, room: 4 }).unwrap();
    assert_eq!(data, b"ad\0\0");
    assert_eq!(file.seek(0, 4), Ok(4096));
    assert_eq!(file.seek(4096, 3), Ok(1 << 20));
    assert_eq!(file.seek((1 << 20) + 4, 3), Err(Errno::ENXIO));
    file.ops().truncate(&file, 3).unwrap();
    file.ops().truncate(&file, 6).unwrap();
    assert_eq!(w.get("/f").as_deref(), Ok("hea\0\0\0"));
}

#[test]
fn overlay_copies_up_and_leaves_the_lower_file_alone() {
    let (w, lower) = World::overlay(|l| {
        l.mkdir("/d").unwrap();
        l.put("/d/f", "lower");
    });
    let before = w.resolve("/d/f", WalkFlags::FOLLOW).unwrap();
    let ino = before.dentry.inode().attr().unwrap().ino;
    let file = w.open("/d/f", o::WRONLY | o::APPEND).unwrap();
    file.write(&mut SliceSource(b"+upper")).unwrap();
    assert_eq!(w.get("/d/f").as_deref(), Ok("lower+upper"));
    assert_eq!(lower.get("/d/f").as_deref(), Ok("lower"));
    assert_eq!(before.dentry.inode().attr().unwrap().ino, ino);
}

#[test]
fn overlay_hides_what_was_removed_and_lists_each_name_once() {
    let (w, lower) = World::overlay(|l| {
        l.mkdir("/d").unwrap();
        l.put("/d/gone", "g");
        l.put("/d/kept", "k");
        l.put("/d/changed", "c");
    });
    w.unlink("/d/gone").unwrap();
    w.put("/d/changed", "new");
    w.put("/d/added", "a");
    assert_eq!(error(w.get("/d/gone")), Some(Errno::ENOENT));
    assert_eq!(w.list("/d"), ["added", "changed", "kept"]);
    w.put("/d/gone", "back");
    assert_eq!(w.get("/d/gone").as_deref(), Ok("back"));
    assert_eq!(lower.get("/d/gone").as_deref(), Ok("g"));
}

#[test]
fn a_directory_made_anew_does_not_show_what_the_lower_one_held() {
    let (w, _lower) = World::overlay(|l| {
        l.mkdir("/d").unwrap();
        l.put("/d/old", "o");
    });
    assert_eq!(w.rmdir("/d"), Err(Errno::ENOTEMPTY));
    w.unlink("/d/old").unwrap();
    w.rmdir("/d").unwrap();
    w.mkdir("/d").unwrap();
    assert!(w.list("/d").is_empty());
    assert_eq!(error(w.get("/d/old")), Some(Errno::ENOENT));
}

#[test]
fn a_lower_directory_can_be_renamed_with_its_contents() {
    let (w, _lower) = World::overlay(|l| {
        l.mkdir("/d").unwrap();
        l.mkdir("/d/sub").unwrap();
        l.put("/d/sub/f", "deep");
    });
    w.rename("/d", "/e").unwrap();
    assert_eq!(w.get("/e/sub/f").as_deref(), Ok("deep"));
    assert_eq!(error(w.get("/d/sub/f")), Some(Errno::ENOENT));
    assert_eq!(w.list("/"), ["e"]);
    w.put("/e/sub/g", "new");
    assert_eq!(w.list("/e/sub"), ["f", "g"]);
}

#[test]
fn hard_links_of_a_lower_file_share_one_copy() {
    let (w, _lower) = World::overlay(|l| l.put("/f", "one"));
    let source = w.resolve("/f", WalkFlags::FOLLOW).unwrap();
    w.fs.link(&source, None, b"/g", w.caller()).unwrap();
    w.put("/g", "two");
    assert_eq!(w.get("/f").as_deref(), Ok("two"));
    let attr = |path| w.resolve(path, WalkFlags::FOLLOW).unwrap().dentry.inode().attr().unwrap();
    assert_eq!((attr("/f").nlink, attr("/f").ino), (2, attr("/g").ino));
}

#[test]
fn descriptors_are_the_lowest_free_and_dup_shares_the_position() {
    let w = World::tmpfs();
    w.put("/f", "abcdef");
    let table = FdTable::new();
    let file = || w.open("/f", o::RDONLY).unwrap();
    for n in 0..3 {
        assert_eq!(table.alloc(file(), false, 0, 10), Ok(Fd(n)));
    }
    table.close(Fd(1)).unwrap();
    assert_eq!(table.alloc(file(), true, 0, 10), Ok(Fd(1)));
    assert_eq!(table.alloc(file(), false, 7, 10), Ok(Fd(7)));
    assert_eq!(table.alloc(file(), false, 0, 3), Err(Errno::EMFILE));
    assert_eq!(table.alloc(file(), false, 0, 10), Ok(Fd(3)));
    table.dup_to(Fd(0), Fd(5), false, 10).unwrap();
    table.get(Fd(0)).unwrap().seek(4, 0).unwrap();
    assert_eq!(*table.get(Fd(5)).unwrap().position(), 4);
    let child = table.fork().unwrap();
    child.close_on_exec();
    assert_eq!(child.get(Fd(1)).err(), Some(Errno::EBADF));
    assert!(table.get(Fd(1)).is_ok());
    table.close_range(2, u32::MAX, false);
    assert_eq!(table.iter().map(|(fd, _, _)| fd.0).collect::<Vec<_>>(), [0, 1]);
}

fn events(epoll: &Arc<File>) -> Vec<(u32, u64)> {
    let mut out = Vec::new();
    let instance = epoll.downcast::<Epoll>().unwrap();
    instance.collect(16, &mut |e| out.push((e.events, e.data)));
    out
}

#[test]
fn level_edge_and_oneshot_report_as_often_as_they_should() {
    let w = World::tmpfs();
    let epoll = Epoll::create(&w.vfs, (0, 0), 0).unwrap();
    let e = epoll.downcast::<Epoll>().unwrap();
    let event = EventFd::create(&w.vfs, 0, false, 0, (0, 0));
    let input = PollEvents::IN.bits();
    e.add(&epoll, 3, &event, input, 7).unwrap();
    assert_eq!(e.add(&epoll, 3, &event, input, 7), Err(Errno::EEXIST));
    assert!(events(&epoll).is_empty());
    let fire = || event.write(&mut SliceSource(&1u64.to_le_bytes())).unwrap();
    fire();
    assert_eq!(events(&epoll), [(input, 7)]);
    assert_eq!(events(&epoll), [(input, 7)], "level stays");
    e.modify(3, &event, input | EDGE, 8).unwrap();
    assert_eq!(events(&epoll), [(input, 8)]);
    assert!(events(&epoll).is_empty(), "edge reports once");
    fire();
    assert_eq!(events(&epoll), [(input, 8)]);
    e.modify(3, &event, input | ONESHOT, 9).unwrap();
    assert_eq!(events(&epoll), [(input, 9)]);
    fire();
    assert!(events(&epoll).is_empty(), "one shot is spent");
    e.modify(3, &event, input | ONESHOT, 10).unwrap();
    assert_eq!(events(&epoll), [(input, 10)]);
    e.remove(3, &event).unwrap();
    assert_eq!(e.remove(3, &event), Err(Errno::ENOENT));
}

#[test]
fn epoll_refuses_circles_and_plain_files_and_forgets_closed_ones() {
    let w = World::tmpfs();
    let (a, b) = (Epoll::create(&w.vfs, (0, 0), 0).unwrap(), Epoll::create(&w.vfs, (0, 0), 0).unwrap());
    let (ea, eb) = (a.downcast::<Epoll>().unwrap(), b.downcast::<Epoll>().unwrap());
    ea.add(&a, 1, &b, PollEvents::IN.bits(), 0).unwrap();
    assert_eq!(eb.add(&b, 2, &a, PollEvents::IN.bits(), 0), Err(Errno::ELOOP));
    w.put("/f", "x");
    let plain = w.open("/f", o::RDONLY).unwrap();
    assert_eq!(ea.add(&a, 3, &plain, PollEvents::IN.bits(), 0), Err(Errno::EPERM));
    let [r, t] = Pipe::create(&w.vfs, 0, (0, 0));
    eb.add(&b, 4, &r, PollEvents::IN.bits(), 5).unwrap();
    t.write(&mut SliceSource(b"x")).unwrap();
    assert!(a.poll().contains(PollEvents::IN), "readiness passes through the nesting");
    drop(r);
    assert!(events(&b).is_empty());
    assert_eq!(t.write(&mut SliceSource(b"x")), Err(Errno::EPIPE));
}

#[test]
fn a_file_that_may_only_be_read_is_mapped_by_a_descriptor_that_can_do_no_more() {
    let w = World::tmpfs();
    w.put("/f", "text");
    let (reader, writer) = (w.open("/f", o::RDONLY).unwrap(), w.open("/f", o::RDWR).unwrap());
    let shared = writer.mapping(true).unwrap();
    // Without somebody who opens it again there is none.
    assert_eq!(error(reader.mapping(false)), Some(Errno::EACCES));
    let opened = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&opened);
    w.vfs.set_read_only(Box::new(move |fd| {
        count.fetch_add(1, Ordering::Relaxed);
        let file = std::fs::File::open(format!("/proc/self/fd/{}", fd.raw())).map_err(|_| Errno::EACCES)?;
        Ok(HostFd::new(file.into()))
    }));
    for file in [&reader, &writer, &reader] {
        let given = file.mapping(false).unwrap().fd;
        assert_eq!(file::pwrite(&given, b"x", 0), Err(Errno::EBADF));
        assert_eq!(file::fstat(&given), file::fstat(&shared.fd));
    }
    assert_eq!(opened.load(Ordering::Relaxed), 1);
}
