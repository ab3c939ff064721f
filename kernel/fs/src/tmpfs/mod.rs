//! tmpfs: files in memory (memfds mapped into the sentry; small ones on the heap).

mod data;
mod dir;
mod file;
mod pages;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bevor_abi::Errno;
use bevor_abi::fs::{Timespec, mode};
use bevor_core::memory::MemoryBudget;
use bevor_core::num::to_u64;
use bevor_core::vfs::{
    Acl, Attr, Caller, File, FileKind, FileOps, FsStats, Inode, InodeOps, NewNode, Rename, SetAttr, SuperBlock, Vfs, acl,
};
use parking_lot::Mutex;

use data::Content;
use dir::Directory;
use pages::PAGE;

/// Longest extended attribute value.
const XATTR_MAX: usize = 65536;

/// F_SEAL_* (fcntl(2)).
#[allow(missing_docs)]
pub mod seal {
    pub const SEAL: u32 = 1;
    pub const SHRINK: u32 = 2;
    pub const GROW: u32 = 4;
    pub const WRITE: u32 = 8;
    pub const FUTURE_WRITE: u32 = 0x10;
    pub const EXEC: u32 = 0x20;
    pub const ALL: u32 = 0x3f;
}

/// A file system in memory.
pub struct TmpFs {
    vfs: Arc<Vfs>,
    sb: Arc<SuperBlock>,
    next_ino: AtomicU64,
}

/// What an inode or a name costs of the sandbox's memory, in bytes.
const NODE_COST: u64 = 1024;

impl TmpFs {
    /// An empty file system; returns its root directory, owned by root with mode `mode`.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a file system is reached by its root")]
    pub fn new(vfs: &Arc<Vfs>, root_mode: u32) -> Arc<Inode> {
        let mut sb = SuperBlock::new(vfs.next_dev(), "tmpfs", 0x0102_1994);
        let memory = Arc::clone(vfs.memory());
        sb.stats = Box::new(move || {
            let (blocks, free) = (memory.limit() / PAGE, memory.limit().saturating_sub(memory.used()));
            let (bfree, ffree) = (free / PAGE, free / NODE_COST);
            FsStats { bsize: PAGE, blocks, bfree, bavail: bfree, files: memory.limit() / NODE_COST, ffree, namelen: 255 }
        });
        let fs = Arc::new(Self { vfs: Arc::clone(vfs), sb: Arc::new(sb), next_ino: AtomicU64::new(1) });
        // The root is there even if it does not fit.
        fs.memory().charge_anyway(NODE_COST);
        let root = NewNode { kind: FileKind::Directory, mode: root_mode, uid: 0, gid: 0, rdev: 0 };
        fs.paid_inode(&root, Body::Dir(Directory::new(fs.memory())), NODE_COST)
    }

    /// memfd_create(2): an unnamed file. `sealable`: MFD_ALLOW_SEALING.
    ///
    /// # Errors
    /// ENOSPC if the sandbox's memory is used up.
    pub fn memfd(
        vfs: &Arc<Vfs>,
        name: &[u8],
        file_mode: u32,
        sealable: bool,
        flags: u32,
        owner: (u32, u32),
    ) -> Result<Arc<File>, Errno> {
        let root = Self::new(vfs, 0o700);
        let new = NewNode { kind: FileKind::Regular, mode: file_mode, uid: owner.0, gid: owner.1, rdev: 0 };
        let inode = Node::required(&root)?.fs.inode(&new)?;
        let node = Node::required(&inode)?;
        {
            let mut state = node.state.lock();
            state.nlink = 0;
            state.seals = if sealable { 0 } else { seal::SEAL };
            if file_mode & 0o111 == 0 && sealable && !bevor_abi::mutated!("memfd/noexec") {
                state.seals |= seal::EXEC;
            }
        }
        let ops: Arc<dyn FileOps> = Arc::<Node>::clone(node);
        let shown = format!("/memfd:{} (deleted)", String::from_utf8_lossy(name));
        Ok(vfs.anon_file_of(&shown, inode, ops, flags))
    }

    fn memory(&self) -> &Arc<MemoryBudget> {
        self.vfs.memory()
    }

    fn inode(self: &Arc<Self>, new: &NewNode) -> Result<Arc<Inode>, Errno> {
        let body = match new.kind {
            FileKind::Regular => Body::File(Content::new(self.memory())),
            FileKind::Directory => Body::Dir(Directory::new(self.memory())),
            _ => Body::Other,
        };
        self.inode_with(new, body, NODE_COST)
    }

    /// An inode that takes `cost` bytes.
    fn inode_with(self: &Arc<Self>, new: &NewNode, body: Body, cost: u64) -> Result<Arc<Inode>, Errno> {
        self.memory().charge(cost)?;
        Ok(self.paid_inode(new, body, cost))
    }

    /// An inode for which `cost` bytes were counted already.
    fn paid_inode(self: &Arc<Self>, new: &NewNode, body: Body, cost: u64) -> Arc<Inode> {
        let ino = self.next_ino.fetch_add(1, Ordering::Relaxed);
        let now = self.vfs.now();
        let node = Arc::new(Node {
            fs: Arc::clone(self),
            cost,
            state: Mutex::new(State {
                nlink: if new.kind == FileKind::Directory { 2 } else { 1 },
                rdev: new.rdev,
                atime: now,
                mtime: now,
                ctime: now,
                btime: now,
                seals: seal::SEAL,
                body,
                xattrs: BTreeMap::new(),
            }),
        });
        Inode::new(Arc::clone(&self.sb), ino, new.kind.to_mode() | new.mode, new.uid, new.gid, Box::new(NodeRef(node)))
    }
}

enum Body {
    File(Content),
    Dir(Directory),
    Link(Vec<u8>),
    Other,
}

struct State {
    nlink: u32,
    rdev: u64,
    atime: Timespec,
    mtime: Timespec,
    ctime: Timespec,
    btime: Timespec,
    seals: u32,
    body: Body,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl State {
    fn content(&mut self) -> Result<&mut Content, Errno> {
        match &mut self.body {
            Body::File(c) => Ok(c),
            Body::Dir(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn dir(&mut self) -> Result<&mut Directory, Errno> {
        match &mut self.body {
            Body::Dir(d) => Ok(d),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn touch(&mut self, now: Timespec) {
        self.mtime = now;
        self.ctime = bevor_abi::mutant!("tmpfs/write-ctime", now, self.ctime);
    }
}

/// What an inode of a tmpfs holds. It serves as the operations of open files too, so that opening allocates no more.
struct Node {
    fs: Arc<TmpFs>,
    /// What it takes of the sandbox's memory, apart from contents and attributes.
    cost: u64,
    state: Mutex<State>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let attributes: u64 = self.state.get_mut().xattrs.iter().map(|(name, value)| xattr_cost(name, value)).sum();
        self.fs.memory().release(self.cost + attributes);
    }
}

/// What an extended attribute takes of the sandbox's memory.
fn xattr_cost(name: &[u8], value: &[u8]) -> u64 {
    to_u64(name.len() + value.len()) + 128
}

impl Node {
    fn of(inode: &Inode) -> Option<&Arc<Node>> {
        inode.ops().as_any().downcast_ref::<NodeRef>().map(|r| &r.0)
    }

    fn required(inode: &Inode) -> Result<&Arc<Node>, Errno> {
        Self::of(inode).ok_or(Errno::EXDEV)
    }

    fn now(&self) -> Timespec {
        self.fs.vfs.now()
    }

    /// Notes an access, as relatime does.
    fn accessed(&self, state: &mut State) {
        if (state.atime <= state.mtime || state.atime <= state.ctime) && !bevor_abi::mutated!("tmpfs/read-atime") {
            state.atime = self.now();
        }
    }

    fn truncate_to(&self, size: u64) -> Result<(), Errno> {
        let now = self.now();
        let mut state = self.state.lock();
        let seals = state.seals;
        let content = state.content()?;
        let old = content.size();
        if size < old && seals & seal::SHRINK != 0 && !bevor_abi::mutated!("memfd/seal-shrink")
            || size > old && seals & seal::GROW != 0 && !bevor_abi::mutated!("memfd/grow-truncate")
        {
            return Err(Errno::EPERM);
        }
        content.set_size(size)?;
        if size != old || !bevor_abi::mutated!("tmpfs/truncate-same") {
            state.touch(now);
        }
        Ok(())
    }
}

/// The inode's side of a node.
struct NodeRef(Arc<Node>);

impl InodeOps for NodeRef {
    fn getattr(&self, inode: &Inode) -> Result<Attr, Errno> {
        let mut state = self.0.state.lock();
        let (size, blocks) = match &mut state.body {
            Body::File(c) => (c.size(), c.blocks()),
            Body::Dir(d) => (d.size(), 0),
            Body::Link(t) => (to_u64(t.len()), 0),
            Body::Other => (0, 0),
        };
        Ok(Attr {
            dev: inode.sb().dev,
            ino: inode.ino(),
            mode: inode.kind().to_mode() | inode.mode(),
            nlink: state.nlink,
            uid: inode.uid(),
            gid: inode.gid(),
            rdev: state.rdev,
            size,
            blksize: 4096,
            blocks,
            atime: state.atime,
            mtime: state.mtime,
            ctime: state.ctime,
            btime: Some(state.btime),
        })
    }

    fn setattr(&self, inode: &Inode, set: &SetAttr) -> Result<(), Errno> {
        if let Some(size) = set.size {
            self.0.truncate_to(size)?;
        }
        if set.mode.is_some() && self.0.state.lock().seals & seal::EXEC != 0 {
            let (old, new) = (inode.mode() & 0o111, set.mode.unwrap_or(0) & 0o111);
            if inode.kind() == FileKind::Regular && old != new {
                return Err(Errno::EPERM);
            }
        }
        inode.set_perm(
            set.mode.unwrap_or_else(|| inode.mode()),
            set.uid.unwrap_or_else(|| inode.uid()),
            set.gid.unwrap_or_else(|| inode.gid()),
        );
        let mut state = self.0.state.lock();
        state.atime = set.atime.unwrap_or(state.atime);
        let mtime = if bevor_abi::mutated!("tmpfs/chmod-times") { set.mtime.or(set.ctime) } else { set.mtime };
        state.mtime = mtime.unwrap_or(state.mtime);
        state.ctime = set.ctime.unwrap_or(state.ctime);
        Ok(())
    }

    fn lookup(&self, _dir: &Arc<Inode>, name: &[u8], _caller: &Caller<'_>) -> Result<Arc<Inode>, Errno> {
        self.0.state.lock().dir()?.get(name).ok_or(Errno::ENOENT)
    }

    fn create(&self, _dir: &Arc<Inode>, name: &[u8], new: &NewNode) -> Result<Arc<Inode>, Errno> {
        let inode = self.0.fs.inode(new)?;
        self.0.insert(name, &inode)?;
        Ok(inode)
    }

    fn tmpfile(&self, _dir: &Arc<Inode>, new: &NewNode) -> Result<Arc<Inode>, Errno> {
        let inode = self.0.fs.inode(new)?;
        Node::required(&inode)?.state.lock().nlink = bevor_abi::mutant!("tmpfs/tmpfile-nlink", 0, 1);
        Ok(inode)
    }

    fn symlink(&self, _dir: &Arc<Inode>, name: &[u8], target: &[u8], new: &NewNode) -> Result<Arc<Inode>, Errno> {
        let cost = NODE_COST + to_u64(target.len());
        let inode = self.0.fs.inode_with(new, Body::Link(target.to_vec()), cost)?;
        self.0.insert(name, &inode)?;
        Ok(inode)
    }

    fn link(&self, _dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result<(), Errno> {
        let node = Node::required(inode)?;
        self.0.insert(name, inode)?;
        let now = self.0.now();
        let mut state = node.state.lock();
        state.nlink += 1;
        state.ctime = bevor_abi::mutant!("tmpfs/link-ctime", now, state.ctime);
        Ok(())
    }

    fn unlink(&self, _dir: &Arc<Inode>, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        self.0.remove(name, victim)
    }

    fn rmdir(&self, _dir: &Arc<Inode>, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        if !Node::required(victim)?.state.lock().dir()?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.0.remove(name, victim)
    }

    fn rename(&self, r: &Rename<'_>) -> Result<(), Errno> {
        let new_dir = Node::required(r.new_dir)?;
        if let Some(target) = r.target
            && !r.exchange
            && target.is_dir()
            && !Node::required(target)?.state.lock().dir()?.is_empty()
        {
            return Err(Errno::ENOTEMPTY);
        }
        if let Some(target) = r.target {
            new_dir.remove_entry(r.new_name, target, !r.exchange && !bevor_abi::mutated!("tmpfs/rename-nlink"))?;
        }
        self.0.remove_entry(r.old_name, r.source, false)?;
        new_dir.insert_back(r.new_name, r.source)?;
        if let (Some(target), true) = (r.target, r.exchange) {
            self.0.insert_back(r.old_name, target)?;
        }
        let now = self.0.now();
        if !bevor_abi::mutated!("tmpfs/rename-ctime") {
            Node::required(r.source)?.state.lock().ctime = now;
            if let (Some(target), true) = (r.target, r.exchange)
                && !bevor_abi::mutated!("tmpfs/exchange-ctime")
            {
                Node::required(target)?.state.lock().ctime = now;
            }
        }
        Ok(())
    }

    fn readlink(&self, _inode: &Inode, _caller: &Caller<'_>) -> Result<Vec<u8>, Errno> {
        let mut state = self.0.state.lock();
        if !bevor_abi::mutated!("tmpfs/readlink-atime") {
            self.0.accessed(&mut state);
        }
        match &state.body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, _inode: &Arc<Inode>, _flags: u32) -> Result<Arc<dyn FileOps>, Errno> {
        Ok(Arc::<Node>::clone(&self.0))
    }

    /// A copy of a host file may have one; here nobody gives a file another.
    fn acl(&self, _inode: &Inode) -> Result<Option<Arc<Acl>>, Errno> {
        match self.0.state.lock().xattrs.get(acl::ACCESS) {
            None => Ok(None),
            Some(value) => Acl::parse(value).map(|acl| Some(Arc::new(acl))).ok_or(Errno::EACCES),
        }
    }

    fn getxattr(&self, _inode: &Inode, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.0.state.lock().xattrs.get(name).cloned().ok_or(Errno::ENODATA)
    }

    fn setxattr(&self, _inode: &Inode, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        if value.len() > XATTR_MAX {
            return Err(Errno::E2BIG);
        }
        let now = self.0.now();
        let mut state = self.0.state.lock();
        let exists = state.xattrs.contains_key(name);
        if flags & 2 != 0 && !exists && !bevor_abi::mutated!("setxattr/replace") {
            return Err(Errno::ENODATA);
        }
        if flags & 1 != 0 && exists && !bevor_abi::mutated!("tmpfs/xattr-create") {
            return Err(Errno::EEXIST);
        }
        self.0.fs.memory().charge(xattr_cost(name, value))?;
        if let Some(old) = state.xattrs.insert(name.to_vec(), value.to_vec()) {
            self.0.fs.memory().release(xattr_cost(name, &old));
        }
        state.ctime = bevor_abi::mutant!("setxattr/ctime", now, state.ctime);
        Ok(())
    }

    fn listxattr(&self, _inode: &Inode) -> Result<Vec<u8>, Errno> {
        let mut out = Vec::new();
        for name in self.0.state.lock().xattrs.keys() {
            out.extend_from_slice(name);
            out.push(0);
        }
        Ok(out)
    }

    fn removexattr(&self, _inode: &Inode, name: &[u8]) -> Result<(), Errno> {
        let now = self.0.now();
        let mut state = self.0.state.lock();
        let old = state.xattrs.remove(name).ok_or(Errno::ENODATA)?;
        self.0.fs.memory().release(xattr_cost(name, &old));
        state.ctime = bevor_abi::mutant!("tmpfs/removexattr-ctime", now, state.ctime);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Mode bits of a directory that everybody may use (/tmp).
pub const STICKY_WORLD: u32 = mode::ISVTX | 0o777;
