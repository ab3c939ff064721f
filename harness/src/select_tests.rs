use std::collections::BTreeSet;

use super::{Selection, Shard};
use crate::manifest::Family;

fn families() -> Vec<Family> {
    let ids = ["open/a", "open/ab", "open/c", "pipe/a", "pipe/b"];
    let rows: Vec<String> = ids.iter().map(|i| format!("  - {{ id: {i}, lang: c, covers: [x] }}")).collect();
    vec![serde_yaml::from_str(&format!("family: mixed\nprobes:\n{}\n", rows.join("\n"))).unwrap()]
}

fn chosen(selection: &Selection) -> Vec<String> {
    selection.choose(&families()).unwrap().into_iter().map(|p| p.id).collect()
}

#[test]
fn filters_are_parts_of_ids_unless_exact() {
    let mut selection = Selection { filters: vec!["open/a".into()], ..Selection::default() };
    assert_eq!(chosen(&selection), ["open/a", "open/ab"]);
    selection.exact = true;
    assert_eq!(chosen(&selection), ["open/a"]);
    selection.filters = vec!["open/z".into()];
    assert!(selection.choose(&families()).is_err());
}

#[test]
fn shards_are_disjoint_and_complete() {
    let mut all = BTreeSet::new();
    for i in 1..=3 {
        let selection = Selection { shard: Some(format!("{i}/3").parse().unwrap()), ..Selection::default() };
        for id in chosen(&selection) {
            assert!(all.insert(id));
        }
    }
    assert_eq!(all.len(), 5);
}

#[test]
fn bad_shards_are_refused() {
    for bad in ["0/2", "3/2", "1/0", "1", "a/b", ""] {
        assert!(bad.parse::<Shard>().is_err(), "{bad}");
    }
}

#[test]
fn skips_and_calls_narrow_further() {
    let selection = Selection { skip: vec!["open/".into()], ..Selection::default() };
    assert_eq!(chosen(&selection), ["pipe/a", "pipe/b"]);
    let mut mixed = families();
    mixed[0].probes[3].covers = vec!["openat/flag:O_EXCL".into()];
    let selection = Selection { calls: vec!["openat".into()], ..Selection::default() };
    let ids: Vec<String> = selection.choose(&mixed).unwrap().into_iter().map(|p| p.id).collect();
    assert_eq!(ids, ["pipe/a"]);
    let none = Selection { calls: vec!["open".into()], ..Selection::default() };
    let why = none.choose(&mixed).unwrap_err().to_string();
    assert!(why.contains("--call open") && why.contains("bevor-harness list"), "{why}");
}

#[test]
fn a_shard_of_nothing_is_refused() {
    let selection = Selection { filters: vec!["pipe/".into()], shard: Some("3/3".parse().unwrap()), ..Selection::default() };
    assert!(selection.choose(&families()).is_err());
}

#[test]
fn only_the_whole_suite_is_no_part() {
    assert_eq!(Selection::default().part(&families()).unwrap(), None);
    let selection = Selection { skip: vec!["pipe/a".into()], shard: Some("1/2".parse().unwrap()), ..Selection::default() };
    let part = selection.part(&families()).unwrap().unwrap();
    assert_eq!((part.of, part.shard.as_deref()), (4, Some("1/2")));
    assert_eq!(part.selection, ["--skip pipe/a"]);
}
