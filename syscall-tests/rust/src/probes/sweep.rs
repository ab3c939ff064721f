//! Every number of the catalogue: is there a call behind it, or ENOSYS?

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[probe("sweep/numbers", &["old", "new", "unassigned", "restart_syscall"], numbers)];

/// `- { nr: N, name: NAME, … }`, a call a line.
const CATALOGUE: &str = include_str!("../../../../compat-table/catalogue/syscalls.yaml");
/// The first number of those that were given out since Linux 5.1, the same on all architectures.
const NEW: i64 = 424;
/// Numbers that x86-64 will not give out, and some far beyond all.
const UNASSIGNED: [i64; 5] = [337, 380, 423, 4096, 0x3fff_ffff];
/// Exit status of a child that heard ENOSYS, and of one that heard anything else.
const ABSENT: i32 = 38;
const PRESENT: i32 = 0;

/// Registers of the call that is made of a number. They are refused without effect, or do nothing that outlives the child.
fn arguments(name: &str) -> [i64; 6] {
    // Addresses at which nothing is mapped, descriptors that are not open, flags that don't exist.
    let mut args = [-1; 6];
    match name {
        // ENOSYS is how these refuse what they don't know: a wait at an odd address, a table of no bytes.
        "futex" => args[1] = 0,
        "modify_ldt" => args = [0; 6],
        // Else it makes a queue.
        "msgget" => args[1] = 0,
        _ => {}
    }
    args
}

/// Makes the call `nr` and ends the process with what came of it. In one piece, since some calls return twice on the same stack.
fn call_and_exit(nr: i64, args: [i64; 6], without_stack: bool) -> ! {
    // SAFETY: the process does nothing but this, with arguments that reach no memory of its own.
    unsafe {
        std::arch::asm!(
            "test {bare:r}, {bare:r}",
            "jz 2f",
            "mov rsp, 8",
            "2:",
            "syscall",
            "xor edi, edi",
            "cmp rax, -38",
            "jne 3f",
            "mov edi, 38",
            "3:",
            "mov eax, 231",
            "syscall",
            "ud2",
            bare = in(reg) i64::from(without_stack),
            in("rax") nr,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            options(noreturn),
        )
    }
}

/// Whether anything but ENOSYS is behind `nr`, tried by a child without privileges.
fn is_there(nr: i64, name: &str) -> bool {
    let pid = fork(|| {
        // A child that a call has put to sleep for good ends by this.
        let _ = sys!(alarm, 5);
        // Not even root may do what these arguments could lead to.
        let nobody = 65534;
        let _ = sys!(setgroups, 0, 0);
        let (group, user) = (sys!(setresgid, nobody, nobody, nobody), sys!(setresuid, nobody, nobody, nobody));
        if group.errno() == 0 && user.errno() == 0 && status_of_self("CapEff").chars().any(|c| c != '0') {
            return 2;
        }
        // It takes the registers from the stack: there is none.
        call_and_exit(nr, arguments(name), name == "rt_sigreturn")
    });
    if name == "pause" {
        end_when_asleep(pid);
    }
    let status = reap(pid);
    let ended = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { PRESENT };
    require(ended != 2, "the child has no capabilities");
    ended != ABSENT
}

/// Kills the child once it sleeps, unless it ends before.
fn end_when_asleep(pid: i32) {
    let stat = std::ffi::CString::new(format!("/proc/{pid}/stat")).unwrap_or_default();
    loop {
        let text = get(&stat);
        let after = text.iter().rposition(|b| *b == b')').map_or(0, |i| i + 2);
        match text.get(after) {
            Some(b'S') => break,
            Some(b'Z' | b'X') | None => return,
            Some(_) => {
                let _ = sys!(sched_yield);
            }
        }
    }
    let _ = sys!(kill, pid, libc::SIGKILL);
}

fn catalogue() -> impl Iterator<Item = (i64, &'static str)> {
    CATALOGUE.lines().filter_map(|line| {
        let (nr, rest) = line.trim_start().strip_prefix("- { nr: ")?.split_once(", name: ")?;
        let name = rest.split([',', ' ']).next()?;
        Some((nr.parse().ok()?, name))
    })
}

fn numbers() {
    require(catalogue().count() > 350, "the catalogue is there");
    // Not sync: it takes what the host has to write, and refuses nothing; misc/flush observes it.
    let known = |new: bool| catalogue().filter(move |(nr, name)| (*nr >= NEW) == new && *name != "sync");
    for (id, new) in [("old", false), ("new", true)] {
        let mut observation = obs(id, answer("", 0));
        for (nr, name) in known(new) {
            observation = observation.state(name, yes(is_there(nr, name)));
        }
    }
    let mut observation = obs("unassigned", answer("", 0));
    for nr in UNASSIGNED {
        observation = observation.state(&nr.to_string(), yes(is_there(nr, "")));
    }
    drop(observation);
    // Nothing was interrupted.
    obs("restart_syscall", sys!(restart_syscall));
}
