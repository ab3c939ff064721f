//! Processes, signals and waiting, from system call to reply, on a platform of the test's own.

mod mock;

use bevor_abi::signal::*;
use bevor_abi::{Errno, sysno};
use bevor_core::creds::Credentials;
use bevor_core::memory::Kind;
use bevor_platform::{CallOutcome, Event, Reply};
use mock::{BASE, World, handle, ignore};

const WNOHANG: u64 = 1;
const WUNTRACED: u64 = 2;
const STATUS: u64 = BASE + 0x100;

fn errno(e: Errno) -> i64 {
    e.to_result()
}

fn any() -> u64 {
    u64::from(u32::MAX)
}

#[test]
fn wait4_blocks_until_the_child_exits_and_reaps_it_once() {
    let w = World::new();
    let (child, pid) = w.fork(&w.main);
    w.main.start(sysno::wait4, &[any(), STATUS, 0, 0]);
    assert!(w.main.is_blocked());
    child.start(sysno::exit_group, &[7]);
    assert!(matches!(child.reply_now(), Some(Reply::Exit { .. })));
    assert_eq!(w.main.result(), i64::try_from(pid).unwrap());
    assert_eq!(w.main.peek32(STATUS), 7 << 8);
    assert_eq!(w.main.call(sysno::wait4, &[any(), STATUS, 0, 0]), errno(Errno::ECHILD));
}

#[test]
fn wait4_without_hanging_reports_nothing_of_a_living_child() {
    let w = World::new();
    let (_child, pid) = w.fork(&w.main);
    assert_eq!(w.main.call(sysno::wait4, &[pid, STATUS, WNOHANG, 0]), 0);
    assert_eq!(w.main.call(sysno::wait4, &[pid + 1, STATUS, WNOHANG, 0]), errno(Errno::ECHILD));
    assert_eq!(w.main.call(sysno::wait4, &[pid, STATUS, 0x40, 0]), errno(Errno::EINVAL));
}

#[test]
fn waitid_with_wnowait_leaves_the_zombie() {
    let w = World::new();
    let (child, pid) = w.fork(&w.main);
    child.start(sysno::exit_group, &[3]);
    let options = 4 | 0x0100_0000;
    assert_eq!(w.main.call(sysno::waitid, &[1, pid, STATUS, options, 0]), 0);
    assert_eq!(w.main.peek32(STATUS), SIGCHLD);
    assert_eq!(w.main.peek32(STATUS + 8), CLD_EXITED);
    assert_eq!(w.main.peek32(STATUS + 24), 3);
    assert_eq!(w.main.call(sysno::waitid, &[1, pid, STATUS, 4, 0]), 0);
    assert_eq!(w.main.call(sysno::waitid, &[1, pid, STATUS, 4, 0]), errno(Errno::ECHILD));
}

#[test]
fn a_child_that_dies_before_its_first_instruction_was_killed() {
    let w = World::new();
    let pid = w.fork_without_child(&w.main, [Event::Gone { status: 9 }]);
    assert_eq!(w.main.call(sysno::wait4, &[any(), STATUS, 0, 0]), pid);
    assert_eq!(w.main.peek32(STATUS), SIGKILL);
}

#[test]
fn a_child_that_never_was_leaves_nothing() {
    let w = World::new();
    assert_eq!(w.fork_without_child(&w.main, [Event::NotStarted]), errno(Errno::EAGAIN));
    assert_eq!(w.main.call(sysno::wait4, &[any(), STATUS, WNOHANG, 0]), errno(Errno::ECHILD));
}

#[test]
fn a_child_that_starts_as_it_is_given_up_leaves_nothing() {
    for events in [[Event::Started, Event::NotStarted], [Event::NotStarted, Event::Started]] {
        let w = World::new();
        assert_eq!(w.fork_without_child(&w.main, events), errno(Errno::EAGAIN));
        assert_eq!(w.main.call(sysno::wait4, &[any(), STATUS, WNOHANG, 0]), errno(Errno::ECHILD));
        assert_eq!(w.kernel.memory().objects_used(Kind::Task), 0, "it and its thread hold each other");
    }
}

#[test]
fn a_parent_that_ignores_sigchld_has_no_zombies() {
    let w = World::new();
    ignore(&w.main, SIGCHLD);
    let (child, pid) = w.fork(&w.main);
    w.main.start(sysno::wait4, &[any(), STATUS, 0, 0]);
    child.start(sysno::exit_group, &[0]);
    assert_eq!(w.main.result(), errno(Errno::ECHILD));
    assert_eq!(w.main.call(sysno::kill, &[pid, 0]), errno(Errno::ESRCH));
}

#[test]
fn sa_restart_decides_between_restart_and_eintr() {
    for (flags, outcome) in [(SA_RESTART, CallOutcome::Restart), (0, CallOutcome::Return(errno(Errno::EINTR)))] {
        let w = World::new();
        handle(&w.main, SIGUSR1, flags);
        let (child, _) = w.fork(&w.main);
        w.main.start(sysno::wait4, &[any(), STATUS, 0, 0]);
        let pid = w.main.identity.lock().pid as u64;
        assert_eq!(child.call(sysno::kill, &[pid, SIGUSR1 as u64]), 0);
        let Some(Reply::Signal(frame)) = w.main.reply_now() else { panic!("no frame") };
        assert_eq!((frame.signo, frame.outcome), (SIGUSR1, outcome));
        assert_eq!(frame.new_mask & bit(SIGUSR1), bit(SIGUSR1));
        let sender = i32::from_le_bytes(frame.info[16..20].try_into().unwrap());
        assert_eq!(sender, child.identity.lock().pid, "si_pid");
    }
}

#[test]
fn an_ignored_signal_does_not_disturb_a_sleeping_call() {
    let w = World::new();
    ignore(&w.main, SIGUSR1);
    let (child, _) = w.fork(&w.main);
    w.main.start(sysno::pause, &[]);
    let pid = w.main.identity.lock().pid as u64;
    assert_eq!(child.call(sysno::kill, &[pid, SIGUSR1 as u64]), 0);
    assert!(w.main.is_blocked());
}

#[test]
fn nanosleep_ends_by_its_timer_and_reports_the_rest_when_interrupted() {
    for torture in [false, true] {
        let w = World::with(Credentials::root(), torture);
        handle(&w.main, SIGUSR1, SA_RESTART);
        w.main.poke64(BASE, &[2, 500_000_000]);
        w.main.start(sysno::nanosleep, &[BASE, STATUS]);
        assert!(w.main.is_blocked());
        w.timers.advance(&w.kernel, 2_400_000_000);
        assert!(w.main.is_blocked());
        w.timers.advance(&w.kernel, 100_000_000);
        assert_eq!(w.main.result(), 0);
        let (child, _) = w.fork(&w.main);
        w.main.start(sysno::nanosleep, &[BASE, STATUS]);
        w.timers.advance(&w.kernel, 1_000_000_000);
        let pid = w.main.identity.lock().pid as u64;
        child.call(sysno::kill, &[pid, SIGUSR1 as u64]);
        let Some(Reply::Signal(frame)) = w.main.reply_now() else { panic!("no frame") };
        assert_eq!(frame.outcome, CallOutcome::Return(errno(Errno::EINTR)), "nanosleep is never restarted by a handler");
        assert_eq!((w.main.peek32(STATUS), w.main.peek32(STATUS + 8)), (1, 500_000_000));
    }
}

#[test]
fn a_stop_and_continue_does_not_end_a_sleep() {
    let w = World::new();
    let (child, pid) = w.fork(&w.main);
    child.poke64(BASE, &[10, 0]);
    child.start(sysno::nanosleep, &[BASE, 0]);
    assert_eq!(w.main.call(sysno::kill, &[pid, SIGSTOP as u64]), 0);
    assert_eq!(w.main.call(sysno::wait4, &[pid, STATUS, WUNTRACED, 0]), i64::try_from(pid).unwrap());
    assert_eq!(w.main.peek32(STATUS), (SIGSTOP << 8) | 0x7f);
    w.timers.advance(&w.kernel, 4_000_000_000);
    assert_eq!(w.main.call(sysno::kill, &[pid, SIGCONT as u64]), 0);
    assert_eq!(w.main.call(sysno::wait4, &[pid, STATUS, 8, 0]), i64::try_from(pid).unwrap());
    assert_eq!(w.main.peek32(STATUS), 0xffff);
    assert!(child.is_blocked(), "the rest of the sleep goes on");
    w.timers.advance(&w.kernel, 6_000_000_000);
    assert_eq!(child.result(), 0);
}

#[test]
fn sigsuspend_runs_the_handler_and_goes_back_to_the_old_mask() {
    let w = World::new();
    handle(&w.main, SIGUSR1, 0);
    w.main.set_mask(bit(SIGUSR1) | bit(SIGUSR2));
    let pid = w.main.identity.lock().pid as u64;
    assert_eq!(w.main.call(sysno::kill, &[pid, SIGUSR1 as u64]), 0, "blocked");
    w.main.poke64(STATUS, &[0]);
    assert_eq!(w.main.call(sysno::rt_sigpending, &[STATUS, 8]), 0);
    assert_eq!(w.main.peek32(STATUS) as u64, bit(SIGUSR1));
    w.main.poke64(STATUS, &[bit(SIGUSR2)]);
    w.main.start(sysno::rt_sigsuspend, &[STATUS, 8]);
    let Some(Reply::Signal(frame)) = w.main.reply_now() else { panic!("no frame") };
    assert_eq!(frame.old_mask, bit(SIGUSR1) | bit(SIGUSR2));
    assert_eq!(frame.new_mask, bit(SIGUSR1) | bit(SIGUSR2));
    assert_eq!(frame.outcome, CallOutcome::Return(errno(Errno::EINTR)));
}

#[test]
fn a_local_unmask_delivers_what_is_pending() {
    let w = World::new();
    handle(&w.main, SIGUSR1, 0);
    w.main.set_mask(bit(SIGUSR1));
    let pid = w.main.identity.lock().pid as u64;
    w.main.call(sysno::kill, &[pid, SIGUSR1 as u64]);
    assert!(w.main.interruption().is_none());
    w.main.set_mask(0);
    assert!(matches!(w.main.interruption(), Some(Reply::Signal(f)) if f.outcome == CallOutcome::None));
    assert_eq!(w.main.pending.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[test]
fn sigtimedwait_takes_a_blocked_signal_and_times_out() {
    let w = World::new();
    w.main.set_mask(bit(SIGUSR1));
    let (child, _) = w.fork(&w.main);
    w.main.poke64(BASE, &[bit(SIGUSR1), 0, 1, 0]);
    w.main.start(sysno::rt_sigtimedwait, &[BASE, STATUS, BASE + 16, 8]);
    assert!(w.main.is_blocked());
    child.call(sysno::kill, &[w.main.identity.lock().pid as u64, SIGUSR1 as u64]);
    assert_eq!(w.main.result(), i64::from(SIGUSR1));
    assert_eq!(w.main.peek32(STATUS), SIGUSR1);
    w.main.start(sysno::rt_sigtimedwait, &[BASE, STATUS, BASE + 16, 8]);
    w.timers.advance(&w.kernel, 1_000_000_000);
    assert_eq!(w.main.result(), errno(Errno::EAGAIN));
}

#[test]
fn sigkill_ends_a_sleeping_process() {
    let w = World::new();
    let (child, pid) = w.fork(&w.main);
    child.start(sysno::pause, &[]);
    w.main.call(sysno::kill, &[pid, SIGKILL as u64]);
    assert!(matches!(child.reply_now(), Some(Reply::Exit { .. })));
    assert_eq!(w.main.call(sysno::wait4, &[pid, STATUS, 0, 0]), i64::try_from(pid).unwrap());
    assert_eq!(w.main.peek32(STATUS), SIGKILL);
}

#[test]
fn exit_group_ends_the_other_threads_too() {
    let w = World::new();
    let (child, pid) = w.fork(&w.main);
    let (running, _) = w.spawn(&child);
    let (sleeping, _) = w.spawn(&child);
    sleeping.start(sysno::pause, &[]);
    child.start(sysno::exit_group, &[5]);
    assert!(matches!(child.reply_now(), Some(Reply::Exit { .. })));
    assert!(matches!(sleeping.reply_now(), Some(Reply::Exit { .. })));
    assert_eq!(w.main.call(sysno::wait4, &[pid, STATUS, WNOHANG, 0]), 0, "one thread is still there");
    assert!(matches!(running.interruption(), Some(Reply::Exit { .. })));
    assert_eq!(w.main.call(sysno::wait4, &[pid, STATUS, 0, 0]), i64::try_from(pid).unwrap());
    assert_eq!(w.main.peek32(STATUS), 5 << 8);
}

#[test]
fn threads_that_stay_are_killed_with_their_host_process() {
    let w = World::new();
    let (child, _) = w.fork(&w.main);
    let (stubborn, _) = w.spawn(&child);
    child.start(sysno::exit_group, &[0]);
    w.timers.advance(&w.kernel, 3_000_000_000);
    use bevor_platform::Thread;
    let space = stubborn.space();
    assert_eq!(space.id(), child.space().id());
    let w2 = w.kernel.log.read_all(4096);
    assert!(String::from_utf8_lossy(&w2).contains("does not leave, killed"));
}

#[test]
fn a_fault_without_a_handler_kills_and_with_one_builds_a_frame() {
    let w = World::new();
    let (child, pid) = w.fork(&w.main);
    child.fault(SIGSEGV);
    assert!(matches!(child.reply_now(), Some(Reply::Exit { .. })));
    w.main.call(sysno::wait4, &[pid, STATUS, 0, 0]);
    assert_eq!(w.main.peek32(STATUS), SIGSEGV);
    handle(&w.main, SIGSEGV, 0);
    w.main.fault(SIGSEGV);
    let Some(Reply::Signal(frame)) = w.main.reply_now() else { panic!("no frame") };
    assert!(frame.fault);
    assert_eq!(u64::from_le_bytes(frame.info[16..24].try_into().unwrap()), 0xdead, "si_addr");
    // The handler faults again while SIGSEGV is blocked: that kills.
    w.main.fault(SIGSEGV);
    assert!(matches!(w.main.reply_now(), Some(Reply::Exit { .. })));
    assert_eq!(w.kernel.wait_exit().signal(), Some(SIGSEGV));
}

#[test]
fn vfork_holds_the_parent_until_the_child_exits() {
    let w = World::new();
    w.main.start(sysno::vfork, &[]);
    let child = w.accept_clone(&w.main);
    assert!(w.main.is_blocked());
    let pid = child.identity.lock().pid;
    child.start(sysno::exit_group, &[1]);
    assert_eq!(w.main.result(), i64::from(pid));
}

#[test]
fn orphans_go_to_the_subreaper() {
    let w = World::new();
    assert_eq!(w.main.call(sysno::prctl, &[36, 1]), 0);
    let (child, child_pid) = w.fork(&w.main);
    let (grandchild, pid) = w.fork(&child);
    assert_eq!(grandchild.call(sysno::getppid, &[]), i64::try_from(child_pid).unwrap());
    child.start(sysno::exit_group, &[0]);
    assert_eq!(grandchild.identity.lock().ppid, w.main.identity.lock().pid);
    grandchild.start(sysno::exit_group, &[9]);
    assert_eq!(w.main.call(sysno::wait4, &[pid, STATUS, 0, 0]), i64::try_from(pid).unwrap());
    assert_eq!(w.main.peek32(STATUS), 9 << 8);
}

#[test]
fn orphans_without_a_subreaper_vanish_in_process_1() {
    let w = World::new();
    let (child, _) = w.fork(&w.main);
    let (grandchild, pid) = w.fork(&child);
    child.start(sysno::exit_group, &[0]);
    assert_eq!(grandchild.call(sysno::getppid, &[]), 1);
    grandchild.start(sysno::exit_group, &[9]);
    assert_eq!(w.main.call(sysno::kill, &[pid, 0]), errno(Errno::ESRCH));
}

#[test]
fn clone_refuses_what_linux_refuses() {
    let w = World::new();
    let clone = |flags: u64| w.main.call(sysno::clone, &[flags]);
    assert_eq!(clone(0x10000), errno(Errno::EINVAL), "CLONE_THREAD without CLONE_SIGHAND");
    assert_eq!(clone(0x800), errno(Errno::EINVAL), "CLONE_SIGHAND without CLONE_VM");
    assert_eq!(clone(0x20200), errno(Errno::EINVAL), "CLONE_NEWNS with CLONE_FS");
    w.main.poke64(BASE, &[0, 0, 0, 0, 65, 0, 0, 0]);
    assert_eq!(w.main.call(sysno::clone3, &[BASE, 64]), errno(Errno::EINVAL), "no such exit signal");
    assert_eq!(w.main.call(sysno::clone3, &[BASE, 63]), errno(Errno::EINVAL), "too small");
}

#[test]
fn kill_checks_permission_and_existence() {
    let user = Credentials { uid: 1000, euid: 1000, suid: 1000, fsuid: 1000, ..Credentials::default() };
    let w = World::with(user, false);
    assert_eq!(w.main.call(sysno::kill, &[9999, 0]), errno(Errno::ESRCH));
    let pid = w.main.identity.lock().pid as u64;
    assert_eq!(w.main.call(sysno::kill, &[pid, 65]), errno(Errno::EINVAL));
    assert_eq!(w.main.call(sysno::tgkill, &[pid, pid + 1, 0]), errno(Errno::ESRCH));
    assert_eq!(w.main.call(sysno::setuid, &[0]), errno(Errno::EPERM));
    assert_eq!(w.main.call(sysno::setuid, &[1000]), 0);
}

#[test]
fn two_pending_signals_stack_their_frames() {
    let w = World::new();
    handle(&w.main, SIGUSR1, 0);
    handle(&w.main, SIGUSR2, 0);
    w.main.set_mask(bit(SIGUSR1) | bit(SIGUSR2));
    let pid = w.main.identity.lock().pid as u64;
    w.main.call(sysno::kill, &[pid, SIGUSR2 as u64]);
    w.main.call(sysno::kill, &[pid, SIGUSR1 as u64]);
    w.main.set_mask(0);
    assert!(matches!(w.main.interruption(), Some(Reply::Signal(f)) if f.signo == SIGUSR1));
    assert!(matches!(w.main.interruption(), Some(Reply::Signal(f)) if f.signo == SIGUSR2));
    assert!(w.main.interruption().is_none());
}

#[test]
fn the_boot_nonce_is_in_the_kernel_log() {
    let w = World::new();
    let len = w.main.call(sysno::syslog, &[3, BASE, 4096]);
    let text: [u8; 256] = w.main.peek(BASE);
    assert!(len > 0 && String::from_utf8_lossy(&text).contains("Bevor: boot nonce 42"));
}

#[test]
fn alarm_sends_sigalrm_when_its_time_has_come() {
    let w = World::new();
    handle(&w.main, SIGALRM, 0);
    assert_eq!(w.main.call(sysno::alarm, &[3]), 0);
    w.timers.advance(&w.kernel, 1_000_000_000);
    assert_eq!(w.main.call(sysno::alarm, &[5]), 2);
    w.main.start(sysno::pause, &[]);
    w.timers.advance(&w.kernel, 4_900_000_000);
    assert!(w.main.is_blocked());
    w.timers.advance(&w.kernel, 200_000_000);
    assert!(matches!(w.main.reply_now(), Some(Reply::Signal(f)) if f.signo == SIGALRM));
}

#[test]
fn process_groups_follow_setpgid_rules() {
    let w = World::new();
    let (child, pid) = w.fork(&w.main);
    let main = w.main.identity.lock().pid;
    assert_eq!(child.call(sysno::getpgid, &[0]), i64::from(main));
    assert_eq!(w.main.call(sysno::setpgid, &[pid, pid]), 0);
    assert_eq!(child.call(sysno::getpgrp, &[]), i64::try_from(pid).unwrap());
    assert_eq!(child.call(sysno::setsid, &[]), errno(Errno::EPERM), "it leads a group");
    assert_eq!(w.main.call(sysno::setsid, &[]), errno(Errno::EPERM));
    assert_eq!(w.main.call(sysno::setpgid, &[0, 0]), errno(Errno::EPERM), "a session leader");
    assert_eq!(w.main.call(sysno::setpgid, &[pid, 77]), errno(Errno::EPERM), "no such group");
}

#[test]
fn unknown_calls_are_enosys_and_logged_once() {
    let w = World::new();
    for _ in 0..2 {
        assert_eq!(w.main.call(sysno::io_uring_setup, &[]), errno(Errno::ENOSYS));
        assert_eq!(w.main.call(5000, &[]), errno(Errno::ENOSYS));
    }
    let log = String::from_utf8(w.kernel.log.read_all(1 << 16)).unwrap();
    assert_eq!(log.matches("io_uring_setup").count(), 1);
    assert_eq!(log.matches("5000 (unknown)").count(), 1);
}
