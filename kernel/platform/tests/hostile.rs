//! Hostile guests on systrap: what the filter refuses, forks that go wrong half-way, processes that hide. One platform serves all of it,
//! since a platform reaps every child of its process.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::ops::Range;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bevor_abi::Errno;
use bevor_platform::systrap::{Systrap, Zygote, ZygoteOptions};
use bevor_platform::{
    CloneOp, Event, ExecImage, FileMapping, Identity, ImageOp, MemoryLimits, MmapOp, OwnerRef, Platform, Reply, Thread,
    ThreadOwner,
};
use bevor_stub::layout::NOTIF_NR;
use rustix::process::{Pid, Signal, kill_process};

const TEXT: u64 = 0x40_0000;

fn guest() -> Vec<u8> {
    let elf = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile.bin");
    let status = Command::new("cc")
        .args([
            "-O1",
            "-nostdlib",
            "-static",
            "-ffreestanding",
            "-fno-stack-protector",
            "-fcf-protection=none",
            "-fno-pie",
            "-no-pie",
        ])
        .args(["-fno-asynchronous-unwind-tables", "-fno-jump-tables", "-fno-tree-switch-conversion"])
        .args(["-mgeneral-regs-only", "-Wl,-Ttext=0x400000", "-Wl,--oformat=binary", "-Wl,--build-id=none", "-o"])
        .arg(&elf)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile.c"))
        .status()
        .expect("the C compiler starts");
    assert!(status.success());
    std::fs::read(elf).expect("the guest was linked")
}

/// What has happened to each guest, by the process id that it was given.
#[derive(Default)]
struct World {
    started: HashMap<i32, usize>,
    exits: HashMap<i32, u64>,
    gone: HashMap<i32, usize>,
    threads: HashMap<i32, Arc<dyn Thread>>,
    parked: HashSet<i32>,
    /// Guests whose handlers do not return, until they are let go.
    held_up: HashSet<i32>,
    let_go: bool,
}

#[derive(Default)]
struct Kernel {
    world: Mutex<World>,
    changed: Condvar,
}

impl Kernel {
    /// Waits until `wanted` finds something.
    fn wait<T>(&self, wanted: impl Fn(&World) -> Option<T>) -> T {
        let mut world = self.world.lock().unwrap();
        loop {
            if let Some(found) = wanted(&world) {
                return found;
            }
            let (next, timeout) = self.changed.wait_timeout(world, Duration::from_secs(20)).unwrap();
            assert!(!timeout.timed_out(), "it never happens");
            world = next;
        }
    }

    /// What a host file system that does not answer does to a handler.
    fn hold_up(&self, pid: i32) {
        let mut world = self.world.lock().unwrap();
        world.held_up.insert(pid);
        self.changed.notify_all();
        while !world.let_go {
            world = self.changed.wait(world).unwrap();
        }
    }
}

/// Children of guest `n` are all called `n + CHILD`.
const CHILD: i32 = 1000;

/// Guests that are limited before there is a process, or after.
const LIMITED: Range<i32> = 300..330;

/// Guests that hold up their handlers: more than there are threads that serve calls.
const HELD_UP: Range<i32> = 400..412;

struct Task {
    kernel: Arc<Kernel>,
    pid: i32,
}

impl ThreadOwner for Task {
    fn handle(&self, thread: &Arc<dyn Thread>, event: Event) {
        if matches!(&event, Event::Syscall(call) if call.nr == 62) {
            self.kernel.hold_up(self.pid);
        }
        let mut world = self.kernel.world.lock().unwrap();
        let reply = match event {
            Event::Started => {
                *world.started.entry(self.pid).or_default() += 1;
                world.threads.insert(self.pid, Arc::clone(thread));
                if LIMITED.contains(&self.pid) {
                    thread.space().set_memory_limits(MemoryLimits { all: 1 << 40, data: u64::MAX });
                }
                None
            }
            Event::Gone { .. } | Event::NotStarted => {
                *world.gone.entry(self.pid).or_default() += 1;
                None
            }
            Event::Syscall(call) => match call.nr {
                231 => {
                    world.exits.insert(self.pid, call.args[0]);
                    Some(Reply::Exit { clear_tid: 0, robust_list: 0 })
                }
                57 | 58 => {
                    let share_vm = call.nr == 58;
                    let (stack, tid) = (if share_vm { call.args[0] } else { 0 }, self.pid + CHILD);
                    let op = CloneOp { share_vm, stack, tls: None, parent_tid: None, child_tid: None, tid, hold_parent: false };
                    Some(Reply::Clone(op, OwnerRef(Arc::new(Task { kernel: Arc::clone(&self.kernel), pid: tid }))))
                }
                9 => {
                    let (len, prot, flags) = (call.args[1], 3, 0x22);
                    Some(Reply::Mmap(Box::new(MmapOp { addr: 0, len, prot, flags, file: None, offset: 0 })))
                }
                // Answered by the test.
                61 => {
                    thread.park();
                    world.parked.insert(self.pid);
                    None
                }
                62 => Some(Reply::Return(7)),
                // The second thread of the guest without a first one stays here.
                60 => None,
                nr => panic!("unexpected call {nr}"),
            },
            Event::Interrupted => Some(Reply::Continue),
            other => panic!("unexpected {other:?}"),
        };
        drop(world);
        self.kernel.changed.notify_all();
        if let Some(reply) = reply {
            thread.reply(reply);
        }
    }
}

struct Bench {
    platform: Systrap,
    kernel: Arc<Kernel>,
    program: FileMapping,
    len: u64,
}

impl Bench {
    fn new() -> Self {
        let image = guest();
        let zygote = Zygote::spawn(ZygoteOptions::default()).expect("the zygote starts");
        let platform = Systrap::start(zygote).expect("the workers start");
        let fd = bevor_hostcall::fd::memfd(c"hostile").expect("a memory file");
        std::fs::File::from(fd.as_fd().try_clone_to_owned().unwrap()).write_all(&image).unwrap();
        let len = u64::try_from(image.len()).unwrap().next_multiple_of(4096);
        Self { platform, kernel: Arc::default(), program: FileMapping { fd, id: 1 }, len }
    }

    fn image(&self) -> ExecImage {
        let file = Some(self.program.clone());
        let text = MmapOp { addr: TEXT, len: self.len, prot: 5, flags: 0x12, file, offset: 0 };
        let stack = self.platform.layout(None, 0).stack_top - 4096;
        ExecImage { ops: vec![ImageOp::Mmap(text)], entry: TEXT, stack, brk: 0x50_0000, layout: None }
    }

    fn run(&self, pid: i32, image: ExecImage) -> Result<Arc<dyn Thread>, Errno> {
        let task = Arc::new(Task { kernel: Arc::clone(&self.kernel), pid });
        self.platform.exec(OwnerRef(task), image, Identity { pid, tid: pid, ..Identity::default() })
    }

    /// The status of guest `pid`.
    fn status(&self, pid: i32) -> u64 {
        self.run(pid, self.image()).expect("a spare");
        self.kernel.wait(|w| w.exits.get(&pid).copied())
    }
}

/// Whether a process's first thread has ended.
fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.rsplit(") ").next().is_some_and(|s| s.starts_with('Z')))
}

/// Waits until the process sleeps in one of these host calls.
fn sleeps_in(pid: i32, calls: &[i64]) {
    let path = format!("/proc/{pid}/syscall");
    let sleeps = |text: &str| calls.iter().any(|nr| text.starts_with(&format!("{nr} ")));
    while !sleeps(&std::fs::read_to_string(&path).expect("the stub is there")) {
        std::thread::yield_now();
    }
}

/// A signal ends the notification in which a stub sleeps; the reply to its parked call finds it all the same.
fn signal_in_a_parked_call(bench: &Bench, pid: i32) {
    let thread = bench.run(pid, bench.image()).expect("a spare");
    bench.kernel.wait(|w| w.parked.get(&pid).copied());
    let host = thread.space().host_pid();
    // (Where the spinner has met its call, it sleeps in its channel already.)
    sleeps_in(host, &[i64::from(NOTIF_NR), libc::SYS_futex]);
    kill_process(Pid::from_raw(host).unwrap(), Signal::USR1).unwrap();
    sleeps_in(host, &[libc::SYS_futex]);
    thread.reply(Reply::Return(7));
    assert_eq!(bench.kernel.wait(|w| w.exits.get(&pid).copied()), 0);
}

/// Handlers that are held up, however many, hold up no other guest.
fn others_are_served_while_handlers_are_held_up(bench: &Bench) {
    for pid in HELD_UP {
        bench.run(pid, bench.image()).expect("a spare");
    }
    bench.kernel.wait(|w| (w.held_up.len() == HELD_UP.len()).then_some(()));
    assert_eq!(bench.status(107), 0);
    bench.kernel.world.lock().unwrap().let_go = true;
    bench.kernel.changed.notify_all();
    for pid in HELD_UP {
        assert_eq!(bench.kernel.wait(|w| w.exits.get(&pid).copied()), 0);
    }
    assert_eq!(bench.status(108), 0);
}

#[test]
fn hostile_guests_gain_nothing_and_hold_nobody_up() {
    let bench = Bench::new();
    assert_eq!(bench.status(100), 0, "which host call got through, see hostile.c");

    let began = Instant::now();
    assert_eq!(bench.status(101), 0, "a fork whose child dies unclaimed holds up neither its parent nor the next fork");
    bench.kernel.wait(|w| w.gone.get(&(101 + CHILD)).filter(|n| **n == 50).copied());
    // Which looks once in a second, and would find each of the fifty.
    assert!(began.elapsed() < Duration::from_secs(20), "somebody waits for the watchdog");

    assert_eq!(bench.status(102), 0, "a fork that the host refused returns its error");
    bench.kernel.wait(|w| w.gone.get(&(102 + CHILD)).filter(|n| **n == 1).copied());

    // A process goes on in its second thread when the first has ended; it can be killed all the same.
    bench.run(103, bench.image()).expect("a spare");
    let second = bench.kernel.wait(|w| w.threads.get(&(103 + CHILD)).cloned());
    // It stays in a call, which it can only make once the first thread is gone or about to go.
    let first = second.space().host_pid();
    while std::fs::read_dir(format!("/proc/{first}/task")).is_ok_and(|tasks| tasks.count() > 1 && !is_zombie(first)) {
        std::thread::yield_now();
    }
    second.space().kill();
    bench.kernel.wait(|w| w.gone.get(&(103 + CHILD)).copied());

    assert_eq!(bench.status(105), 0, "nobody speaks for the zygote");

    signal_in_a_parked_call(&bench, 106);

    others_are_served_while_handlers_are_held_up(&bench);

    // An image beyond what a channel holds is refused, and nothing breaks.
    let mut large = bench.image();
    large.ops.extend((0..3000).map(|_| ImageOp::Zero { addr: TEXT, len: 0 }));
    assert_eq!(bench.run(104, large).err(), Some(Errno::ENOEXEC));

    // Programs started faster than spares arrive start once each.
    for pid in 200..230 {
        bench.run(pid, bench.image()).expect("a spare");
    }
    for pid in 200..230 {
        assert_eq!(bench.kernel.wait(|w| w.exits.get(&pid).copied()), 0);
        assert_eq!(bench.kernel.wait(|w| w.started.get(&pid).copied()), 1);
    }
    // A limit that is set before there is a process holds all the same.
    let threads: Vec<_> = LIMITED.map(|pid| (pid, bench.run(pid, bench.image()).expect("a spare"))).collect();
    for (pid, thread) in threads {
        bench.kernel.wait(|w| w.parked.get(&pid).copied());
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", thread.space().host_pid())).unwrap();
        let line = limits.lines().find_map(|l| l.strip_prefix("Max address space")).unwrap();
        let soft: u64 = line.split_whitespace().next().unwrap().parse().unwrap_or(u64::MAX);
        assert!((1 << 40..(1 << 40) + (8 << 20)).contains(&soft), "guest {pid}: {line}");
        thread.reply(Reply::Return(7));
    }
    bench.platform.shutdown();
}
