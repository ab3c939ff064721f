//! What an overlay shows once something could not be done for want of memory, and of copies without a name.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::fs::o;
use bevor_core::creds::Credentials;
use bevor_core::io::SliceSource;
use bevor_core::memory::MemoryBudget;
use bevor_core::vfs::{Caller, File, FileKind, FsContext, Inode, MountNamespace, SetAttr, Vfs, WalkFlags};
use bevor_fs::overlay::OverlayFs;
use bevor_fs::tmpfs::TmpFs;

mod common;
use common::Clock;

type Step = fn(&FsContext, Caller<'_>) -> Result<(), Errno>;

fn mkdir(fs: &FsContext, caller: Caller<'_>, path: &[u8]) -> Result<(), Errno> {
    fs.make_node(None, path, caller, FileKind::Directory, 0o755, 0).map(drop)
}

/// Each takes something away that the lower layer has, or puts something over it.
const STEPS: [(&str, Step); 9] = [
    ("unlink f", |fs, caller| fs.unlink(None, b"/f", caller)),
    ("mkdir f", |fs, caller| mkdir(fs, caller, b"/f")),
    ("rename d to e", |fs, caller| fs.rename((None, b"/d"), (None, b"/e"), caller, 0)),
    ("symlink d", |fs, caller| fs.symlink(b"nowhere", None, b"/d", caller)),
    ("unlink e/x", |fs, caller| fs.unlink(None, b"/e/x", caller)),
    ("rename f over e", |fs, caller| fs.rename((None, b"/f"), (None, b"/e"), caller, 0)),
    ("rename g to f", |fs, caller| fs.rename((None, b"/g"), (None, b"/f"), caller, 0)),
    ("mknod g", |fs, caller| fs.make_node(None, b"/g", caller, FileKind::Fifo, 0o644, 0).map(drop)),
    ("rmdir h", |fs, caller| fs.rmdir(None, b"/h", caller)),
];

/// The kinds of what there is.
fn shown(fs: &FsContext, caller: Caller<'_>) -> Vec<Option<FileKind>> {
    let all: [&[u8]; 8] = [b"/d", b"/d/x", b"/e", b"/e/x", b"/f", b"/f/x", b"/g", b"/h"];
    all.iter().map(|path| fs.resolve(None, path, caller, WalkFlags::empty()).ok().map(|at| at.dentry.inode().kind())).collect()
}

#[test]
fn what_fails_for_want_of_memory_has_changed_nothing() {
    let creds = Credentials::root();
    let caller = Caller { creds: &creds, pid: 1, tid: 1 };
    let (mut failed, mut done) = (0, 0);
    for room in 0..64 {
        let unbounded = Vfs::bounded(Arc::new(Clock::default()), MemoryBudget::unlimited());
        let vfs = Vfs::bounded(Arc::new(Clock::default()), MemoryBudget::new(4096 + room * 256));
        let at_root = |root| FsContext::new(MountNamespace::new(Arc::clone(&unbounded), unbounded.new_mount(root, "root", 0)));
        let lower = TmpFs::new(&unbounded, 0o755);
        let below = at_root(Arc::clone(&lower));
        for dir in [&b"/d"[..], b"/h"] {
            mkdir(&below, caller, dir).unwrap();
        }
        for file in [&b"/f"[..], b"/g", b"/d/x"] {
            below.make_node(None, file, caller, FileKind::Regular, 0o644, 0).unwrap();
        }
        let upper = TmpFs::new(&vfs, 0o755);
        // One that remembers nothing looks at the layers.
        let anew = || at_root(OverlayFs::new(&vfs, Arc::clone(&upper), Arc::clone(&lower)));
        let fs = anew();
        for (name, step) in STEPS {
            let before = shown(&anew(), caller);
            match step(&fs, caller) {
                Ok(()) => done += 1,
                Err(e) => {
                    failed += usize::from(e == Errno::ENOSPC);
                    assert_eq!(shown(&anew(), caller), before, "{name} with room {room}: {e:?}");
                }
            }
        }
    }
    assert!(failed > 50 && done > 50, "{failed} {done}");
}

#[test]
fn a_copy_without_a_name_changes_no_others_number() {
    let creds = Credentials::root();
    let caller = Caller { creds: &creds, pid: 1, tid: 1 };
    let vfs = Vfs::bounded(Arc::new(Clock::default()), MemoryBudget::unlimited());
    let at_root = |root| FsContext::new(MountNamespace::new(Arc::clone(&vfs), vfs.new_mount(root, "root", 0)));
    let lower = TmpFs::new(&vfs, 0o755);
    at_root(Arc::clone(&lower)).make_node(None, b"/f", caller, FileKind::Regular, 0o644, 0).unwrap();
    let fs = at_root(OverlayFs::new(&vfs, TmpFs::new(&vfs, 0o755), lower));
    let number = || fs.resolve(None, b"/n", caller, WalkFlags::empty()).unwrap().dentry.inode().ino();
    fs.make_node(None, b"/n", caller, FileKind::Regular, 0o644, 0).unwrap();
    let before = number();
    let removed = fs.resolve(None, b"/f", caller, WalkFlags::empty()).unwrap();
    fs.unlink(None, b"/f", caller).unwrap();
    let inode = removed.dentry.inode();
    inode.ops().setattr(inode, &SetAttr { mode: Some(0o600), ..SetAttr::default() }).unwrap();
    // Looked up anew.
    fs.root().dentry.invalidate();
    assert_eq!(number(), before);
}

#[test]
fn a_copy_for_which_there_is_no_room_leaves_nothing() {
    let creds = Credentials::root();
    let caller = Caller { creds: &creds, pid: 1, tid: 1 };
    let unbounded = Vfs::bounded(Arc::new(Clock::default()), MemoryBudget::unlimited());
    let vfs = Vfs::bounded(Arc::new(Clock::default()), MemoryBudget::new(1 << 20));
    let at_root = |root| FsContext::new(MountNamespace::new(Arc::clone(&unbounded), unbounded.new_mount(root, "root", 0)));
    let lower = TmpFs::new(&unbounded, 0o755);
    let file = at_root(Arc::clone(&lower)).make_node(None, b"/f", caller, FileKind::Regular, 0o755, 0).unwrap();
    let inode = file.dentry.inode();
    inode.ops().setattr(inode, &SetAttr { size: Some(2 << 20), ..SetAttr::default() }).unwrap();
    // Contents, of which a hole would take nothing.
    let open = File::new(file.clone(), inode.ops().open(inode, o::RDWR).unwrap(), o::RDWR);
    for at in 0..512 {
        open.ops().write_at(&open, at * 4096, &mut SliceSource(b"x")).unwrap();
    }
    let upper = TmpFs::new(&vfs, 0o755);
    let anew = || at_root(OverlayFs::new(&vfs, Arc::clone(&upper), Arc::clone(&lower)));
    let fs = anew();
    let empty = vfs.memory().used();
    let inode = |fs: &FsContext| Arc::clone(fs.resolve(None, b"/f", caller, WalkFlags::empty()).unwrap().dentry.inode());
    for _ in 0..2 {
        assert_eq!(inode(&fs).ops().open(&inode(&fs), o::RDWR).err(), Some(Errno::ENOSPC));
        assert_eq!(vfs.memory().used(), empty, "what was copied is kept");
        assert_eq!(inode(&anew()).attr().unwrap().size, 2 << 20);
    }
    // Without its contents there is room for it.
    assert!(inode(&fs).ops().open(&inode(&fs), o::WRONLY | o::TRUNC).is_ok());
    assert_eq!(inode(&anew()).attr().unwrap().nlink, 1);
}

#[test]
fn a_folder_whose_name_was_forgotten_is_copied_once() {
    let creds = Credentials::root();
    let caller = Caller { creds: &creds, pid: 1, tid: 1 };
    let vfs = Vfs::bounded(Arc::new(Clock::default()), MemoryBudget::unlimited());
    let at_root = |root| FsContext::new(MountNamespace::new(Arc::clone(&vfs), vfs.new_mount(root, "root", 0)));
    let lower = TmpFs::new(&vfs, 0o755);
    let below = at_root(Arc::clone(&lower));
    mkdir(&below, caller, b"/d").unwrap();
    for file in [&b"/d/x"[..], b"/d/y"] {
        below.make_node(None, file, caller, FileKind::Regular, 0o644, 0).unwrap();
    }
    let fs = at_root(OverlayFs::new(&vfs, TmpFs::new(&vfs, 0o755), lower));
    let inode = |path| Arc::clone(fs.resolve(None, path, caller, WalkFlags::empty()).unwrap().dentry.inode());
    let change = |inode: &Arc<Inode>, mode| inode.ops().setattr(inode, &SetAttr { mode: Some(mode), ..SetAttr::default() });
    // Files outlive the names that lead to them, and so do the folders that they are in.
    let (held, folder) = (inode(b"/d/x"), inode(b"/d"));
    fs.root().dentry.invalidate();
    let (other, again) = (inode(b"/d/y"), inode(b"/d/x"));
    change(&held, 0o600).unwrap();
    change(&other, 0o640).unwrap();
    change(&again, 0o604).unwrap();
    change(&folder, 0o700).unwrap();
    let modes = [&b"/d/x"[..], b"/d/y", b"/d"].map(|path| inode(path).attr().unwrap().mode & 0o777);
    assert_eq!(modes, [0o604, 0o640, 0o700]);
    assert_eq!(held.attr().unwrap().mode & 0o777, 0o604);
    // What was copied is the same inode, however often it is looked up.
    assert!(Arc::ptr_eq(&inode(b"/d"), &inode(b"/d")) && Arc::ptr_eq(&inode(b"/d/y"), &other));
}
