//! The seccomp filters that really run, dumped from live processes and compared with what was reviewed (`goldens/`).
//! After a wanted change: `BEVOR_BLESS=1 cargo test -p bevor --test seccomp`, and review the difference.
#![allow(unsafe_code, reason = "PTRACE_SECCOMP_GET_FILTER has no safe wrapper")]

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::process::Signal;

mod common;
use common::{Running, bevor, children, is_root, ns_pid_is_one};

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

/// A call's name; the stubs' notification has strace's name for a number that Linux does not know.
fn call_name(nr: u32) -> String {
    bevor_abi::sysno::name(nr).map_or_else(|| format!("syscall_{nr:#x}"), str::to_owned)
}

/// A program as text, and the system calls that it names.
fn disassemble(program: &[Instruction]) -> (String, Vec<u32>) {
    let mut text = String::new();
    let mut calls = Vec::new();
    // Whether the accumulator holds the call's number: here, and where jumps lead to.
    let mut on_number = false;
    let mut at_target = HashMap::new();
    for (at, i) in program.iter().enumerate() {
        let to = |offset: u8| at + 1 + usize::from(offset);
        if at > 0 && matches!(program[at - 1].code, 0x05 | 0x06) {
            on_number = at_target.get(&at).copied().unwrap_or(false);
        }
        if matches!(i.code, 0x15 | 0x25 | 0x35 | 0x45) {
            at_target.extend([(to(i.jump_true), on_number), (to(i.jump_false), on_number)]);
        }
        if i.code == 0x05 {
            at_target.insert(at + 1 + usize::try_from(i.k).unwrap(), on_number);
        }
        let line = match i.code {
            0x20 => {
                on_number = i.k == 0;
                format!("load {}", source(i.k))
            }
            0x00 => format!("set {:#x}", i.k),
            0x07 => "keep as x".to_owned(),
            0x54 => format!("and {:#x}", i.k),
            0x6c => "shift left by x".to_owned(),
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
                    call_name(i.k)
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
fn check(name: &str, pid: i32) -> Vec<String> {
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
    calls.into_iter().map(call_name).collect()
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
    let allowed = sentry.iter().filter(|call| !["clone3", "set_robust_list"].contains(&call.as_str())).count();
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
        let fine = ["openat", "openat2"].contains(&call.as_str());
        assert!(fine || !never.iter().any(|bad| call.starts_with(bad)), "the gofer may call {call}");
    }
}

/// Host calls that no stub may ever make.
const NEVER_IN_A_STUB: [&str; 12] =
    ["read", "write", "open", "openat", "poll", "ppoll", "socket", "execve", "ptrace", "kill", "tgkill", "clone3"];

#[test]
fn live_filters_of_stubs_are_the_reviewed_one() {
    if !is_root() {
        return;
    }
    let mut command = Command::new(bevor())
        .args(["do", "--", "/bin/sh", "-c", "echo started; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(command.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    let sentry = *children(command.id()).iter().find(|pid| ns_pid_is_one(**pid)).expect("the sentry");
    let stubs = children(u32::try_from(sentry).unwrap());
    assert!(stubs.len() >= 2, "the zygote and the shell at least: {stubs:?}");
    for stub in stubs {
        let calls = check("stub", stub);
        assert!(!calls.iter().any(|call| NEVER_IN_A_STUB.contains(&call.as_str())), "{calls:?}");
    }
    drop(command.stdin.take());
    command.wait().unwrap();
}

/// The calls that a golden names.
fn golden_calls(name: &str) -> HashSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/{name}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    let named = |line: &str| Some(line.split_once("if == ")?.1.split_once(' ')?.0.to_owned());
    text.lines().filter_map(named).collect()
}

/// The host calls of each process or thread once it is confined, by `strace -f -Y`. A call that is followed by SIGSYS is one that the
/// filter has turned into a trap: it was not made. Nor need a thread's last call have been made if it has no result: when the
/// thread is killed between its entry to a call and strace's look at it, strace 6.1 prints whatever it last saw in another thread.
fn confined_calls(trace: &str) -> HashMap<(&str, bool), Vec<&str>> {
    let mut calls: HashMap<(&str, bool), Vec<&str>> = HashMap::new();
    let mut without_result = HashSet::new();
    let mut zygote_is_confined = false;
    // The sentry is the last to install its filter; threads that it had before are gone.
    let last = trace.lines().filter(|line| line.contains(" seccomp(")).count();
    let mut installed = 0;
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once('<') else { continue };
        let Some((comm, event)) = rest.split_once("> ") else { continue };
        let stub = comm.starts_with("memfd:bevor-stu") || comm == "bevor-stub";
        let made = calls.entry((pid, stub)).or_default();
        let cut_off = event.starts_with("+++ ") && without_result.contains(pid);
        if event.ends_with(" = ?") || event.ends_with("<unfinished ...>") {
            without_result.insert(pid);
        } else {
            without_result.remove(pid);
        }
        if event.starts_with("--- SIGSYS") || cut_off {
            made.pop();
        } else if let Some((name, _)) = event.split_once('(').filter(|(name, _)| !name.contains([' ', '<', '?'])) {
            if name == "seccomp" {
                zygote_is_confined |= stub;
                installed += 1;
            } else if if stub { zygote_is_confined } else { installed == last } {
                made.push(name);
            }
        }
    }
    calls
}

#[test]
fn only_a_call_that_the_end_cut_off_is_left_out() {
    let calls = |end: &str| {
        let start = "7<memfd:bevor-stub> seccomp(SECCOMP_SET_MODE_FILTER) = 0\n7<memfd:bevor-stub> futex(0x10) = 0\n";
        confined_calls(&format!("{start}{end}")).remove(&("7", true)).unwrap().join(" ")
    };
    let killed = "7<memfd:bevor-stub> +++ killed by SIGKILL +++";
    let unfinished =
        "7<memfd:bevor-stub> read(32000,  <unfinished ...>\n7<memfd:bevor-stub> <... read resumed> <unfinished ...>) = ?\n";
    assert_eq!(calls(&format!("{unfinished}{killed}")), "futex");
    assert_eq!(calls(&format!("7<memfd:bevor-stub> read(0, <unfinished ...>) = ?\n{killed}")), "futex");
    assert_eq!(calls(&format!("7<memfd:bevor-stub> read(0, <unfinished ...>\n{killed}")), "futex");
    assert_eq!(calls("7<memfd:bevor-stub> read(0, <unfinished ...>\n7<memfd:bevor-stub> +++ exited with 0 +++"), "futex");
    assert_eq!(calls(unfinished), "futex read");
    assert_eq!(calls(&format!("7<memfd:bevor-stub> read(3, \"\"..., 1) = 1\n{killed}")), "futex read");
    assert_eq!(calls("7<memfd:bevor-stub> read(3) = ?\n7<memfd:bevor-stub> --- SIGSYS {si_signo=SIGSYS} ---"), "futex");
}

#[test]
fn no_process_makes_a_host_call_beyond_its_list() {
    if !is_root() {
        return;
    }
    let [sentry_list, gofer_list, stub_list] = ["sentry", "gofer", "stub"].map(golden_calls);
    let dir = tempfile::tempdir().unwrap();
    let programs = [
        "for i in $(seq 5); do /bin/true; done; echo $((6*7)) | cat",
        "ls /usr | sort | tail -3 | tr a-z A-Z | wc -c; cat /etc/passwd > /tmp/x; rm /tmp/x",
        "perl -e 'for (1..3) { my $p = fork(); exit($_) unless $p; waitpid($p, 0); }'",
        "tar c /usr/include/linux | gzip -1 | gunzip | tar t | wc -l",
    ];
    for (n, program) in programs.iter().enumerate() {
        let trace = dir.path().join(n.to_string());
        let status = Command::new("strace")
            .args(["-f", "-Y", "-s", "0", "-o"])
            .arg(&trace)
            .args([bevor(), "do", "--", "bash", "-c", program])
            .stdout(Stdio::null())
            .status()
            .expect("strace");
        assert!(status.success(), "{program}");
        let text = std::fs::read_to_string(&trace).unwrap();
        let pid_of = |line: &str| line.split_once('<').map(|(pid, _)| pid.to_owned());
        // The command is the first; the gofer is the one other process besides sentry and stubs that confines itself, with one filter.
        let command = text.lines().find_map(pid_of).unwrap();
        let filters = |pid: &str| text.lines().filter(|l| l.starts_with(&format!("{pid}<")) && l.contains(" seccomp(")).count();
        let mut stub_calls = 0;
        for ((pid, stub), calls) in confined_calls(&text) {
            let (who, list) = match (stub, filters(pid)) {
                _ if pid == command => continue,
                (true, _) => ("stub", &stub_list),
                (false, 1) if text.contains(&format!("{pid}<bevor> seccomp(")) => ("gofer", &gofer_list),
                (false, _) => ("sentry", &sentry_list),
            };
            stub_calls += if stub { calls.len() } else { 0 };
            let beyond: HashSet<_> = calls.iter().filter(|call| !list.contains(**call)).collect();
            assert!(beyond.is_empty(), "a {who} ({pid}) makes host calls that it should not: {beyond:?}, for {program}");
            let never = stub && calls.iter().any(|call| NEVER_IN_A_STUB.contains(call));
            assert!(!never, "a stub makes one of {NEVER_IN_A_STUB:?}, for {program}");
        }
        assert!(stub_calls > 100, "the trace shows the stubs' calls");
    }
}
