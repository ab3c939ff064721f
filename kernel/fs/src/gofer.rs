//! Host files through a gofer.
//!
//! Attributes are cached for trees that nobody else changes (`shared: false`); a shared tree asks again. Each inode keeps one
//! read-only host descriptor, so that opening again does not ask the gofer.

use std::any::Any;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bevor_abi::Errno;
use bevor_abi::fs::{Timespec, o};
use bevor_core::io::{DataSink, DataSource};
use bevor_core::memory::{Kind, ObjectCharge, Owner as Objects};
use bevor_core::num::to_u64;
use bevor_core::vfs::{
    Acl, Attr, Caller, DirEntry, File, FileKind, FileOps, FsStats, Inode, InodeOps, NewNode, Rename, SetAttr, SuperBlock, Vfs,
    acl,
};
use bevor_gofer::client::Gofer;
use bevor_gofer::protocol::{self as wire, NodeId, OpenFlags, Owner, RenameFlags, SetTime, SpecialKind};
use bevor_hostcall::{FileWindow, HostFd, file};
use bevor_platform::FileMapping;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::util::emit_dots;

/// A tree of host files.
pub struct GoferFs {
    client: Arc<Gofer>,
    vfs: Arc<Vfs>,
    sb: OnceLock<Arc<SuperBlock>>,
    /// Others may change the tree: attributes are asked for again.
    shared: bool,
    /// How many files have a window.
    windows: AtomicU32,
    /// The host device of the root.
    dev: u64,
    /// The files of a shared tree that are known, whatever their names: locks, FIFOs and running programs are the file's.
    known: Mutex<FxHashMap<Identity, Weak<Inode>>>,
}

/// Device and number of a host file, and whether it is hidden, which a name may be that leads to it.
type Identity = (u64, u64, bool);

fn identity(attr: &wire::Attr) -> Identity {
    (attr.dev, attr.ino, attr.ctime == wire::TimeSpec::default())
}

/// A read of at most this many bytes takes longer by a host call than by a copy from a mapping.
const SMALL_READ: usize = 16 * 1024;
/// So many small reads do not make it worth while to map a file.
const FEW_READS: u32 = 16;
/// The largest file that is mapped.
const MAX_WINDOW: usize = 1 << 30;
/// How many files are mapped at once; a host process may have 65530 mappings.
const MAX_WINDOWS: u32 = 4096;

fn time(t: wire::TimeSpec) -> Timespec {
    Timespec { sec: t.sec, nsec: i64::from(t.nsec) }
}

fn set_time(t: Timespec) -> SetTime {
    SetTime::At(wire::TimeSpec { sec: t.sec, nsec: u32::try_from(t.nsec).unwrap_or(0) })
}

impl GoferFs {
    /// The root directory of mount number `mount` of the gofer.
    ///
    /// # Errors
    /// The gofer's.
    pub fn mount(vfs: &Arc<Vfs>, client: &Arc<Gofer>, mount: u32, shared: bool) -> Result<Arc<Inode>, Errno> {
        let (node, attr) = client.attach(mount)?;
        let fs = Arc::new(Self {
            client: Arc::clone(client),
            vfs: Arc::clone(vfs),
            sb: OnceLock::new(),
            shared,
            windows: AtomicU32::new(0),
            dev: attr.dev,
            known: Mutex::default(),
        });
        // As with a bind mount on Linux, the type is that of what is bound.
        let magic = client.statfs(node).map_or(0xef53, |figures| figures.kind);
        let mut sb = SuperBlock::new(vfs.next_dev(), "bevor-host", magic);
        sb.revalidate = shared;
        let stats_of = Arc::clone(client);
        sb.stats = Box::new(move || {
            stats_of.statfs(node).map_or_else(
                |_| FsStats::default(),
                |s| FsStats {
                    bsize: s.block_size,
                    blocks: s.blocks,
                    bfree: s.free,
                    bavail: s.available,
                    files: s.files,
                    ffree: s.files_free,
                    namelen: s.name_max,
                },
            )
        });
        fs.sb.set(Arc::new(sb)).map_err(|_| Errno::EIO)?;
        fs.inode(node, &attr)
    }

    /// The inode number of host inode `ino` on the host's device `dev`: its own on the root's device. One file system of the guest shows
    /// several of the host's, whose numbers must not meet: a walk would take another's root for its own.
    fn number(&self, dev: u64, ino: u64) -> u64 {
        if dev == self.dev { ino } else { ino ^ (dev << 40) }
    }

    /// The inode of what was looked up or made: another name's, if one leads to the same file.
    fn inode(self: &Arc<Self>, id: NodeId, attr: &wire::Attr) -> Result<Arc<Inode>, Errno> {
        if !self.shared || attr.is_dir() {
            return self.new_inode(id, attr);
        }
        if let Some(inode) = self.find(attr) {
            if Node::of(&inode)?.id != id {
                self.client.forget(&[id]);
            }
            return Ok(inode);
        }
        let inode = self.new_inode(id, attr)?;
        // Somebody may have found the file by another name meanwhile. Nothing is dropped under the lock.
        let mut known = self.known.lock();
        let other = known.get(&identity(attr)).and_then(Weak::upgrade);
        if other.as_ref().and_then(|other| Node::of(other).ok()).is_some_and(|node| *node.attr.lock() == *attr) {
            drop(known);
            return other.ok_or(Errno::EIO);
        }
        known.insert(identity(attr), Arc::downgrade(&inode));
        drop(known);
        Ok(inode)
    }

    /// The inode that is known of the file with these attributes. Some file systems give the same number to several files, so that all
    /// the rest must be equal, too.
    fn find(&self, attr: &wire::Attr) -> Option<Arc<Inode>> {
        let inode = self.known.lock().get(&identity(attr))?.upgrade()?;
        let node = Node::of(&inode).ok()?;
        let now = self.client.getattr(node.id).ok()?;
        if now != (wire::Attr { atime: now.atime, ..*attr }) {
            return None;
        }
        inode.set_perm(now.mode, now.uid, now.gid);
        node.told(now);
        Some(inode)
    }

    fn new_inode(self: &Arc<Self>, id: NodeId, attr: &wire::Attr) -> Result<Arc<Inode>, Errno> {
        let sb = self.sb.get().ok_or(Errno::EIO)?;
        if self.vfs.reclaim().hold() {
            self.client.flush_forgotten();
        }
        Ok(Inode::new(
            Arc::clone(sb),
            self.number(attr.dev, attr.ino),
            attr.mode,
            attr.uid,
            attr.gid,
            Box::new(NodeRef(Arc::new(Node {
                fs: Arc::clone(self),
                id,
                mapping_id: self.vfs.next_ino() * 2,
                attr: Mutex::new(*attr),
                stale: AtomicBool::new(false),
                read_only: OnceLock::new(),
                mapped_for_writing: AtomicBool::new(false),
                small_reads: AtomicU32::new(0),
                window: OnceLock::new(),
                target: OnceLock::new(),
                acl: Mutex::default(),
            }))),
        ))
    }
}

struct Node {
    fs: Arc<GoferFs>,
    id: NodeId,
    mapping_id: u64,
    attr: Mutex<wire::Attr>,
    /// The inode has changed since the gofer told its owner and mode.
    stale: AtomicBool,
    read_only: OnceLock<HostFd>,
    /// Somebody can write it through memory from now on, of which its times may not tell.
    mapped_for_writing: AtomicBool,
    small_reads: AtomicU32,
    /// The file's whole pages, if it is read in small pieces and can be mapped.
    window: OnceLock<Option<FileWindow>>,
    /// A symbolic link's target, which never changes.
    target: OnceLock<Vec<u8>>,
    /// The access control list, and the time of the inode's change when it was asked for.
    acl: Mutex<Option<(wire::TimeSpec, Arc<Acl>)>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(Some(_)) = self.window.get() {
            self.fs.windows.fetch_sub(1, Ordering::Relaxed);
        }
        if self.fs.shared {
            let mut known = self.fs.known.lock();
            if let Entry::Occupied(entry) = known.entry(identity(self.attr.get_mut()))
                && entry.get().strong_count() == 0
            {
                entry.remove();
            }
        }
        let reclaim = self.fs.vfs.reclaim();
        reclaim.released();
        self.fs.client.forget_soon(self.id);
        // While many are dropped, they are given back together.
        if !reclaim.is_busy() {
            self.fs.client.flush_forgotten();
        }
    }
}

impl Node {
    fn of(inode: &Inode) -> Result<&Arc<Node>, Errno> {
        inode.ops().as_any().downcast_ref::<NodeRef>().map(|r| &r.0).ok_or(Errno::EXDEV)
    }

    /// The descriptor for reading, opened on first use.
    fn reader(&self) -> Result<&HostFd, Errno> {
        if let Some(fd) = self.read_only.get() {
            return Ok(fd);
        }
        let fd = self.fs.client.open(self.id, OpenFlags::RDONLY)?;
        Ok(self.read_only.get_or_init(|| fd))
    }

    /// The window for a small read. Only of a tree that nobody else changes: a file's end may have moved otherwise.
    fn window(&self) -> Option<&FileWindow> {
        if let Some(window) = self.window.get() {
            return window.as_ref();
        }
        if self.fs.shared || self.small_reads.fetch_add(1, Ordering::Relaxed) < FEW_READS {
            return None;
        }
        self.window.get_or_init(|| self.make_window()).as_ref()
    }

    fn make_window(&self) -> Option<FileWindow> {
        let len = usize::try_from(self.size()).ok().map(|size| size & !4095).filter(|len| (1..=MAX_WINDOW).contains(len))?;
        if self.fs.windows.fetch_add(1, Ordering::Relaxed) < MAX_WINDOWS
            && let Ok(window) = FileWindow::map(self.reader().ok()?, len)
        {
            return Some(window);
        }
        self.fs.windows.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Takes a new look at size and times after data was written or the tree is shared. The host shows this process no owner but its
    /// own, so that owner and mode are the gofer's to tell.
    fn refresh_data(&self) -> Result<(), Errno> {
        let Some(fd) = self.read_only.get() else {
            self.told(self.fs.client.getattr(self.id)?);
            return Ok(());
        };
        let st = file::fstat(fd)?;
        let spec = |(sec, nsec): (i64, i64)| wire::TimeSpec { sec, nsec: u32::try_from(nsec).unwrap_or(0) };
        let mut a = self.attr.lock();
        if a.ctime != spec(st.ctime) {
            self.stale.store(true, Ordering::Relaxed);
        }
        a.nlink = u32::try_from(st.nlink).unwrap_or(u32::MAX);
        a.size = st.size;
        a.blocks = st.blocks;
        a.atime = spec(st.atime);
        a.mtime = spec(st.mtime);
        a.ctime = spec(st.ctime);
        Ok(())
    }

    /// As [`Node::refresh_data`], owner and mode too.
    fn refresh(&self) -> Result<(), Errno> {
        self.refresh_data()?;
        if self.stale.load(Ordering::Relaxed) {
            self.told(self.fs.client.getattr(self.id)?);
        }
        Ok(())
    }

    /// Keeps what the gofer says.
    fn told(&self, attr: wire::Attr) {
        let mut kept = self.attr.lock();
        self.stale.store(false, Ordering::Relaxed);
        *kept = attr;
    }

    fn changed(&self) {
        if self.refresh_data().is_err() {
            // The gofer is gone; the next call says so.
        }
    }

    fn size(&self) -> u64 {
        self.attr.lock().size
    }
}

fn owner(new: &NewNode) -> Owner {
    Owner { uid: new.uid, gid: new.gid }
}

struct NodeRef(Arc<Node>);

impl NodeRef {
    fn client(&self) -> &Gofer {
        &self.0.fs.client
    }

    fn touched(&self, inodes: &[&Arc<Inode>]) {
        for inode in inodes {
            if let Ok(node) = Node::of(inode) {
                node.changed();
            }
        }
    }
}

impl InodeOps for NodeRef {
    fn is_host_file(&self) -> bool {
        true
    }
    fn getattr(&self, inode: &Inode) -> Result<Attr, Errno> {
        if self.0.fs.shared {
            self.0.refresh()?;
            let a = self.0.attr.lock();
            inode.set_perm(a.mode, a.uid, a.gid);
        }
        let a = self.0.attr.lock();
        Ok(Attr {
            dev: inode.sb().dev,
            ino: self.0.fs.number(a.dev, a.ino),
            mode: a.mode,
            nlink: a.nlink,
            uid: a.uid,
            gid: a.gid,
            rdev: a.rdev,
            size: a.size,
            blksize: a.blksize,
            blocks: a.blocks,
            atime: time(a.atime),
            mtime: time(a.mtime),
            ctime: time(a.ctime),
            btime: a.btime.map(time),
        })
    }
    fn setattr(&self, inode: &Inode, set: &SetAttr) -> Result<(), Errno> {
        let new = self.client().setattr(
            self.0.id,
            wire::SetAttr {
                mode: set.mode,
                uid: set.uid,
                gid: set.gid,
                size: set.size,
                atime: bevor_abi::mutant!("gofer/times-swapped", set.atime, set.mtime).map(set_time),
                // A new size sets it on the host, together with the time of change.
                mtime: bevor_abi::mutant!("gofer/times-swapped", set.mtime, set.atime)
                    .filter(|_| set.size.is_none())
                    .map(set_time),
            },
        )?;
        inode.set_perm(new.mode, new.uid, new.gid);
        self.0.told(new);
        Ok(())
    }
    fn lookup(&self, _dir: &Arc<Inode>, name: &[u8], _caller: &Caller<'_>) -> Result<Arc<Inode>, Errno> {
        let walked = self.client().walk(self.0.id, &[name])?;
        match walked.nodes.first() {
            Some((id, attr)) => self.0.fs.inode(*id, attr),
            None => Err(walked.stopped.unwrap_or(Errno::ENOENT)),
        }
    }
    fn revalidate(&self, _dir: &Inode, name: &[u8], child: &Inode) -> bool {
        let Ok(walked) = self.client().walk(self.0.id, &[name]) else {
            return false;
        };
        let Some((id, attr)) = walked.nodes.first() else {
            return false;
        };
        let same = Node::of(child).is_ok_and(|node| {
            let old = *node.attr.lock();
            let same = (old.dev, old.ino) == (attr.dev, attr.ino);
            if same {
                node.told(*attr);
            }
            same
        });
        if same {
            child.set_perm(attr.mode, attr.uid, attr.gid);
        }
        if Node::of(child).is_ok_and(|node| node.id != *id) {
            self.client().forget(&[*id]);
        }
        same
    }
    fn create(&self, dir: &Arc<Inode>, name: &[u8], new: &NewNode) -> Result<Arc<Inode>, Errno> {
        let kind = match new.kind {
            FileKind::Regular => SpecialKind::Regular,
            FileKind::Fifo => SpecialKind::Fifo,
            FileKind::Socket => SpecialKind::Socket,
            FileKind::Directory => {
                let (id, attr) = self.client().mkdir(self.0.id, name, new.mode, owner(new))?;
                self.touched(&[dir]);
                return self.0.fs.inode(id, &attr);
            }
            _ => return Err(Errno::EPERM),
        };
        let (id, attr) = self.client().mknod(self.0.id, name, kind, new.mode, owner(new))?;
        self.touched(&[dir]);
        self.0.fs.inode(id, &attr)
    }
    fn tmpfile(&self, _dir: &Arc<Inode>, new: &NewNode) -> Result<Arc<Inode>, Errno> {
        let (id, attr) =
            self.client().tmpfile(self.0.id, bevor_abi::mutant!("gofer/tmpfile-mode", new.mode, 0o600), owner(new))?;
        self.0.fs.inode(id, &attr)
    }
    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8], new: &NewNode) -> Result<Arc<Inode>, Errno> {
        let (id, attr) = self.client().symlink(self.0.id, name, target, owner(new))?;
        self.touched(&[dir]);
        self.0.fs.inode(id, &attr)
    }
    fn link(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result<(), Errno> {
        let node = Node::of(inode)?;
        node.told(self.client().link(node.id, self.0.id, name)?);
        self.touched(&[dir]);
        Ok(())
    }
    fn unlink(&self, dir: &Arc<Inode>, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        self.client().unlink(self.0.id, name, false)?;
        self.touched(&[dir, victim]);
        Ok(())
    }
    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        self.client().unlink(self.0.id, name, true)?;
        self.touched(&[dir, victim]);
        Ok(())
    }
    fn rename(&self, r: &Rename<'_>) -> Result<(), Errno> {
        let new_dir = Node::of(r.new_dir)?;
        let flags =
            if r.exchange && !bevor_abi::mutated!("gofer/exchange") { RenameFlags::EXCHANGE } else { RenameFlags::empty() };
        self.client().rename(self.0.id, r.old_name, new_dir.id, r.new_name, flags)?;
        self.touched(&[r.old_dir, r.new_dir, r.source]);
        Ok(())
    }
    fn readlink(&self, _inode: &Inode, _caller: &Caller<'_>) -> Result<Vec<u8>, Errno> {
        if let Some(target) = self.0.target.get() {
            return Ok(target.clone());
        }
        let target = self.client().readlink(self.0.id)?;
        Ok(self.0.target.get_or_init(|| target).clone())
    }
    fn open(&self, inode: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>, Errno> {
        if inode.is_dir() {
            return Ok(Arc::new(HostDir { node: Arc::clone(&self.0), entries: Mutex::default() }));
        }
        let reader = self.0.reader().map(drop);
        if flags & o::ACCMODE == o::RDONLY {
            return reader.map(|()| Arc::<Node>::clone(&self.0) as Arc<dyn FileOps>);
        }
        // An ordinary user's gofer may be let to write only.
        reader.or_else(|e| if e == Errno::EACCES { Ok(()) } else { Err(e) })?;
        let fd = self.client().open(self.0.id, OpenFlags::RDWR).or_else(|e| match e {
            Errno::EACCES => self.client().open(self.0.id, OpenFlags::WRONLY),
            e => Err(e),
        })?;
        // One more descriptor than that of the name.
        self.0.fs.vfs.reclaim().hold();
        Ok(Arc::new(HostWriter { node: Arc::clone(&self.0), fd, appending: Mutex::new(()) }))
    }
    fn acl(&self, _inode: &Inode) -> Result<Option<Arc<Acl>>, Errno> {
        let (told, ctime) = {
            let attr = self.0.attr.lock();
            (attr.acl, attr.ctime)
        };
        if !told {
            return Ok(None);
        }
        if let Some((then, acl)) = &*self.0.acl.lock()
            && *then == ctime
        {
            return Ok(Some(Arc::clone(acl)));
        }
        let value = match self.client().getxattr(self.0.id, acl::ACCESS) {
            Err(Errno::ENODATA) => return Ok(None),
            other => other?,
        };
        let acl = Arc::new(Acl::parse(&value).ok_or(Errno::EACCES)?);
        *self.0.acl.lock() = Some((ctime, Arc::clone(&acl)));
        Ok(Some(acl))
    }
    fn getxattr(&self, _inode: &Inode, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.client().getxattr(self.0.id, name)
    }
    fn setxattr(&self, _inode: &Inode, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        self.client().setxattr(self.0.id, name, value, flags)?;
        self.0.changed();
        Ok(())
    }
    fn removexattr(&self, _inode: &Inode, name: &[u8]) -> Result<(), Errno> {
        self.client().removexattr(self.0.id, name)?;
        self.0.changed();
        Ok(())
    }
    fn listxattr(&self, _inode: &Inode) -> Result<Vec<u8>, Errno> {
        let mut out = Vec::new();
        for name in self.client().listxattr(self.0.id)? {
            out.extend_from_slice(&name);
            out.push(0);
        }
        Ok(out)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn read_host(fd: &HostFd, window: Option<&FileWindow>, offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
    let len = sink.remaining();
    if let Some(result) = sink.put_from_host(fd, window, offset, len) {
        return result;
    }
    let mut buffer = vec![0; len.min(1 << 20)];
    let n = file::pread(fd, &mut buffer, offset)?;
    sink.put(&buffer[..n])
}

fn seek_host(fd: &HostFd, offset: u64, hole: bool) -> Result<u64, Errno> {
    let at = i64::try_from(offset).map_err(|_| Errno::ENXIO)?;
    file::lseek(fd, at, if hole && !bevor_abi::mutated!("gofer/seek-hole") { 4 } else { 3 })
}

/// A file open for reading: the inode's shared descriptor.
impl FileOps for Node {
    fn read_at(&self, _file: &File, offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        if bevor_abi::mutated!("gofer/read-end") && offset > Node::size(self) {
            return Err(Errno::EINVAL);
        }
        let window = if sink.remaining() <= SMALL_READ { self.window() } else { None };
        read_host(self.reader()?, window, offset, sink)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn size(&self, _file: &File) -> Result<u64, Errno> {
        if self.fs.shared {
            self.refresh_data()?;
        }
        Ok(Node::size(self))
    }
    fn seek_data(&self, _file: &File, offset: u64, _size: u64, hole: bool) -> Result<u64, Errno> {
        seek_host(self.reader()?, offset, hole)
    }
    fn mapping(&self, _file: &File, write: bool) -> Result<FileMapping, Errno> {
        if write {
            return Err(Errno::EACCES);
        }
        // Without an identity its text is not copied.
        let for_all = |attr: &wire::Attr| attr.mode & 0o004 != 0 && !attr.acl;
        let public = if !for_all(&self.attr.lock()) { 0 } else { FileMapping::FOR_EVERYBODY };
        let id = if self.mapped_for_writing.load(Ordering::Relaxed) { 0 } else { self.mapping_id | public };
        Ok(FileMapping { fd: self.reader()?.clone(), id })
    }
    fn fsync(&self, _file: &File, data_only: bool) -> Result<(), Errno> {
        file::fsync(self.reader()?, data_only)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A file open for writing: a descriptor of its own.
struct HostWriter {
    node: Arc<Node>,
    fd: HostFd,
    /// Held between an append and the look at where it ended: the host's position is the descriptor's.
    appending: Mutex<()>,
}

/// The data of one write to the host.
fn gather(source: &mut dyn DataSource) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; source.remaining().min(1 << 20)];
    let n = source.get(&mut buffer)?;
    buffer.truncate(n);
    Ok(buffer)
}

impl Drop for HostWriter {
    fn drop(&mut self) {
        self.node.fs.vfs.reclaim().released();
    }
}

impl HostWriter {
    fn write(&self, offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        let written = file::pwrite(&self.fd, &gather(source)?, offset)?;
        self.node.changed();
        Ok(written)
    }
}

impl FileOps for HostWriter {
    fn read_at(&self, _file: &File, offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        read_host(&self.fd, None, offset, sink)
    }
    fn write_at(&self, _file: &File, offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        self.write(offset, source)
    }
    fn append(&self, _file: &File, source: &mut dyn DataSource) -> Result<(usize, u64), Errno> {
        let data = gather(source)?;
        let appended = {
            let _alone = self.appending.lock();
            file::append(&self.fd, &data)?
        };
        self.node.changed();
        Ok(appended)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn size(&self, _file: &File) -> Result<u64, Errno> {
        self.node.refresh_data()?;
        Ok(self.node.size())
    }
    fn seek_data(&self, _file: &File, offset: u64, _size: u64, hole: bool) -> Result<u64, Errno> {
        seek_host(&self.fd, offset, hole)
    }
    fn mapping(&self, file: &File, write: bool) -> Result<FileMapping, Errno> {
        if !write {
            return FileOps::mapping(&*self.node, file, false);
        }
        self.node.mapped_for_writing.store(true, Ordering::Relaxed);
        Ok(FileMapping { fd: self.fd.clone(), id: self.node.mapping_id + 1 })
    }
    fn fallocate(&self, _file: &File, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let mode = i32::try_from(mode).map_err(|_| Errno::EINVAL)?;
        file::fallocate(&self.fd, bevor_abi::mutant!("gofer/fallocate-mode", mode, 0), offset, len)?;
        self.node.changed();
        Ok(())
    }
    fn truncate(&self, _file: &File, size: u64) -> Result<(), Errno> {
        file::ftruncate(&self.fd, size)?;
        self.node.changed();
        Ok(())
    }
    fn fsync(&self, _file: &File, data_only: bool) -> Result<(), Errno> {
        file::fsync(&self.fd, data_only)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory: entries are read when reading starts (again) at the front.
struct HostDir {
    node: Arc<Node>,
    entries: Mutex<Option<(Arc<Vec<wire::DirEntry>>, ObjectCharge)>>,
}

fn kind_of(d_type: u8) -> FileKind {
    match d_type {
        1 => FileKind::Fifo,
        2 => FileKind::CharDevice,
        4 => FileKind::Directory,
        6 => FileKind::BlockDevice,
        8 => FileKind::Regular,
        10 => bevor_abi::mutant!("gofer/link-type", FileKind::Symlink, FileKind::Regular),
        12 => FileKind::Socket,
        _ => FileKind::Anonymous,
    }
}

impl FileOps for HostDir {
    fn read_at(&self, _file: &File, _offset: u64, _sink: &mut dyn DataSink) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn readdir(&self, file: &File, pos: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<(), Errno> {
        if !emit_dots(file, pos, emit) {
            return Ok(());
        }
        let list = {
            let mut entries = self.entries.lock();
            match &*entries {
                Some((list, _)) if pos > 0 || bevor_abi::mutated!("gofer/rewind") => Arc::clone(list),
                _ => {
                    let memory = self.node.fs.vfs.memory();
                    let list =
                        Arc::new(self.node.fs.client.readdir_within(self.node.id, memory.objects_ceiling(Kind::DirSnapshot))?);
                    let bytes = list.iter().map(|e| to_u64(e.name.len()) + 64).sum();
                    let charge = memory.object_of(Kind::DirSnapshot, bytes, Objects::default())?;
                    *entries = Some((Arc::clone(&list), charge));
                    list
                }
            }
        };
        let dev = self.node.attr.lock().dev;
        for (at, e) in (2u64..).zip(list.iter()) {
            if at < pos {
                continue;
            }
            let entry = DirEntry {
                name: &e.name,
                ino: bevor_abi::mutant!("gofer/dirent-ino", self.node.fs.number(dev, e.ino), at),
                kind: kind_of(e.kind),
                next: at + 1,
            };
            if !emit(&entry) {
                break;
            }
        }
        Ok(())
    }
    fn fsync(&self, _file: &File, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
