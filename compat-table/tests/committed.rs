//! The committed data files are sound.

use std::collections::BTreeSet;
use std::path::Path;

use bevor_compat_table::{catalogue, derive, results, weights::Weights};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_catalogue_names_every_number_up_to_the_newest() {
    let (catalogue, _) = catalogue::load(&root().join("catalogue")).unwrap();
    let numbers: BTreeSet<u32> = catalogue.calls.iter().map(|c| c.nr).collect();
    // 337 to 423 are unused on x86-64 (the x32 and common ranges); all others up to the newest are there.
    let missing: Vec<u32> = (0..=469).filter(|n| !(337..=423).contains(n) && !numbers.contains(n)).collect();
    assert_eq!(missing, Vec::<u32>::new());
    assert!(catalogue.calls.iter().map(|c| c.errnos.len()).sum::<usize>() > 1300);
}

#[test]
fn every_weighted_call_is_in_the_catalogue() {
    let (catalogue, _) = catalogue::load(&root().join("catalogue")).unwrap();
    let weights = Weights::load(&root().join("data/syscall-weights.json")).unwrap();
    for name in weights.by_name().keys() {
        assert!(catalogue.calls.iter().any(|c| c.name == *name), "{name}");
    }
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let read = |name: &str| std::fs::read_to_string(root().join("schema").join(name)).unwrap();
    assert_eq!(read("results.schema.json"), results::schema_text());
    assert_eq!(read("compat.schema.json"), derive::schema_text());
}
