use bevor_compat_table::results::{Difference, State};

use super::{Expectation, Expectations, File, Kind, read, render};

fn difference(sandbox: &str) -> Difference {
    Difference { field: "errno".into(), native: "EEXIST".into(), sandbox: sandbox.into() }
}

fn entry(state: Kind) -> Expectation {
    Expectation {
        probe: "open/excl".into(),
        obs: "create".into(),
        state,
        fields: vec![difference("ENOSYS")],
        reason: "not there yet".into(),
        issue: Some("12".into()),
        note: None,
        max_rate: None,
        expires: None,
    }
}

fn judged(entries: Vec<Expectation>, differences: Vec<Difference>) -> State {
    let mut all = Expectations::default();
    for e in entries {
        all.add("bevor", e).unwrap();
    }
    all.judge("bevor", "open/excl", "create", differences, "2026-06-01").state
}

#[test]
fn agreement_is_the_default() {
    assert_eq!(judged(vec![], vec![]), State::Agree);
    assert_eq!(judged(vec![], vec![difference("ENOSYS")]), State::NewDiff);
}

#[test]
fn an_exact_difference_gets_its_recorded_state() {
    for (kind, state) in [(Kind::KnownDiff, State::KnownDiff), (Kind::ByDesign, State::ByDesign), (Kind::Missing, State::Missing)]
    {
        assert_eq!(judged(vec![entry(kind)], vec![difference("ENOSYS")]), state);
    }
}

#[test]
fn a_changed_difference_and_an_unexpected_agreement_are_red() {
    assert_eq!(judged(vec![entry(Kind::KnownDiff)], vec![difference("EPERM")]), State::ChangedDiff);
    let two = vec![difference("ENOSYS"), Difference { field: "ret".into(), native: "0".into(), sandbox: "1".into() }];
    assert_eq!(judged(vec![entry(Kind::KnownDiff)], two), State::ChangedDiff);
    assert_eq!(judged(vec![entry(Kind::KnownDiff)], vec![]), State::UnexpectedAgreement);
}

#[test]
fn crashes_and_unfinished_runs_are_told_apart() {
    let run = |sandbox: &str| Difference { field: "run".into(), native: "completed".into(), sandbox: sandbox.into() };
    assert_eq!(judged(vec![], vec![run("crashed: SIGSEGV")]), State::Crash);
    assert_eq!(judged(vec![], vec![run("timeout")]), State::Crash);
    assert_eq!(judged(vec![], vec![run("broken: mkdir")]), State::NotRun);
}

#[test]
fn a_flake_agrees_or_differs_until_it_expires() {
    let flaky = |expires: &str| Expectation { max_rate: Some("0.1".into()), expires: Some(expires.into()), ..entry(Kind::Flaky) };
    assert_eq!(judged(vec![flaky("2026-12-31")], vec![]), State::Flaky);
    assert_eq!(judged(vec![flaky("2026-12-31")], vec![difference("ENOSYS")]), State::Flaky);
    assert_eq!(judged(vec![flaky("2026-12-31")], vec![difference("EPERM")]), State::ChangedDiff);
    assert_eq!(judged(vec![flaky("2026-05-31")], vec![]), State::ChangedDiff);
}

/// Writes `e` as the family's file and reads it back.
fn reread(e: Expectation) -> Result<File, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = File { column: "bevor".into(), family: "open".into(), expectations: vec![e] };
    super::write(dir.path(), &file).unwrap();
    read(dir.path(), "bevor", "open").map_err(|e| e.to_string())
}

#[test]
fn files_survive_writing_and_reading() {
    let file = reread(entry(Kind::Missing)).unwrap();
    assert_eq!(file.expectations, [entry(Kind::Missing)]);
    assert!(render(&file).unwrap().contains("state: missing"));
}

#[test]
fn loose_entries_are_refused() {
    let with = |change: fn(&mut Expectation)| {
        let mut e = entry(Kind::KnownDiff);
        change(&mut e);
        reread(e).unwrap_err()
    };
    assert!(with(|e| e.reason.clear()).contains("no reason"));
    assert!(with(|e| e.issue = None).contains("neither issue nor note"));
    assert!(with(|e| e.obs = "*".into()).contains("wildcards"));
    assert!(with(|e| e.fields.clear()).contains("no fields"));
    assert!(with(|e| e.probe = "link/x".into()).contains("not of this family"));
    assert!(with(|e| e.fields[0].sandbox = "EEXIST".into()).contains("no difference"));
    assert!(with(|e| e.state = Kind::Flaky).contains("max_rate"));
    assert!(with(|e| e.expires = Some("2026-01-01".into())).contains("for flaky"));
}
