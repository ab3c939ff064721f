use super::render;
use crate::derive::tests::{compat, probe};
use crate::results::State;

#[test]
fn the_table_shows_states_numbers_and_what_comes_next() {
    let open = [("open", "none", State::Agree, None), ("open", "EEXIST", State::KnownDiff, Some(("errno", "EPERM")))];
    let probes = vec![
        probe("open/excl", &["open/flag:O_EXCL", "open/flag:O_NEW"], &open),
        probe("write/crash", &["write"], &[("write", "none", State::Crash, Some(("run", "timeout")))]),
    ];
    insta::assert_snapshot!(render(&compat(probes)));
}
