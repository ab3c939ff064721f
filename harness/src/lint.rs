//! What `lint` finds wrong in manifests, expectations and results.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bevor_compat_table::catalogue::Item;
use bevor_compat_table::results::Results;

use crate::discover;
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

/// Fewest words that can name a feature and what of it is missing.
const REASON_WORDS: usize = 4;
/// What reasons say that name nothing.
const VAGUE: [&str; 9] =
    ["not done yet", "not yet done", "to be done", "todo", "tbd", "for some reason", "for now", "somehow", "known difference"];

/// A recorded difference that doesn't say which feature is missing.
#[must_use]
pub fn unnamed(path: &Path, expectation: &Expectation) -> Option<String> {
    let reason = expectation.reason.to_lowercase();
    let words: Vec<&str> = reason.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let said = format!(" {} ", words.join(" "));
    let vague = words.len() < REASON_WORDS || VAGUE.iter().any(|v| said.contains(&format!(" {v} ")));
    vague.then(|| format!("{}: {} {}: the reason names no missing feature", path.display(), expectation.probe, expectation.obs))
}

/// A recorded difference of an observation that nobody makes: of a probe that doesn't exist, or one that its probe doesn't plan in
/// `results`.
#[must_use]
pub fn orphan(path: &Path, expectation: &Expectation, probes: &[&Probe], results: Option<&Results>) -> Option<String> {
    let Expectation { probe, obs, .. } = expectation;
    if !probes.iter().any(|p| p.id == *probe) {
        return Some(format!("{}: expectation for {probe}, which doesn't exist", path.display()));
    }
    // One that was skipped planned nothing.
    let ran = results?.probes.iter().find(|p| p.id == *probe).filter(|p| p.skipped.is_none() && p.author_errors.is_empty())?;
    let planned = ran.observations.iter().any(|o| o.id == *obs);
    (!planned).then(|| format!("{}: expectation for {probe} {obs}, which isn't observed", path.display()))
}

/// A folder of expectations that no column reads.
#[must_use]
pub fn unread(column: &str) -> Option<String> {
    (column != discover::BEVOR && discover::base(column).is_none())
        .then(|| format!("{column}: expectations for a column that doesn't exist"))
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
        for vague in ["not done yet", "xattrs: not done yet, somehow", "TODO: look at this one", "differs", "a kernel bug", "..."]
        {
            assert!(unnamed(Path::new("x"), &entry(vague)).is_some(), "{vague}");
        }
        assert!(unnamed(Path::new("x"), &entry("the host grows the stack beyond RLIMIT_STACK")).is_none());
        assert!(unnamed(Path::new("x"), &entry("ru_maxrss is not counted")).is_none());
    }

    #[test]
    fn an_expectation_of_what_nobody_observes_is_a_fault() {
        let entry = |probe: &str, obs: &str| -> Expectation {
            serde_yaml::from_str(&format!("{{ probe: {probe}, obs: {obs}, state: known-diff, fields: [], reason: x }}")).unwrap()
        };
        let family = family("open");
        let probes: Vec<&Probe> = family.probes.iter().collect();
        let results = serde_json::json!({"schema": 1, "reference": "native", "columns": [], "probes": [{"id": "f/p", "family": "f",
            "lang": "c", "covers": ["open"], "observations": [{"id": "o", "call": "open", "reference": {}, "columns": {}}]}]});
        let results: Results = serde_json::from_value(results).unwrap();
        let fault = |e: &Expectation| orphan(Path::new("x"), e, &probes, Some(&results));
        assert_eq!(fault(&entry("f/p", "o")), None);
        assert_eq!(fault(&entry("f/gone", "o")).unwrap(), "x: expectation for f/gone, which doesn't exist");
        assert_eq!(fault(&entry("f/p", "gone")).unwrap(), "x: expectation for f/p gone, which isn't observed");
        assert_eq!(orphan(Path::new("x"), &entry("f/p", "gone"), &probes, None), None);
    }

    #[test]
    fn expectations_of_a_column_that_does_not_exist_are_a_fault() {
        assert_eq!(unread("bevor-bind"), None);
        assert_eq!(unread("bevor"), None);
        assert!(unread("bevor-bnid").is_some());
    }
}
