//! Trees of any depth: nothing that walks them or drops them goes deeper into the stack for it.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_core::creds::Credentials;
use bevor_core::memory::MemoryBudget;
use bevor_core::vfs::{Caller, FileKind, FsContext, Inode, MountNamespace, Vfs, WalkFlags};
use bevor_fs::overlay::OverlayFs;
use bevor_fs::tmpfs::TmpFs;

mod common;
use common::Clock;

const DEPTH: usize = 60_000;

fn vfs() -> Arc<Vfs> {
    Vfs::bounded(Arc::new(Clock::default()), MemoryBudget::unlimited())
}

fn at_root(vfs: &Arc<Vfs>, root: Arc<Inode>) -> Arc<FsContext> {
    FsContext::new(MountNamespace::new(Arc::clone(vfs), vfs.new_mount(root, "root", 0)))
}

fn overlay(vfs: &Arc<Vfs>) -> Arc<FsContext> {
    at_root(vfs, OverlayFs::new(vfs, TmpFs::new(vfs, 0o755), TmpFs::new(vfs, 0o755)))
}

/// Goes down into new directories, `DEPTH` of them.
fn dig(fs: &FsContext, caller: Caller<'_>) {
    for _ in 0..DEPTH {
        fs.make_node(None, b"d", caller, FileKind::Directory, 0o755, 0).unwrap();
        fs.set_cwd(fs.resolve(None, b"d", caller, WalkFlags::FOLLOW).unwrap());
    }
}

fn climb_and_remove(fs: &FsContext, caller: Caller<'_>) {
    for _ in 0..DEPTH {
        fs.set_cwd(fs.resolve(None, b"..", caller, WalkFlags::FOLLOW).unwrap());
        fs.rmdir(None, b"d", caller).unwrap();
    }
}

/// With a stack as small as the sentry's threads have.
fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 * 1024).spawn(body).unwrap().join().unwrap();
}

#[test]
fn a_removed_chain_of_directories_goes_with_its_deepest() {
    on_a_small_stack(|| {
        let creds = Credentials::root();
        let caller = Caller { creds: &creds, pid: 1, tid: 1 };
        let vfs = vfs();
        for fs in [at_root(&vfs, TmpFs::new(&vfs, 0o755)), overlay(&vfs)] {
            let before = vfs.memory().used();
            dig(&fs, caller);
            let deepest = fs.cwd();
            climb_and_remove(&fs, caller);
            drop(deepest);
            assert_eq!(vfs.memory().used(), before);
        }
    });
}

#[test]
fn a_deep_tree_goes_with_its_file_system_and_has_no_path() {
    on_a_small_stack(|| {
        let creds = Credentials::root();
        let caller = Caller { creds: &creds, pid: 1, tid: 1 };
        let vfs = vfs();
        for fs in [at_root(&vfs, TmpFs::new(&vfs, 0o755)), overlay(&vfs)] {
            dig(&fs, caller);
            assert_eq!(fs.getcwd(), Err(Errno::ENAMETOOLONG));
            assert!(fs.display(&fs.cwd()).len() < 8192);
            let root = fs.root();
            fs.set_cwd(root.clone());
            root.dentry.invalidate();
        }
        assert!(vfs.memory().used() < 1 << 20, "{}", vfs.memory().used());
    });
}

#[test]
fn copying_up_starts_at_the_top_of_a_deep_lower_tree() {
    on_a_small_stack(|| {
        let creds = Credentials::root();
        let caller = Caller { creds: &creds, pid: 1, tid: 1 };
        let vfs = vfs();
        let lower = TmpFs::new(&vfs, 0o755);
        dig(&at_root(&vfs, Arc::clone(&lower)), caller);
        let fs = at_root(&vfs, OverlayFs::new(&vfs, TmpFs::new(&vfs, 0o755), lower));
        for _ in 0..DEPTH {
            fs.set_cwd(fs.resolve(None, b"d", caller, WalkFlags::FOLLOW).unwrap());
        }
        fs.make_node(None, b"f", caller, FileKind::Regular, 0o644, 0).unwrap();
        assert!(fs.resolve(None, b"f", caller, WalkFlags::FOLLOW).is_ok());
    });
}
