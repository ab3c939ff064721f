use super::render;
use crate::derive::tests::{compat, probe};
use crate::mutation::{Fate, Mutation, Pair};
use crate::results::State;

#[test]
fn the_table_shows_states_numbers_and_what_comes_next() {
    let pair = |call: &str, kind: &str, fate| Pair { call: call.into(), kind: kind.into(), fate, by: None };
    let mutation = Mutation {
        schema: 1,
        column: "bevor".into(),
        pairs: vec![
            pair("open", "noop-success", Fate::Caught),
            pair("open", "drop-flags", Fate::Missed),
            pair("open", "short-count", Fate::NotApplicable),
        ],
    };
    let open = [("open", "none", State::Agree, None), ("open", "EEXIST", State::KnownDiff, Some(("errno", "EPERM")))];
    let probes = vec![
        probe("open/excl", &["open/flag:O_EXCL", "open/flag:O_NEW"], &open),
        probe("write/crash", &["write"], &[("write", "none", State::Crash, Some(("run", "timeout")))]),
    ];
    insta::assert_snapshot!(render(&compat(probes, &[mutation])));
}
