//! The manifests name exactly the probes that the binaries hold, in the form that `syscall-tests/README.md` fixes.

mod common;

use std::collections::BTreeSet;

use common::{Lang, families, listed};

#[test]
fn every_probe_has_one_entry_and_the_other_way_round() {
    let mut faults = Vec::new();
    for lang in [Lang::C, Lang::Rust] {
        let in_binary: BTreeSet<String> = listed(lang).into_iter().collect();
        let mut in_manifests = BTreeSet::new();
        for probe in families().iter().flat_map(|f| &f.probes) {
            if probe.lang == lang && !in_manifests.insert(probe.id.clone()) {
                faults.push(format!("{}: two entries", probe.id));
            }
        }
        for id in in_binary.symmetric_difference(&in_manifests) {
            faults.push(format!("{id}: on one side only ({lang:?})"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn no_binary_lists_an_id_twice() {
    let mut seen = BTreeSet::new();
    for id in listed(Lang::C).into_iter().chain(listed(Lang::Rust)) {
        assert!(seen.insert(id.clone()), "{id} is listed twice");
    }
}

#[test]
fn entries_are_well_formed() {
    let mut faults = Vec::new();
    for family in families() {
        let mut before = String::new();
        for probe in &family.probes {
            let id = &probe.id;
            if !id.starts_with(&format!("{}/", family.family)) {
                faults.push(format!("{id}: not of family {}", family.family));
            }
            if *id <= before {
                faults.push(format!("{id}: not in alphabetical order"));
            }
            before.clone_from(id);
            if probe.covers.is_empty() {
                faults.push(format!("{id}: covers nothing"));
            }
            for item in &probe.covers {
                if !common::is_catalogue_item(item) {
                    faults.push(format!("{id}: `{item}` is no catalogue item"));
                }
            }
            if probe.normalisers.iter().any(|n| n.why.trim().is_empty()) {
                faults.push(format!("{id}: a normaliser without a reason"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn unknown_keys_are_refused() {
    let good = "family: f\nprobes:\n  - { id: f/a, lang: c, covers: [read] }\n";
    assert!(serde_yaml::from_str::<common::Family>(good).is_ok());
    for bad in [
        good.replace("lang: c", "lang: c, skip: true"),
        good.replace("family: f", "family: f\nowner: me"),
        good.replace("lang: c", "lang: cobol"),
        good.replace("lang: c", "lang: c, needs: { root: true }"),
    ] {
        assert!(serde_yaml::from_str::<common::Family>(&bad).is_err(), "{bad}");
    }
}
