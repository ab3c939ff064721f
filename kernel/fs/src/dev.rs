//! /dev: the memory devices, a directory tree for them, and the controlling terminal.

use std::any::Any;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::fs::makedev;
use bevor_core::io::{DataSink, DataSource};
use bevor_core::vfs::{File, FileKind, FileOps, Inode, NewNode, Vfs};
use bevor_hostcall::file;
use bevor_platform::FileMapping;

use crate::tmpfs::{STICKY_WORLD, TmpFs};

/// What a memory device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Zero,
    Full,
    Random,
}

/// A memory device (null(4), full(4), random(4)).
struct MemoryDevice {
    kind: Kind,
}

fn drain(source: &mut dyn DataSource) -> Result<usize, Errno> {
    let mut scratch = [0; 4096];
    let mut done = 0;
    while source.remaining() > 0 {
        let n = source.get(&mut scratch)?;
        if n == 0 {
            break;
        }
        done += n;
    }
    Ok(done)
}

impl FileOps for MemoryDevice {
    fn read_at(&self, _file: &File, _offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        match self.kind {
            Kind::Null => Ok(0),
            Kind::Zero | Kind::Full => sink.put_zeros(sink.remaining()),
            Kind::Random => {
                let mut buffer = [0; 256];
                let mut done = 0;
                while sink.remaining() > 0 {
                    let n = sink.remaining().min(buffer.len());
                    let got = file::random(&mut buffer[..n])?;
                    let put = sink.put(&buffer[..got])?;
                    done += put;
                    if put == 0 {
                        break;
                    }
                }
                Ok(done)
            }
        }
    }
    fn write_at(&self, _file: &File, _offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        match self.kind {
            Kind::Full => Err(Errno::ENOSPC),
            // Nobody looks at it.
            Kind::Null | Kind::Zero => Ok(source.remaining()),
            Kind::Random => drain(source),
        }
    }
    fn seekable(&self) -> bool {
        true
    }
    fn seek(&self, _file: &File, _offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        match self.kind {
            Kind::Random => None,
            _ if whence > 4 => Some(Err(Errno::EINVAL)),
            _ => Some(Ok(0)),
        }
    }
    fn mapping(&self, _file: &File, _write: bool) -> Result<FileMapping, Errno> {
        if self.kind != Kind::Zero {
            return Err(Errno::ENODEV);
        }
        // Anonymous memory by another name: a sparse file of its own for each mapping.
        let fd = bevor_hostcall::fd::memfd(c"zero")?;
        file::ftruncate(&fd, 1 << 46)?;
        Ok(FileMapping { fd, id: 0 })
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// /dev/tty without a controlling terminal is ENXIO; `terminal` is the host terminal's operations, if there is one.
pub fn register(vfs: &Arc<Vfs>, terminal: Option<Arc<dyn FileOps>>) {
    for (minor, kind) in [(3, Kind::Null), (5, Kind::Zero), (7, Kind::Full), (8, Kind::Random), (9, Kind::Random)] {
        vfs.register_device(FileKind::CharDevice, makedev(1, minor), Box::new(move |_flags| Ok(Arc::new(MemoryDevice { kind }))));
    }
    let open_terminal = move |_flags| terminal.clone().ok_or(Errno::ENXIO);
    vfs.register_device(FileKind::CharDevice, makedev(5, 0), Box::new(open_terminal));
}

/// The contents of a fresh /dev, to be mounted there: device nodes, the usual links, `shm` and `pts` directories.
///
/// # Errors
/// None in practice: those of tmpfs.
pub fn tree(vfs: &Arc<Vfs>) -> Result<Arc<Inode>, Errno> {
    let root = TmpFs::new(vfs, 0o755);
    let node = |kind, mode, rdev| NewNode { kind, mode, uid: 0, gid: 0, rdev };
    let devices: [(&[u8], u32, u32); 6] =
        [(b"null", 1, 3), (b"zero", 1, 5), (b"full", 1, 7), (b"random", 1, 8), (b"urandom", 1, 9), (b"tty", 5, 0)];
    for (name, major, minor) in devices {
        root.ops().create(&root, name, &node(FileKind::CharDevice, 0o666, makedev(major, minor)))?;
    }
    let links: [(&[u8], &[u8]); 4] = [
        (b"fd", b"/proc/self/fd"),
        (b"stdin", b"/proc/self/fd/0"),
        (b"stdout", b"/proc/self/fd/1"),
        (b"stderr", b"/proc/self/fd/2"),
    ];
    for (name, target) in links {
        root.ops().symlink(&root, name, target, &node(FileKind::Symlink, 0o777, 0))?;
    }
    root.ops().create(&root, b"shm", &node(FileKind::Directory, STICKY_WORLD, 0))?;
    root.ops().create(&root, b"pts", &node(FileKind::Directory, 0o755, 0))?;
    Ok(root)
}
