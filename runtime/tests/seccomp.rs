//! The seccomp filters that really run, dumped from live processes and compared with what was reviewed (`goldens/`).
//! After a wanted change: `BEVOR_BLESS=1 cargo test -p bevor --test seccomp`, and review the difference.
#![allow(unsafe_code, reason = "PTRACE_SECCOMP_GET_FILTER has no safe wrapper")]

use std::fmt::Write as _;
use std::path::Path;

use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::process::Signal;

mod common;
use common::{Running, is_root};

/// `struct sock_filter` of linux/filter.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

/// All filters of a process, the newest first. It is stopped meanwhile.
fn dump(pid: i32) -> Vec<Vec<Instruction>> {
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
    let target = Pid::from_raw(pid);
    ptrace::attach(target).unwrap();
    waitpid(target, None).unwrap();
    let mut filters = Vec::new();
    for index in 0_usize.. {
        // SAFETY: a null buffer only asks for the number of instructions.
        let len = unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, pid, index, std::ptr::null_mut::<Instruction>()) };
        let Ok(len) = usize::try_from(len) else {
            break;
        };
        let mut program = vec![Instruction::default(); len];
        // SAFETY: the buffer has room for as many instructions as the kernel has just named; the process is stopped.
        let got = unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, pid, index, program.as_mut_ptr()) };
        assert_eq!(usize::try_from(got), Ok(len));
        filters.push(program);
    }
    ptrace::detach(target, None).unwrap();
    filters
}

fn action(k: u32) -> String {
    match k {
        0x7fff_0000 => "allow".to_owned(),
        0x8000_0000 => "kill process".to_owned(),
        0x0003_0000 => "trap".to_owned(),
        0x7fc0_0000 => "notify".to_owned(),
        k if k & 0xffff_0000 == 0x0005_0000 => format!("errno {}", k & 0xffff),
        k => format!("{k:#x}"),
    }
}

/// Where the accumulator comes from: offsets of `struct seccomp_data`.
fn source(offset: u32) -> String {
    match offset {
        0 => "nr".to_owned(),
        4 => "arch".to_owned(),
        8 => "ip low".to_owned(),
        12 => "ip high".to_owned(),
        at => format!("arg {} {}", (at - 16) / 8, if at % 8 == 0 { "low" } else { "high" }),
    }
}

/// A program as text, and the system calls that it names.
fn disassemble(program: &[Instruction]) -> (String, Vec<u32>) {
    let mut text = String::new();
    let mut calls = Vec::new();
    let mut on_number = false;
    for (at, i) in program.iter().enumerate() {
        let to = |offset: u8| at + 1 + usize::from(offset);
        let line = match i.code {
            0x20 => {
                on_number = i.k == 0;
                format!("load {}", source(i.k))
            }
            0x54 => format!("and {:#x}", i.k),
            0x05 => format!("goto {}", at + 1 + usize::try_from(i.k).unwrap()),
            0x06 => format!("return {}", action(i.k)),
            0x15 | 0x25 | 0x35 | 0x45 => {
                let test = match i.code {
                    0x15 => "==",
                    0x25 => ">",
                    0x35 => ">=",
                    _ => "&",
                };
                let value = if on_number && i.code == 0x15 {
                    calls.push(i.k);
                    bevor_abi::sysno::name(i.k).map_or_else(|| i.k.to_string(), str::to_owned)
                } else {
                    format!("{:#x}", i.k)
                };
                format!("if {test} {value} goto {} else {}", to(i.jump_true), to(i.jump_false))
            }
            code => panic!("instruction {code:#x} is unknown"),
        };
        writeln!(text, "{at:4}  {line}").unwrap();
    }
    calls.sort_unstable();
    calls.dedup();
    (text, calls)
}

/// Compares a process's filters with the golden; the names of the calls that they mention.
fn check(name: &str, pid: i32) -> Vec<&'static str> {
    let mut text = String::new();
    let mut calls = Vec::new();
    for (n, program) in dump(pid).iter().enumerate() {
        let (lines, named) = disassemble(program);
        calls.extend(named);
        writeln!(text, "filter {n}\n{lines}").unwrap();
    }
    assert!(!text.is_empty(), "the {name} has no filter");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/{name}.txt"));
    if std::env::var_os("BEVOR_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden != text {
        let at = golden.lines().zip(text.lines()).position(|(a, b)| a != b).unwrap_or(0);
        panic!(
            "the {name}'s filter differs from {} at line {}: {:?} is now {:?}; BEVOR_BLESS=1 accepts it",
            path.display(),
            at + 1,
            golden.lines().nth(at),
            text.lines().nth(at)
        );
    }
    calls.sort_unstable();
    calls.dedup();
    calls.into_iter().map(|call| bevor_abi::sysno::name(call).expect("a known call")).collect()
}

#[test]
fn live_filters_are_the_reviewed_ones() {
    if !is_root() {
        // The sentry cannot be traced by anyone else.
        return;
    }
    let running = Running::start();
    let sentry = check("sentry", running.sentry);
    let gofer = check("gofer", running.gofer);
    running.signal(Signal::TERM);
    running.finish();

    // These are named only to be answered with ENOSYS.
    let allowed = sentry.iter().filter(|&&call| !["clone3", "set_robust_list"].contains(&call)).count();
    assert!(allowed <= 45, "{allowed} calls: {sentry:?}");
    let never = [
        "open",
        "creat",
        "pipe",
        "eventfd",
        "timerfd",
        "signalfd",
        "inotify",
        "fanotify",
        "socket",
        "connect",
        "bind",
        "accept",
        "execve",
        "fork",
        "vfork",
        "ptrace",
        "mount",
        "umount",
        "setns",
        "unshare",
        "bpf",
        "io_uring",
        "kexec",
        "init_module",
        "keyctl",
    ];
    for call in &sentry {
        assert!(!never.iter().any(|bad| call.starts_with(bad)), "the sentry may call {call}");
    }
    for call in &gofer {
        let fine = ["openat", "openat2"].contains(call);
        assert!(fine || !never.iter().any(|bad| call.starts_with(bad)), "the gofer may call {call}");
    }
}
