use std::collections::BTreeMap;

use bevor_compat_table::results::{Column, Difference, ObservationResult, ProbeResult, Results, SCHEMA, State, Verdict};

use super::{gate, junit, percent, summary};

fn results(states: &[State]) -> Results {
    let observations = states
        .iter()
        .enumerate()
        .map(|(i, state)| ObservationResult {
            id: format!("o{i}"),
            call: "openat".into(),
            reference: BTreeMap::from([("errno".into(), "EEXIST".into())]),
            columns: BTreeMap::from([(
                "bevor".into(),
                Verdict {
                    state: *state,
                    differences: if state.agrees() {
                        vec![]
                    } else {
                        vec![Difference { field: "errno".into(), native: "EEXIST".into(), sandbox: "ENOSYS".into() }]
                    },
                    reason: None,
                    link: None,
                    confirmed: *state != State::ChangedDiff,
                },
            )]),
        })
        .collect();
    Results {
        schema: SCHEMA,
        part: None,
        reference: "native".into(),
        columns: vec![
            Column { name: "bevor".into(), proven: true, not_measured: None },
            Column { name: "runsc".into(), proven: false, not_measured: Some("runsc is not installed".into()) },
        ],
        probes: vec![ProbeResult {
            id: "open/excl".into(),
            family: "open".into(),
            lang: "c".into(),
            covers: vec!["openat".into()],
            skipped: None,
            author_errors: vec![],
            outcomes: BTreeMap::new(),
            times: BTreeMap::new(),
            observations,
        }],
    }
}

#[test]
fn the_gate_has_the_documented_codes() {
    assert_eq!(gate(&results(&[State::Agree, State::KnownDiff, State::ByDesign, State::Missing, State::Skipped])), 0);
    assert_eq!(gate(&results(&[State::UnexpectedAgreement])), 2);
    for red in [State::NewDiff, State::ChangedDiff, State::Crash, State::NotRun, State::BrokenReference] {
        assert_eq!(gate(&results(&[State::UnexpectedAgreement, red])), 1, "{red:?}");
    }
    let mut faulty = results(&[State::Agree]);
    faulty.probes[0].author_errors.push("varies".into());
    assert_eq!(gate(&faulty), 1);
}

#[test]
fn the_summary_shows_the_worst_first() {
    let states = [State::Agree, State::UnexpectedAgreement, State::ChangedDiff, State::Crash, State::KnownDiff];
    insta::assert_snapshot!(summary(&results(&states)));
}

#[test]
fn junit_has_a_case_per_probe_and_measured_column() {
    insta::assert_snapshot!(junit(&results(&[State::Agree, State::NewDiff])).unwrap());
}

#[test]
fn shares_are_rounded_to_tenths() {
    assert_eq!(percent(2, 3), "66.7 %");
    assert_eq!(percent(0, 0), "–");
}
