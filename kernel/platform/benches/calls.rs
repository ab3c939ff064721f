//! Times a local call and a hand-off on systrap against a native call: `cargo bench -p bevor-platform`.

#![allow(unsafe_code)]

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use bevor_abi::Errno;
use bevor_hostcall::HostFd;
use bevor_platform::systrap::{ProcFiles, Systrap, Zygote, ZygoteOptions};
use bevor_platform::{
    CloneOp, Event, ExecImage, FileMapping, Identity, ImageOp, MmapOp, OwnerRef, Platform, Reply, Thread, ThreadOwner,
};

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
    fn stat(&self, tid: i32) -> Result<HostFd, Errno> {
        let file = std::fs::File::open(format!("/proc/{tid}/stat"));
        file.map(|f| HostFd::new(OwnedFd::from(f))).map_err(|_| Errno::EACCES)
    }
    fn schedstat(&self, tid: i32) -> Result<HostFd, Errno> {
        let file = std::fs::File::open(format!("/proc/{tid}/stat"));
        file.map(|f| HostFd::new(OwnedFd::from(f))).map_err(|_| Errno::EACCES)
    }
}

#[derive(Default)]
struct World {
    marks: Mutex<Vec<Instant>>,
    done: (Mutex<bool>, Condvar),
    /// Children that have exited, and the parent that waits for one.
    wait: Mutex<(usize, Option<Arc<dyn Thread>>)>,
}

struct Task {
    world: Arc<World>,
}

impl ThreadOwner for Task {
    fn handle(&self, thread: &Arc<dyn Thread>, event: Event) {
        let Event::Syscall(call) = event else { return thread.reply(Reply::Continue) };
        match call.nr {
            57 => {
                let op = CloneOp {
                    share_vm: false,
                    stack: 0,
                    tls: None,
                    parent_tid: None,
                    child_tid: None,
                    tid: 2,
                    hold_parent: false,
                };
                let child = Arc::new(Self { world: Arc::clone(&self.world) });
                thread.reply(Reply::Clone(op, OwnerRef(child)));
            }
            60 => {
                let mut wait = self.world.wait.lock().unwrap();
                match wait.1.take() {
                    Some(parent) => parent.reply(Reply::Return(2)),
                    None => wait.0 += 1,
                }
                thread.reply(Reply::Exit { clear_tid: 0, robust_list: 0 });
            }
            61 => {
                let mut wait = self.world.wait.lock().unwrap();
                if wait.0 > 0 {
                    wait.0 -= 1;
                    thread.reply(Reply::Return(2));
                } else {
                    thread.park();
                    wait.1 = Some(Arc::clone(thread));
                }
            }
            231 => {
                thread.reply(Reply::Exit { clear_tid: 0, robust_list: 0 });
                *self.world.done.0.lock().unwrap() = true;
                self.world.done.1.notify_all();
            }
            nr => {
                if nr == 1001 {
                    self.world.marks.lock().unwrap().push(Instant::now());
                }
                thread.reply(Reply::Return(0));
            }
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
    let start = Instant::now();
    for _ in 0..1000 {
        // SAFETY: the child exits at once.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::_exit(0);
            }
            let mut status = 0;
            libc::waitpid(pid, &raw mut status, 0);
        }
    }
    let native_fork = start.elapsed().as_secs_f64() * 1e3;
    let zygote = Zygote::spawn(ZygoteOptions::default()).expect("the zygote starts");
    let platform = Systrap::start(zygote).expect("the workers start");
    platform.set_proc_files(Arc::new(OwnProc));
    let world = Arc::new(World::default());
    let task = Arc::new(Task { world: Arc::clone(&world) });
    let file = bevor_hostcall::fd::memfd(c"guest").expect("a memory file");
    std::fs::File::from(file.as_fd().try_clone_to_owned().unwrap()).write_all(&image).unwrap();
    let file = Some(FileMapping { fd: file, id: 1 });
    let ops = vec![ImageOp::Mmap(MmapOp { addr: 0x40_0000, len: 4096, prot: 5, flags: 0x12, file, offset: 0 })];
    let stack = platform.layout(None, 0).stack_top - 4096;
    let image = ExecImage { ops, entry: 0x40_0000, stack, brk: 0x50_0000, layout: None };
    platform.exec(OwnerRef(task), image, Identity { pid: 1, tid: 1, ..Identity::default() }).expect("a stub");
    let mut done = world.done.0.lock().unwrap();
    while !*done {
        done = world.done.1.wait(done).unwrap();
    }
    let start = Instant::now();
    for _ in 0..1_000_000 {
        std::hint::black_box(std::os::unix::process::parent_id());
    }
    let native = start.elapsed().as_secs_f64() * 1e3;
    let marks = world.marks.lock().unwrap();
    let per = |a: usize, n: f64| (marks[a + 1] - marks[a]).as_secs_f64() * 1e9 / n;
    let (local, handoff) = (per(0, 1e6), per(2, 2e5));
    println!("native getppid  {native:8.1} ns");
    println!("local getpid    {local:8.1} ns  {:6.2} x", local / native);
    println!("hand-off        {handoff:8.1} ns  {:6.2} x", handoff / native);
    let fork = per(3, 2e3) / 1e3;
    println!("native fork     {native_fork:8.1} us  (of this larger process)");
    println!("fork+exit+wait  {fork:8.1} us  {:6.2} x", fork / native_fork);
    platform.shutdown();
}
