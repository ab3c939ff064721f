//! Runs a program without libc on systrap, with a kernel of a few lines: calls, fork, wait, memory, hand-offs.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use bevor_abi::Errno;
use bevor_hostcall::HostFd;
use bevor_platform::systrap::{ProcFiles, Systrap, Zygote, ZygoteOptions};
use bevor_platform::{
    CloneOp, Event, ExecImage, FileMapping, Identity, ImageOp, MmapOp, OwnerRef, Platform, Reply, Thread, ThreadOwner,
};

/// Assembles the guest to a flat binary and returns it.
fn guest() -> Vec<u8> {
    let dir = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest.S");
    let elf = dir.join("guest.elf");
    let status = Command::new("cc")
        .args(["-nostdlib", "-static", "-Wl,-Ttext=0x400000", "-Wl,--oformat=binary", "-Wl,--build-id=none", "-o"])
        .arg(&elf)
        .arg(source)
        .status()
        .expect("the C compiler starts");
    assert!(status.success());
    std::fs::read(elf).expect("the guest was linked")
}

/// This process may open its children's files itself.
struct OwnProc;

impl OwnProc {
    fn open(pid: i32, name: &str, write: bool) -> Result<HostFd, Errno> {
        let file = std::fs::OpenOptions::new().read(true).write(write).open(format!("/proc/{pid}/{name}"));
        file.map(|f| HostFd::new(OwnedFd::from(f))).map_err(|_| Errno::EACCES)
    }
}

impl ProcFiles for OwnProc {
    fn memory(&self, pid: i32) -> Result<HostFd, Errno> {
        Self::open(pid, "mem", true)
    }
    fn maps(&self, pid: i32) -> Result<HostFd, Errno> {
        Self::open(pid, "maps", false)
    }
    fn stat(&self, tid: i32) -> Result<HostFd, Errno> {
        Self::open(tid, "stat", false)
    }
    fn schedstat(&self, tid: i32) -> Result<HostFd, Errno> {
        Self::open(tid, "schedstat", false)
    }
}

#[derive(Default)]
struct World {
    output: Vec<u8>,
    exits: HashMap<i32, i32>,
    waiting: Option<(Arc<dyn Thread>, i32)>,
    handoffs: usize,
}

#[derive(Default)]
struct Kernel {
    world: Mutex<World>,
    done: Condvar,
}

struct Task {
    kernel: Arc<Kernel>,
    pid: i32,
}

impl ThreadOwner for Task {
    fn handle(&self, thread: &Arc<dyn Thread>, event: Event) {
        let call = match event {
            // Comes while the parent's call is being answered.
            Event::Started => {
                return thread.set_identity(Identity { pid: self.pid, tid: self.pid, ..Identity::default() });
            }
            Event::Syscall(call) => call,
            other => panic!("unexpected {other:?}"),
        };
        let mut world = self.kernel.world.lock().unwrap();
        match call.nr {
            1 => {
                let mut data = vec![0; usize::try_from(call.args[2]).unwrap()];
                let n = thread.read_memory(call.args[1], &mut data);
                world.output.extend_from_slice(&data[..n]);
                thread.reply(Reply::Return(n.try_into().unwrap()));
            }
            57 => {
                let child = Arc::new(Task { kernel: Arc::clone(&self.kernel), pid: self.pid + 1 });
                let op = CloneOp {
                    share_vm: false,
                    stack: 0,
                    tls: None,
                    parent_tid: None,
                    child_tid: None,
                    tid: self.pid + 1,
                    hold_parent: false,
                };
                thread.reply(Reply::Clone(op, OwnerRef(child)));
            }
            61 => {
                let pid = i32::try_from(call.args[0]).unwrap();
                if world.exits.contains_key(&pid) {
                    thread.reply(Reply::Return(pid.into()));
                } else {
                    thread.park();
                    world.waiting = Some((Arc::clone(thread), pid));
                }
            }
            60 | 231 => {
                world.exits.insert(self.pid, i32::try_from(call.args[0]).unwrap());
                if world.waiting.as_ref().is_some_and(|(_, pid)| *pid == self.pid)
                    && let Some((parent, pid)) = world.waiting.take()
                {
                    parent.reply(Reply::Return(pid.into()));
                }
                thread.reply(Reply::Exit { clear_tid: 0, robust_list: 0 });
                self.kernel.done.notify_all();
            }
            1000 => {
                world.handoffs += 1;
                thread.reply(Reply::Return(call.args[0].cast_signed()));
            }
            nr => panic!("unexpected call {nr}"),
        }
    }
}

#[test]
fn a_program_calls_forks_waits_and_exits() {
    let image = guest();
    let zygote = Zygote::spawn(ZygoteOptions::default()).expect("the zygote starts");
    let platform = Systrap::start(zygote).expect("the workers start");
    platform.set_proc_files(Arc::new(OwnProc));
    let kernel = Arc::new(Kernel::default());
    let task = Arc::new(Task { kernel: Arc::clone(&kernel), pid: 40 });
    let len = u64::try_from(image.len()).unwrap();
    // A private file mapping, as an ELF loader makes it: its call sites may be patched.
    let file = bevor_hostcall::fd::memfd(c"guest").expect("a memory file");
    std::fs::File::from(file.as_fd().try_clone_to_owned().unwrap()).write_all(&image).unwrap();
    let file = Some(FileMapping { fd: file, id: 1 });
    let map = MmapOp { addr: 0x40_0000, len: len.next_multiple_of(4096), prot: 5, flags: 0x12, file, offset: 0 };
    let ops = vec![ImageOp::Mmap(map)];
    let stack = platform.layout(None, 0).stack_top - 4096;
    let image = ExecImage { ops, entry: 0x40_0000, stack, brk: 0x50_0000, layout: None };
    let start = std::time::Instant::now();
    let identity = Identity { pid: 40, tid: 40, ..Identity::default() };
    platform.exec(OwnerRef(task), image, identity).expect("a spare takes the image");
    let mut world = kernel.world.lock().unwrap();
    while !world.exits.contains_key(&40) {
        world = kernel.done.wait(world).unwrap();
    }
    println!("{} hand-offs in {:?}", world.handoffs, start.elapsed());
    assert_eq!(world.output, b"hello\nchild\n");
    assert_eq!(world.exits[&41], 5);
    assert_eq!(world.exits[&40], 47);
    assert_eq!(world.handoffs, 20000);
    platform.shutdown();
}
