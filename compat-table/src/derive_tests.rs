use std::collections::BTreeMap;

use super::{CallState, Compat, derive};
use crate::catalogue::{Catalogue, Scopes};
use crate::results::{Column, Difference, ObservationResult, ProbeResult, Results, SCHEMA, State, Verdict};
use crate::weights::Weights;

const CATALOGUE: &str = "
sources: [test]
calls:
  - { nr: 1, name: write, errnos: [EBADF, EPIPE, ENOMEM] }
  - { nr: 2, name: open, flags: [O_EXCL], errnos: [EEXIST] }
  - { nr: 3, name: close, errnos: [EBADF] }
  - { nr: 134, name: uselib }
";
const SCOPES: &str = "
errnos: { ENOMEM: { scope: unreachable, why: no memory bound } }
calls: { uselib: { scope: out-of-scope, why: removed } }
";
const WEIGHTS: &str = r#"{"about":"test","applications":4,"syscalls":[
 {"name":"write","apps_requiring":3,"apps_using":4},{"name":"open","apps_requiring":1,"apps_using":4}]}"#;

/// An observation: call, native errno (or "none"), the sandbox's state, and its differing field if any.
type Row<'a> = (&'a str, &'a str, State, Option<(&'a str, &'a str)>);

pub(crate) fn probe(id: &str, covers: &[&str], rows: &[Row<'_>]) -> ProbeResult {
    let observations = rows
        .iter()
        .enumerate()
        .map(|(i, (call, errno, state, difference))| ObservationResult {
            id: format!("o{i}"),
            call: (*call).into(),
            reference: BTreeMap::from([("errno".into(), (*errno).into())]),
            columns: BTreeMap::from([(
                "bevor".into(),
                Verdict {
                    state: *state,
                    differences: difference
                        .iter()
                        .map(|(field, sandbox)| Difference {
                            field: (*field).into(),
                            native: (*errno).into(),
                            sandbox: (*sandbox).into(),
                        })
                        .collect(),
                    reason: None,
                    link: None,
                    confirmed: true,
                },
            )]),
        })
        .collect();
    ProbeResult {
        id: id.into(),
        family: id.split('/').next().unwrap().into(),
        lang: "c".into(),
        covers: covers.iter().map(|c| (*c).into()).collect(),
        skipped: None,
        author_errors: vec![],
        outcomes: BTreeMap::new(),
        times: BTreeMap::new(),
        observations,
    }
}

pub(crate) fn compat(probes: Vec<ProbeResult>) -> Compat {
    let catalogue: Catalogue = serde_yaml::from_str(CATALOGUE).unwrap();
    let scopes: Scopes = serde_yaml::from_str(SCOPES).unwrap();
    let weights: Weights = serde_json::from_str(WEIGHTS).unwrap();
    let results = Results {
        schema: SCHEMA,
        part: None,
        reference: "native".into(),
        columns: vec![Column { name: "bevor".into(), proven: true, not_measured: None }],
        probes,
    };
    derive(&catalogue, &scopes, &results, &weights)
}

fn state(rows: &[Row<'_>], covers: &[&str]) -> CallState {
    let call = rows[0].0;
    let compat = compat(vec![probe("f/p", covers, rows)]);
    compat.calls.iter().find(|c| c.name == call).unwrap().columns["bevor"].state
}

#[test]
fn states_are_derived_from_what_was_measured() {
    let agree = |call, errno| (call, errno, State::Agree, None);
    let all = ["write/errno:EBADF", "write/errno:EPIPE"];
    let full = [agree("write", "EBADF"), agree("write", "EPIPE"), agree("write", "none")];
    assert_eq!(state(&full, &all), CallState::Full);
    assert_eq!(state(&full[..1], &all), CallState::Partial, "too little probed");
    assert_eq!(state(&full[..2], &all), CallState::Partial, "too few observations");
    assert_eq!(state(&[agree("uselib", "none"); 3], &["uselib"]), CallState::Partial, "one item is not enough");
    let enosys = ("write", "none", State::Missing, Some(("errno", "ENOSYS")));
    assert_eq!(state(&[enosys], &all), CallState::Missing);
    let hollow = ("write", "none", State::NewDiff, Some(("state.size", "0")));
    assert_eq!(state(&[hollow, full[0]], &all), CallState::Stub);
    assert_eq!(state(&[hollow, full[2]], &all), CallState::Partial);
    let meant = ("write", "none", State::ByDesign, Some(("state.size", "0")));
    assert_eq!(state(&[meant, full[0]], &all), CallState::ByDesign);
    let crash = ("write", "none", State::KnownDiff, Some(("run", "crashed: SIGSEGV")));
    assert_eq!(state(&[crash, enosys], &all), CallState::Crash, "a recorded crash is a crash");
}

#[test]
fn every_item_has_exactly_one_status() {
    let rows = [("open", "none", State::Agree, None), ("open", "EEXIST", State::Agree, None)];
    let items = compat(vec![probe("open/x", &["open/flag:O_EXCL"], &rows)]).items;
    assert_eq!(items.probed, 3);
    assert_eq!((items.unreachable, items.out_of_scope), (1, 1));
    assert_eq!(items.total, items.probed + items.to_do + items.unreachable + items.out_of_scope);
}

#[test]
fn a_claimed_errno_counts_only_if_native_linux_answered_it() {
    let rows = [("open", "none", State::Agree, None)];
    let compat = compat(vec![probe("open/x", &["open/errno:EEXIST", "open/flag:O_NEW"], &rows)]);
    assert_eq!(compat.items.probed, 1);
    assert_eq!(compat.unsubstantiated, ["open/x open/errno:EEXIST"]);
    assert_eq!(compat.uncatalogued, ["open/flag:O_NEW"]);
}

#[test]
fn skipped_and_broken_probes_prove_nothing() {
    let mut skipped = probe("open/x", &["open"], &[("", "none", State::Skipped, None)]);
    skipped.skipped = Some("needs CAP_X".into());
    let compat = compat(vec![skipped]);
    assert_eq!(compat.items.probed, 0);
    let summary = &compat.columns["bevor"];
    assert_eq!((summary.observations, summary.observations_agree), (1, 0));
}

#[test]
fn the_score_weighs_by_applications_and_next_names_the_dearest() {
    let rows = [
        ("write", "EBADF", State::Agree, None),
        ("write", "none", State::NewDiff, Some(("ret", "0"))),
        ("write", "EPIPE", State::Agree, None),
        ("write", "none", State::Agree, None),
    ];
    let summary = &compat(vec![probe("f/p", &["write"], &rows)]).columns["bevor"];
    // write: two errnos agree of three items in scope, for 3 applications; open: nothing for 1.
    assert_eq!(summary.weighted_permille, 499);
    let next: Vec<&str> = summary.next.iter().map(|n| n.call.as_str()).collect();
    assert_eq!(next, ["write", "open"]);
}

#[test]
fn an_event_that_looks_like_an_errno_is_none() {
    use crate::catalogue::Item;
    assert!(!Item::parse("epoll_ctl/flag:EPOLLIN").errno);
    assert_eq!(Item::parse("read/errno:EWOULDBLOCK"), Item::parse("read/errno:EAGAIN"));
    assert_eq!(Item::parse("epoll_ctl/op:EPOLLIN"), Item::parse("epoll_ctl/flag:EPOLLIN"));
}

#[test]
fn a_probed_item_has_the_verdict_of_each_column() {
    use super::ItemVerdict::{Agrees, Differs};
    let rows = [("open", "EEXIST", State::Agree, None), ("open", "none", State::KnownDiff, Some(("ret", "0")))];
    let compat = compat(vec![probe("open/x", &[], &rows)]);
    let open = compat.calls.iter().find(|c| c.name == "open").unwrap();
    assert_eq!(open.verdicts["open/errno:EEXIST"]["bevor"], Agrees);
    assert_eq!(open.verdicts["open"]["bevor"], Differs);
    assert_eq!(open.columns["bevor"].items_agree, 1);
}

#[test]
fn what_only_the_sweep_heard_is_missing() {
    // What it covers is no worse for what it hears of others.
    let mut sweep = probe(super::SWEEP, &["open"], &[("", "none", State::Missing, None)]);
    for (name, sandbox) in [("close", "false"), ("open", "true")] {
        let difference = Difference { field: format!("state.{name}"), native: "true".into(), sandbox: sandbox.into() };
        sweep.observations[0].columns.get_mut("bevor").unwrap().differences.push(difference);
    }
    let compat = compat(vec![sweep]);
    let state = |name: &str| compat.calls.iter().find(|c| c.name == name).unwrap().columns["bevor"].state;
    assert_eq!((state("close"), state("open")), (CallState::Missing, CallState::Untested));
}
