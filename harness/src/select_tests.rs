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
