//! Times a local call and a hand-off on systrap against a native call: `cargo bench -p bevor-platform`.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use bevor_abi::Errno;
use bevor_hostcall::HostFd;
use bevor_platform::systrap::{ProcFiles, Systrap, Zygote, ZygoteOptions};
use bevor_platform::{Event, ExecImage, FileMapping, Identity, ImageOp, MmapOp, OwnerRef, Platform, Reply, Thread, ThreadOwner};

struct OwnProc;

impl ProcFiles for OwnProc {
    fn memory(&self, pid: i32) -> Result<HostFd, Errno> {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"));
        file.map(|f| HostFd::new(OwnedFd::from(f))).map_err(|_| Errno::EACCES)
    }
    fn maps(&self, pid: i32) -> Result<HostFd, Errno> {
        let file = std::fs::File::open(format!("/proc/{pid}/maps"));
        file.map(|f| HostFd::new(OwnedFd::from(f))).map_err(|_| Errno::EACCES)
    }
}

#[derive(Default)]
struct Task {
    marks: Mutex<Vec<Instant>>,
    done: (Mutex<bool>, Condvar),
}

impl ThreadOwner for Task {
    fn handle(&self, thread: &Arc<dyn Thread>, event: Event) {
        match event {
            Event::Syscall(call) if call.nr == 231 => {
                thread.reply(Reply::Exit { clear_tid: 0, robust_list: 0 });
                *self.done.0.lock().unwrap() = true;
                self.done.1.notify_all();
            }
            Event::Syscall(call) => {
                if call.nr == 1001 {
                    self.marks.lock().unwrap().push(Instant::now());
                }
                thread.reply(Reply::Return(0));
            }
            _ => thread.reply(Reply::Continue),
        }
    }
}

fn guest() -> Vec<u8> {
    let out = std::env::temp_dir().join(format!("bevor-bench-{}", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/guest.S");
    let flags = ["-nostdlib", "-static", "-Wl,-Ttext=0x400000", "-Wl,--oformat=binary", "-Wl,--build-id=none", "-o"];
    let status = Command::new("cc").args(flags).arg(&out).arg(source).status().expect("the C compiler starts");
    assert!(status.success());
    let image = std::fs::read(&out).expect("the guest was linked");
    std::fs::remove_file(out).expect("the guest's file goes");
    image
}

fn main() {
    // Before the platform's reaper waits for every child.
    let image = guest();
    let zygote = Zygote::spawn(ZygoteOptions::default()).expect("the zygote starts");
    let platform = Systrap::start(zygote).expect("the workers start");
    platform.set_proc_files(Arc::new(OwnProc));
    let task = Arc::new(Task::default());
    let file = bevor_hostcall::fd::memfd(c"guest").expect("a memory file");
    std::fs::File::from(file.as_fd().try_clone_to_owned().unwrap()).write_all(&image).unwrap();
    let file = Some(FileMapping { fd: file, id: 1 });
    let ops = vec![ImageOp::Mmap(MmapOp { addr: 0x40_0000, len: 4096, prot: 5, flags: 0x12, file, offset: 0 })];
    let stack = platform.layout().stack_top - 4096;
    let image = ExecImage { ops, entry: 0x40_0000, stack, brk: 0x50_0000 };
    platform.exec(OwnerRef(task.clone()), image, Identity { pid: 1, tid: 1, ..Identity::default() }).expect("a stub");
    let mut done = task.done.0.lock().unwrap();
    while !*done {
        done = task.done.1.wait(done).unwrap();
    }
    let start = Instant::now();
    for _ in 0..1_000_000 {
        std::os::unix::process::parent_id();
    }
    let native = start.elapsed().as_secs_f64() * 1e3;
    let marks = task.marks.lock().unwrap();
    let per = |a: usize, n: f64| (marks[a + 1] - marks[a]).as_secs_f64() * 1e9 / n;
    let (local, handoff) = (per(0, 1e6), per(2, 2e5));
    println!("native getppid  {native:8.1} ns");
    println!("local getpid    {local:8.1} ns  {:6.2} x", local / native);
    println!("hand-off        {handoff:8.1} ns  {:6.2} x", handoff / native);
    platform.shutdown();
}
