//! Where results go: those of a part of the suite never replace those of all of it.

use std::path::{Path, PathBuf};

use bevor_compat_table::results::{Part, Results};

use crate::error::{Error, Result};
use crate::report;

/// What results there would lose.
fn loses(old: &Path, part: bool, columns: &[&str]) -> Option<String> {
    let old: Results = report::read(old).ok().filter(|old| old.part.is_none())?;
    if part {
        return Some("holds a full run, and this is one of a part".into());
    }
    let lost = old.columns.iter().find(|c| c.not_measured.is_none() && !columns.contains(&c.name.as_str()))?;
    Some(format!("holds a run with column {}, which this one lacks", lost.name))
}

/// Refuses to replace what a given file holds by less.
///
/// # Errors
/// [`Error::Input`] naming the file.
pub fn check(path: &Path, part: Option<&Part>, columns: &[&str], fail_fast: bool) -> Result<()> {
    match loses(path, part.is_some() || fail_fast, columns) {
        None => Ok(()),
        Some(why) => Err(Error::input(format!("{} {why}; give another --json", path.display()))),
    }
}

/// Where `results` go without a given file: `full`, or beside it what is of a part or lacks a column of what is there.
#[must_use]
pub fn default(full: &Path, results: &Results) -> PathBuf {
    let columns: Vec<&str> = results.columns.iter().map(|c| c.name.as_str()).collect();
    if results.part.is_none() && !results.columns.is_empty() && loses(full, false, &columns).is_none() {
        return full.to_path_buf();
    }
    let shard = results.part.as_ref().and_then(|p| p.shard.as_deref());
    full.with_file_name(match shard {
        Some(shard) => format!("shard-{}.json", shard.replace('/', "-of-")),
        None => "part.json".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use bevor_compat_table::results::{Column, Part, Results, SCHEMA};

    use super::{check, default};
    use crate::report;

    fn results(columns: &[&str], part: Option<Part>) -> Results {
        let columns = columns.iter().map(|n| Column { name: (*n).into(), proven: true, not_measured: None }).collect();
        Results { schema: SCHEMA, reference: "native".into(), part, columns, probes: vec![] }
    }

    #[test]
    fn less_goes_beside_and_never_over_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let full = dir.path().join("results.json");
        let name = |r: &Results| default(&full, r).file_name().unwrap().to_str().unwrap().to_owned();
        let shard = Part { shard: Some("1/3".into()), of: 9, ..Part::default() };
        assert_eq!(name(&results(&["a"], None)), "results.json");
        report::write(&full, &report::json(&results(&["a", "b"], None)).unwrap()).unwrap();
        assert_eq!(name(&results(&["b", "a"], None)), "results.json");
        assert_eq!(name(&results(&["a"], None)), "part.json");
        assert_eq!(name(&results(&["a", "b"], Some(Part::default()))), "part.json");
        assert_eq!(name(&results(&["a", "b"], Some(shard.clone()))), "shard-1-of-3.json");
        assert_eq!(name(&results(&[], None)), "part.json");
        assert!(check(&full, None, &["a", "b"], false).is_ok());
        assert!(check(&full, None, &["a"], false).is_err());
        assert!(check(&full, Some(&shard), &["a", "b"], false).is_err());
        assert!(check(&full, None, &["a", "b"], true).is_err());
        assert!(check(&dir.path().join("other.json"), Some(&shard), &["a"], true).is_ok());
    }
}
