//! What `lint` finds wrong in manifests, expectations and results.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bevor_compat_table::catalogue::Item;
use bevor_compat_table::results::Results;

use crate::expect::Expectation;
use crate::manifest::Probe;

/// Covers that the catalogue doesn't have. A path (`/proc/self/maps`) is no item of a call and counts nowhere.
#[must_use]
pub fn unknown(probes: &[&Probe], known: &BTreeSet<Item>) -> Vec<String> {
    let covers = probes.iter().flat_map(|p| p.covers.iter().map(move |text| (p, text)));
    covers
        .filter(|(_, text)| !text.starts_with('/') && !known.contains(&Item::parse(text)))
        .map(|(p, text)| format!("{}: the catalogue has no `{text}`", p.id))
        .collect()
}

/// Calls that the kernel answers and no probe covers, unless `reviewed` says why none can; an entry that isn't needed is a fault too.
#[must_use]
pub fn unprobed(probes: &[&Probe], answered: &[String], reviewed: &BTreeMap<String, String>) -> Vec<String> {
    let covered: BTreeSet<&str> = probes.iter().flat_map(|p| &p.covers).filter_map(|c| c.split('/').next()).collect();
    let bare: Vec<&String> = answered.iter().filter(|name| !covered.contains(name.as_str())).collect();
    let stale =
        reviewed.keys().filter(|name| !bare.contains(name)).map(|name| format!("unprobed.yaml: {name} need not be there"));
    let unknown = bare.iter().filter(|name| !reviewed.contains_key(**name));
    unknown.map(|name| format!("{name}: the kernel has a handler, and no probe covers it")).chain(stale).collect()
}

/// Errnos that a probe which ran claims, and that native Linux did not answer in it.
#[must_use]
pub fn unanswered(results: &Results) -> Vec<String> {
    let (_, claims) = bevor_compat_table::derive::covered_items(results);
    claims.into_iter().map(|claim| format!("{claim}: native Linux did not answer it")).collect()
}

/// A recorded difference that doesn't say which feature is missing.
#[must_use]
pub fn unnamed(path: &Path, expectation: &Expectation) -> Option<String> {
    let reason = expectation.reason.trim();
    (reason.is_empty() || reason == "not done yet")
        .then(|| format!("{}: {} {}: the reason names no missing feature", path.display(), expectation.probe, expectation.obs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Family;

    fn family(covers: &str) -> Family {
        serde_yaml::from_str(&format!("family: f\nprobes: [{{ id: f/p, lang: c, covers: [{covers}] }}]")).unwrap()
    }

    #[test]
    fn a_cover_outside_of_the_catalogue_is_a_fault() {
        let family = family("open, 'open/flag:O_EXCL', 'open/flag:O_NEW', '/proc/self'");
        let probes: Vec<&Probe> = family.probes.iter().collect();
        let known = BTreeSet::from([Item::parse("open"), Item::parse("open/flag:O_EXCL")]);
        assert_eq!(unknown(&probes, &known), ["f/p: the catalogue has no `open/flag:O_NEW`"]);
    }

    #[test]
    fn a_handler_without_a_probe_is_a_fault() {
        let family = family("'open/flag:O_EXCL'");
        let probes: Vec<&Probe> = family.probes.iter().collect();
        let none = BTreeMap::new();
        assert_eq!(unprobed(&probes, &["open".into()], &none), Vec::<String>::new());
        assert_eq!(unprobed(&probes, &["open".into(), "close".into()], &none).len(), 1);
        let close = BTreeMap::from([("close".to_owned(), "why".to_owned())]);
        assert_eq!(unprobed(&probes, &["open".into(), "close".into()], &close), Vec::<String>::new());
        assert_eq!(unprobed(&probes, &["open".into()], &close), ["unprobed.yaml: close need not be there"]);
    }

    #[test]
    fn an_errno_that_native_linux_did_not_answer_is_a_fault() {
        let results = serde_json::json!({"schema": 1, "reference": "native", "columns": [], "probes": [{"id": "f/p", "family": "f",
            "lang": "c", "covers": ["open/errno:EEXIST", "open/errno:ENOENT"], "observations": [
                {"id": "o", "call": "open", "reference": {"errno": "ENOENT"}, "columns": {}}]}]});
        let results: Results = serde_json::from_value(results).unwrap();
        assert_eq!(unanswered(&results), ["f/p open/errno:EEXIST: native Linux did not answer it"]);
    }

    #[test]
    fn a_recorded_difference_names_what_is_missing() {
        let entry = |reason: &str| -> Expectation {
            serde_yaml::from_str(&format!("{{ probe: f/p, obs: o, state: known-diff, fields: [], reason: '{reason}' }}")).unwrap()
        };
        assert!(unnamed(Path::new("x"), &entry("not done yet")).is_some());
        assert!(unnamed(Path::new("x"), &entry("the host grows the stack beyond RLIMIT_STACK")).is_none());
    }
}
