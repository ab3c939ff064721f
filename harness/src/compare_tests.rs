use std::collections::BTreeMap;

use super::{RUN_FIELD, compare, reference};
use crate::stream::{Observation, Outcome, Run};

fn observation(fields: &[(&str, &str)]) -> Observation {
    Observation { call: "openat".into(), fields: fields.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect() }
}

fn run(observations: &[(&str, Observation)], outcome: Outcome) -> Run {
    Run {
        plan: vec!["a".into(), "b".into()],
        observations: observations.iter().map(|(i, o)| ((*i).into(), o.clone())).collect(),
        outcome,
    }
}

fn sound() -> Run {
    let a = observation(&[("ret", "-1"), ("errno", "EEXIST")]);
    run(&[("a", a), ("b", observation(&[("ret", "0")]))], Outcome::Completed)
}

#[test]
fn equal_runs_have_no_difference() {
    let native = reference(&[sound(), sound(), sound()]);
    assert!(native.author_errors.is_empty());
    assert!(compare(&native, &sound()).values().all(Vec::is_empty));
}

#[test]
fn each_differing_and_missing_field_is_named() {
    let native = reference(&[sound()]);
    let mut other = sound();
    other.observations.insert("a".into(), observation(&[("ret", "-1"), ("errno", "ENOENT"), ("state.x", "1")]));
    let found = compare(&native, &other);
    let texts: Vec<String> = found["a"].iter().map(|d| format!("{} {} {}", d.field, d.native, d.sandbox)).collect();
    assert_eq!(texts, ["errno EEXIST ENOENT", "state.x (absent) 1"]);
    assert!(found["b"].is_empty());
}

#[test]
fn what_a_crash_left_out_differs_in_its_run() {
    let mut crashed = sound();
    crashed.observations.remove("b");
    crashed.outcome = Outcome::Crashed("SIGSEGV".into());
    let found = compare(&reference(&[sound()]), &crashed);
    assert!(found["a"].is_empty());
    assert_eq!(found["b"][0].field, RUN_FIELD);
    assert_eq!(found["b"][0].sandbox, "crashed: SIGSEGV");
}

#[test]
fn a_crash_after_the_last_observation_is_seen() {
    let mut crashed = sound();
    crashed.outcome = Outcome::Crashed("SIGSEGV".into());
    let found = compare(&reference(&[sound()]), &crashed);
    assert_eq!(found["b"][0].field, RUN_FIELD);
}

#[test]
fn what_varies_natively_is_the_authors_error() {
    let mut other = sound();
    other.observations.insert("b".into(), observation(&[("ret", "5")]));
    let native = reference(&[sound(), sound(), other]);
    assert_eq!(native.author_errors, ["b: ret varies natively: 0 / 5"]);
}

#[test]
fn a_native_run_that_breaks_or_forgets_is_the_authors_error() {
    let mut broken = sound();
    broken.outcome = Outcome::Broken("mkdir".into());
    assert_eq!(reference(&[sound(), broken]).author_errors, ["native run 2: broken: mkdir"]);
    let mut forgetful = sound();
    forgetful.observations = BTreeMap::new();
    assert_eq!(reference(&[forgetful]).author_errors.len(), 2);
}
