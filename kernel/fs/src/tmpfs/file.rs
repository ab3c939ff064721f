//! Open files of a tmpfs.

use std::any::Any;

use bevor_abi::Errno;
use bevor_abi::fs::o;
use bevor_core::io::{DataSink, DataSource};
use bevor_core::num::to_u64;
use bevor_core::vfs::{DirEntry, File, FileOps};
use bevor_platform::FileMapping;

use super::{Body, Node, seal};

impl Node {
    fn write_common(&self, at: Option<u64>, source: &mut dyn DataSource) -> Result<(usize, u64), Errno> {
        let now = self.now();
        let mut state = self.state.lock();
        let seals = state.seals;
        let content = state.content()?;
        let offset = at.unwrap_or_else(|| content.size());
        if seals & (seal::WRITE | bevor_abi::mutant!("memfd/future-write", seal::FUTURE_WRITE, 0)) != 0 {
            return Err(Errno::EPERM);
        }
        if seals & seal::GROW != 0
            && !bevor_abi::mutated!("memfd/seal-grow")
            && offset.saturating_add(to_u64(source.remaining())) > content.size()
        {
            return Err(Errno::EPERM);
        }
        let n = content.write(offset, source)?;
        if n > 0 {
            state.touch(now);
        }
        Ok((n, offset + to_u64(n)))
    }
}

impl FileOps for Node {
    fn read_at(&self, file: &File, offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        let n = state.content()?.read(offset, sink)?;
        if file.flags() & o::NOATIME == 0 {
            self.accessed(&mut state);
        }
        Ok(n)
    }
    fn write_at(&self, _file: &File, offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        self.write_common(Some(offset), source).map(|(n, _)| n)
    }
    fn append(&self, _file: &File, source: &mut dyn DataSource) -> Result<(usize, u64), Errno> {
        self.write_common(None, source)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn size(&self, _file: &File) -> Result<u64, Errno> {
        match &mut self.state.lock().body {
            Body::File(c) => Ok(c.size()),
            // As libfs: SEEK_END of a directory is not meaningful.
            _ => Err(Errno::EINVAL),
        }
    }
    fn seek_data(&self, _file: &File, offset: u64, _size: u64, hole: bool) -> Result<u64, Errno> {
        self.state.lock().content()?.seek(offset, hole)
    }
    fn readdir(&self, file: &File, pos: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<(), Errno> {
        self.read_entries(file, pos, emit)?;
        if file.flags() & o::NOATIME == 0 && !bevor_abi::mutated!("tmpfs/readdir-atime") {
            self.accessed(&mut self.state.lock());
        }
        Ok(())
    }
    fn mapping(&self, _file: &File, write: bool) -> Result<FileMapping, Errno> {
        let mut state = self.state.lock();
        if write && !bevor_abi::mutated!("memfd/seal-map") && state.seals & (seal::WRITE | seal::FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        let fd = state.content().map_err(|_| Errno::ENODEV)?.map(write, &self.fs.vfs)?;
        // No number, so that the stub does not keep the descriptor: the memory is to go with the file and its mappings.
        Ok(FileMapping { fd, id: 0 })
    }
    fn fallocate(&self, _file: &File, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        // KEEP_SIZE, PUNCH_HOLE: what tmpfs knows.
        if mode & !3 != 0 || mode == 2 && !bevor_abi::mutated!("fallocate/punch-mode") {
            return Err(Errno::EOPNOTSUPP);
        }
        let now = self.now();
        let mut state = self.state.lock();
        let seals = state.seals;
        let content = state.content().map_err(|_| Errno::ENODEV)?;
        if mode & 2 != 0 && !bevor_abi::mutated!("memfd/seal-punch") && seals & (seal::WRITE | seal::FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        if mode & 2 == 0 && seals & seal::GROW != 0 && offset.saturating_add(len) > content.size() {
            return Err(Errno::EPERM);
        }
        content.allocate(mode, offset, len)?;
        if !bevor_abi::mutated!("fallocate/times") {
            state.touch(now);
        }
        Ok(())
    }
    fn truncate(&self, _file: &File, size: u64) -> Result<(), Errno> {
        self.truncate_to(size)
    }
    fn fsync(&self, _file: &File, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }
    fn seals(&self, file: &File, add: Option<u32>) -> Result<u32, Errno> {
        let mut state = self.state.lock();
        state.content().map_err(|_| Errno::EINVAL)?;
        if let Some(new) = add {
            if !file.is_writable() && !bevor_abi::mutated!("memfd/add-read-only") {
                return Err(Errno::EPERM);
            }
            if new & !seal::ALL != 0 {
                return Err(Errno::EINVAL);
            }
            if state.seals & seal::SEAL != 0 {
                return Err(Errno::EPERM);
            }
            if new & !state.seals & seal::WRITE != 0 {
                state.content()?.seal_write()?;
            }
            state.seals |= new;
            if new & seal::EXEC != 0 && file.inode().mode() & 0o111 != 0 {
                // What can be executed is not to change.
                state.seals |= seal::SHRINK | seal::GROW | seal::WRITE | seal::FUTURE_WRITE;
                state.content()?.seal_write().ok();
            }
        }
        Ok(state.seals)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
