use std::collections::BTreeMap;

use bevor_compat_table::results::{Column, Difference, ObservationResult, ProbeResult, Results, SCHEMA, State, Verdict};

use super::{Wording, propose};
use crate::expect::{self, Kind};

fn results(state: State, sandbox: &str) -> Results {
    let differences = if state.agrees() {
        vec![]
    } else {
        vec![Difference { field: "errno".into(), native: "EEXIST".into(), sandbox: sandbox.into() }]
    };
    let verdict = Verdict { state, differences, reason: None, link: None, confirmed: true };
    Results {
        schema: SCHEMA,
        part: None,
        reference: "native".into(),
        columns: vec![Column { name: "bevor".into(), proven: true, not_measured: None }],
        probes: vec![ProbeResult {
            id: "open/excl".into(),
            family: "open".into(),
            lang: "c".into(),
            covers: vec![],
            skipped: None,
            author_errors: vec![],
            outcomes: BTreeMap::new(),
            times: BTreeMap::new(),
            observations: vec![ObservationResult {
                id: "create".into(),
                call: "openat".into(),
                reference: BTreeMap::new(),
                columns: BTreeMap::from([("bevor".into(), verdict)]),
            }],
        }],
    }
}

fn wording() -> Wording {
    Wording { reason: Some("not there yet".into()), issue: Some("12".into()), ..Wording::default() }
}

#[test]
fn new_differences_are_recorded_changed_ones_keep_their_wording_and_agreements_go() {
    let dir = tempfile::tempdir().unwrap();
    let apply = |results: &Results, wording: &Wording| {
        let changes = propose(dir.path(), results, wording).unwrap();
        for change in &changes {
            expect::write(dir.path(), &change.new).unwrap();
        }
        changes.iter().map(super::Change::diff).collect::<String>()
    };
    let diff = apply(&results(State::NewDiff, "ENOSYS"), &wording());
    insta::assert_snapshot!("new", diff);
    let read = || expect::read(dir.path(), "bevor", "open").unwrap().expectations;
    assert_eq!(read()[0].state, Kind::Missing);

    apply(&results(State::ChangedDiff, "EPERM"), &Wording::default());
    assert_eq!(read()[0].fields[0].sandbox, "EPERM");
    assert_eq!(read()[0].reason, "not there yet");

    apply(&results(State::UnexpectedAgreement, ""), &Wording::default());
    assert!(read().is_empty());
    assert!(!expect::path(dir.path(), "bevor", "open").exists());
}

#[test]
fn a_new_entry_needs_its_reason_and_a_reference() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |wording: &Wording| propose(dir.path(), &results(State::NewDiff, "ENOSYS"), wording).unwrap_err().to_string();
    assert!(refused(&Wording::default()).contains("--reason"));
    let no_reference = Wording { issue: None, ..wording() };
    assert!(refused(&no_reference).contains("--issue or --note"));
}

#[test]
fn crashes_are_recorded_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let crash = results(State::Crash, "x");
    assert!(propose(dir.path(), &crash, &wording()).unwrap().is_empty());
    let asked = Wording { crashes: true, ..wording() };
    assert_eq!(propose(dir.path(), &crash, &asked).unwrap().len(), 1);
}
