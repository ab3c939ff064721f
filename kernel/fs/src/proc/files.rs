//! Text files of /proc: rendered when reading starts, then served from the rendering.

use std::any::Any;
use std::sync::Arc;

use bevor_abi::{Errno, Fd};
use bevor_core::creds::Credentials;
use bevor_core::io::{DataSink, DataSource};
use bevor_core::memory::{Kind, ObjectCharge, Owner};
use bevor_core::num::{to_u64, to_usize};
use bevor_core::vfs::{Caller, File, FileOps};
use bevor_hostcall::file;
use parking_lot::Mutex;

use super::{Fixed, OfTask, ProcFs, ProcMemory, TaskFile, What, may_look, mounts};

/// Types that mount(2) would know.
const FILESYSTEMS: &[u8] = b"nodev\ttmpfs\nnodev\tproc\nnodev\toverlay\nnodev\tpipefs\nnodev\tsockfs\nnodev\tdevtmpfs\n";

/// The longest text that is rendered for each read if it cannot be kept.
const RENDERED_AGAIN: usize = 64 << 10;

/// An open text file.
pub(super) struct TextFile {
    fs: Arc<ProcFs>,
    what: What,
    /// The image that the file is bound to, of files that show one.
    memory: Option<Arc<dyn ProcMemory>>,
    /// Who opened it.
    creds: Credentials,
    pid: i32,
    tid: i32,
    text: Mutex<Kept>,
}

/// What is kept of the text between two reads.
#[derive(Default)]
enum Kept {
    #[default]
    Nothing,
    /// All of it, counted.
    Text(Arc<Vec<u8>>, #[expect(dead_code, reason = "held")] ObjectCharge),
    /// It was read to its end, which lies here.
    End(u64),
}

impl TextFile {
    pub(super) fn new(fs: Arc<ProcFs>, what: What, memory: Option<Arc<dyn ProcMemory>>, opener: &Caller<'_>) -> Self {
        let (creds, pid, tid) = (opener.creds.clone(), opener.pid, opener.tid);
        Self { fs, what, memory, creds, pid, tid, text: Mutex::default() }
    }

    fn render(&self) -> Result<Vec<u8>, Errno> {
        let gone = |e| if e == Errno::ENOENT { Errno::ESRCH } else { e };
        match self.what {
            What::Fixed(Fixed::System(file, _)) => self.fs.data.system(file),
            What::Fixed(Fixed::Text(text, _)) => Ok(text.to_vec()),
            What::Fixed(Fixed::Filesystems) => Ok(FILESYSTEMS.to_vec()),
            What::Fixed(Fixed::BootId) => Ok(format!("{}\n", self.fs.data.boot_id()).into_bytes()),
            What::Fixed(Fixed::Uuid) => uuid(),
            What::OfTask(tid, OfTask::File(file, _)) => {
                if let Some(memory) = &self.memory {
                    return memory.text(file);
                }
                let task = self.fs.task(tid).map_err(gone)?;
                let opener = Caller { creds: &self.creds, pid: self.pid, tid: self.tid };
                if file == TaskFile::Personality && !may_look(&*task, &opener) {
                    return Err(Errno::EPERM);
                }
                task.text(file)
            }
            What::OfTask(tid, OfTask::Mounts) => {
                let fs = self.fs.task(tid).map_err(gone)?.fs().ok_or(Errno::EINVAL)?;
                Ok(mounts::mounts(&fs))
            }
            What::OfTask(tid, OfTask::MountInfo) => {
                let fs = self.fs.task(tid).map_err(gone)?.fs().ok_or(Errno::EINVAL)?;
                Ok(mounts::mountinfo(&fs))
            }
            What::FdInfoFile(tid, fd) => self.fdinfo(tid, fd),
            _ => Err(Errno::EINVAL),
        }
    }

    fn fdinfo(&self, tid: i32, fd: Fd) -> Result<Vec<u8>, Errno> {
        let files = self.fs.task(tid)?.files().ok_or(Errno::ENOENT)?;
        let file = files.get_any(fd).map_err(|_| Errno::ENOENT)?;
        let mut flags = file.flags();
        if files.cloexec(fd)? && !bevor_abi::mutated!("fdinfo/cloexec") {
            flags |= bevor_abi::fs::o::CLOEXEC;
        }
        let flags = bevor_abi::mutant!("fdinfo/flags-hex", format!("0{flags:o}"), format!("{flags:#x}"));
        let position = bevor_abi::mutant!("fdinfo/position", file.last_position(), 0);
        let mount = file.path().mount.id;
        let ino = file.inode().ino();
        let more = file.ops().fdinfo(&file);
        Ok(format!("pos:\t{position}\nflags:\t{flags}\nmnt_id:\t{mount}\nino:\t{ino}\n{more}").into_bytes())
    }
}

fn uuid() -> Result<Vec<u8>, Errno> {
    let mut b = [0u8; 16];
    file::random(&mut b)?;
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let mut out = String::new();
    for (i, byte) in b.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    out.push('\n');
    Ok(out.into_bytes())
}

impl FileOps for TextFile {
    fn read_at(&self, _file: &File, offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        let kept = match &*self.text.lock() {
            Kept::Text(text, _) if offset > 0 || bevor_abi::mutated!("proc/text-stale") => Some(Arc::clone(text)),
            Kept::End(end) if offset >= *end => return Ok(0),
            _ => None,
        };
        let text = match &kept {
            Some(text) => Arc::clone(text),
            // Rendering asks tasks: not under our lock.
            None => Arc::new(self.render()?),
        };
        let start = to_usize(offset).min(text.len());
        let n = sink.put(&text[start..])?;
        if start + n >= text.len() {
            *self.text.lock() = Kept::End(to_u64(text.len()).max(1));
        } else if kept.is_none() {
            // Where there is no memory for it, it is rendered again for the next read: unless that is much work for a few bytes.
            let charge = self.fs.vfs.memory().object_of(Kind::ProcText, to_u64(text.len()), Owner::default());
            match charge {
                Ok(charge) => *self.text.lock() = Kept::Text(text, charge),
                Err(errno) if text.len() > RENDERED_AGAIN => return Err(errno),
                Err(_) => {}
            }
        }
        Ok(n)
    }
    fn write_at(&self, _file: &File, _offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        let What::OfTask(tid, OfTask::File(file @ (TaskFile::Comm | TaskFile::OomScoreAdj), _)) = self.what else {
            return Err(Errno::EIO);
        };
        let task = self.fs.task(tid).map_err(|_| Errno::ESRCH)?;
        // A thread's name is its process's to set.
        if file == TaskFile::Comm && task.pid() != self.pid && !bevor_abi::mutated!("proc/foreign-comm") {
            return Err(Errno::EINVAL);
        }
        let mut data = vec![0; source.remaining().min(4096)];
        let n = source.get(&mut data)?;
        task.write(file, &data[..n])?;
        Ok(n)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn size(&self, _file: &File) -> Result<u64, Errno> {
        // seq_file: no SEEK_END.
        if bevor_abi::mutated!("proc/seek-end") {
            return Ok(0);
        }
        Err(Errno::EINVAL)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
