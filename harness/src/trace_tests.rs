use std::collections::BTreeSet;

use bevor_compat_table::catalogue::Catalogue;

use super::{Reader, Traced, apply, faults};
use crate::manifest::{Family, Probe};

fn reader() -> Reader {
    let text = "sources: []
calls:
  - { nr: 257, name: openat, flags: [O_CREAT, O_EXCL, O_RDONLY, O_TMPFILE] }
  - { nr: 7, name: poll, flags: [POLLIN, POLLHUP] }
  - { nr: 72, name: fcntl, flags: [O_APPEND], ops: [F_GETFL] }
  - { nr: 202, name: futex, flags: [FUTEX_PRIVATE_FLAG], ops: [FUTEX_WAIT] }
  - { nr: 13, name: rt_sigaction, flags: [SA_RESTART, CLD_EXITED] }
  - { nr: 452, name: fchmodat2, flags: [AT_EMPTY_PATH] }
";
    let catalogue: Catalogue = serde_yaml::from_str(text).unwrap();
    Reader::new(&catalogue)
}

fn family(covers: &str) -> Family {
    serde_yaml::from_str(&format!("family: f\nprobes: [{{ id: f/p, lang: c, covers: [{covers}] }}]")).unwrap()
}

fn items(covers: &str, text: &str) -> Vec<String> {
    let text =
        format!("openat(AT_FDCWD, \"x\", O_CREAT) = 3\nwrite(500, \"{{\\\"plan\\\":[\\\"o\\\"]}}\\n\", 12) = 12\n{text}\n");
    reader().items(&text, &family(covers).probes[0]).into_iter().collect()
}

/// The line by which a probe says that it observed `call`.
fn observed(call: &str) -> String {
    format!("write(500, \"{{\\\"obs\\\":\\\"o\\\",\\\"call\\\":\\\"{call}\\\",\\\"args\\\"...\"..., 99) = 99")
}

#[test]
fn what_is_passed_to_observed_calls_after_the_plan_is_shown() {
    let text = format!("[pid 7] openat(AT_FDCWD, \"O_EXCL\", O_RDONLY|O_TMPFILE, 0640) = -1 EINVAL\n{}", observed("openat"));
    assert_eq!(items("x", &text), ["openat/flag:O_RDONLY", "openat/flag:O_TMPFILE"]);
    assert_eq!(items("openat", "openat(3, \"f\", O_EXCL) = 3"), ["openat/flag:O_EXCL"], "covered is as good as observed");
    assert_eq!(items("x", "openat(3, \"f\", O_EXCL) = 3"), Vec::<String>::new(), "only a preparation");
}

#[test]
fn what_comes_back_is_not_passed_but_for_events() {
    assert_eq!(items("fcntl", "fcntl(3, F_GETFL) = 0x402 (flags O_RDWR|O_APPEND)"), ["fcntl/op:F_GETFL"]);
    assert_eq!(items("poll", "poll([{fd=3, events=POLLIN}], 1, 0) = 1 ([{fd=3, revents=POLLHUP}])").len(), 2);
}

#[test]
fn unfinished_calls_signals_and_aliases_are_understood() {
    let text = "[pid 9] <... poll resumed>[{fd=3, revents=POLLIN}], 1, -1) = 1";
    assert_eq!(items("poll", text), ["poll/flag:POLLIN"]);
    let text = "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=2} ---";
    assert_eq!(items("rt_sigaction", text), ["rt_sigaction/flag:CLD_EXITED"]);
    let text = "<... rt_sigtimedwait resumed>{si_signo=SIGCHLD, si_code=CLD_EXITED}, {tv_sec=5, tv_nsec=0}, 8) = 17 (SIGCHLD)";
    assert_eq!(items("rt_sigaction", text), ["rt_sigaction/flag:CLD_EXITED"]);
    let text = "futex(0x7f, FUTEX_WAIT_PRIVATE, 1, NULL) = 0";
    assert_eq!(items("futex", text), ["futex/flag:FUTEX_PRIVATE_FLAG", "futex/op:FUTEX_WAIT"]);
}

#[test]
fn of_a_call_that_strace_does_not_know_the_declaration_counts_if_it_is_made() {
    let covers = "fchmodat2, 'fchmodat2/flag:AT_EMPTY_PATH'";
    assert_eq!(items(covers, "syscall_0x1c4(0x3, 0x0, 0x1b6, 0x1000, 0, 0) = 0"), ["fchmodat2/flag:AT_EMPTY_PATH"]);
    assert_eq!(items(covers, "syscall_0x1c5(0x3, 0x0, 0x1b6, 0x1000, 0, 0) = 0"), Vec::<String>::new());
}

#[test]
fn a_declared_flag_that_no_trace_shows_is_a_fault() {
    let traced =
        |items: &[&str]| Traced::from([("f/p".to_owned(), items.iter().map(|i| (*i).to_owned()).collect::<BTreeSet<_>>())]);
    let family = family("openat, 'openat/flag:O_EXCL', 'openat/errno:EEXIST'");
    let probes: Vec<&Probe> = family.probes.iter().collect();
    assert_eq!(faults(&probes, &traced(&["openat/flag:O_EXCL", "openat/flag:O_CREAT"])), Vec::<String>::new());
    assert_eq!(
        faults(&probes, &traced(&["openat/flag:O_CREAT"])),
        ["f/p: covers `openat/flag:O_EXCL`, and the trace doesn't show it"]
    );
    assert_eq!(faults(&probes, &Traced::new()), ["f/p: traced.yaml doesn't have it; run `bevor-harness trace --filter f/p`"]);
    let other = Traced::from([("f/q".to_owned(), BTreeSet::new())]);
    assert_eq!(faults(&[], &other), ["traced.yaml: f/q doesn't exist"]);
}

#[test]
fn what_was_traced_stands_in_the_place_of_what_is_declared() {
    let mut families = [family("openat, 'openat/flag:O_EXCL', 'openat/errno:EEXIST'")];
    let traced = Traced::from([("f/p".to_owned(), BTreeSet::from(["openat/flag:O_CREAT".to_owned()]))]);
    apply(&mut families, &Traced::new());
    assert_eq!(families[0].probes[0].covers.len(), 3);
    apply(&mut families, &traced);
    assert_eq!(families[0].probes[0].covers, ["openat", "openat/errno:EEXIST", "openat/flag:O_CREAT"]);
}
