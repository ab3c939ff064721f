//! `merge`: one results file of those of all shards of a run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use bevor_compat_table::results::{Part, Results};

use crate::error::{Error, Result};
use crate::select::Shard;
use crate::{cli, commands, place, report};

/// `merge`.
///
/// # Errors
/// [`Error::Input`] if the files aren't the shards of one run, each once.
pub fn merge(args: &cli::Merge) -> Result<ExitCode> {
    let mut parts = Vec::new();
    for path in &args.results {
        parts.push((path.clone(), report::read(path)?));
    }
    let whole = join(parts)?;
    let path = match &args.json {
        Some(path) => path.clone(),
        None => place::default(&commands::results_path(None)?, &whole),
    };
    report::write(&path, &report::json(&whole)?)?;
    if let Some(path) = &args.junit {
        report::write(path, &report::junit(&whole)?)?;
    }
    print!("{}", report::summary(&whole));
    println!("results: {}", path.display());
    let failures: Vec<String> = whole
        .columns
        .iter()
        .filter_map(|c| {
            c.not_measured.as_deref().filter(|why| why.starts_with("shard ")).map(|why| format!("column {}: {why}", c.name))
        })
        .collect();
    commands::finish(&whole, &failures, &args.require)
}

/// The whole of `parts`.
///
/// # Errors
/// [`Error::Input`] naming the file that doesn't fit, the shard that is missing or the probe that is there twice.
pub fn join(parts: Vec<(PathBuf, Results)>) -> Result<Results> {
    let mut parts = parts.into_iter();
    let (first, mut whole) = parts.next().ok_or_else(|| Error::input("merge: no results given"))?;
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    let (part, shard) = shard_of(&first, &whole)?;
    seen.insert(shard.index());
    let mut ids: BTreeSet<String> = whole.probes.iter().map(|p| p.id.clone()).collect();
    for (path, more) in parts {
        let bad = |why: String| Error::input(format!("{}: {why}", path.display()));
        let (other, other_shard) = shard_of(&path, &more)?;
        let names = |r: &Results| r.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        if other_shard.count() != shard.count() || other.selection != part.selection || other.of != part.of {
            return Err(bad(format!("not of the same run as {}", first.display())));
        }
        if more.reference != whole.reference || names(&more) != names(&whole) {
            return Err(bad(format!("other columns than {}", first.display())));
        }
        if !seen.insert(other_shard.index()) {
            return Err(bad(format!("shard {other_shard} is given twice")));
        }
        if let Some(p) = more.probes.iter().find(|p| ids.contains(&p.id)) {
            return Err(bad(format!("{} is in another file, too", p.id)));
        }
        for (column, new) in whole.columns.iter_mut().zip(&more.columns) {
            column.proven &= new.proven;
            if column.not_measured.is_none()
                && let Some(why) = &new.not_measured
            {
                column.not_measured = Some(format!("shard {other_shard}: {why}"));
            }
        }
        ids.extend(more.probes.iter().map(|p| p.id.clone()));
        whole.probes.extend(more.probes);
    }
    if let Some(missing) = (1..=shard.count()).find(|i| !seen.contains(i)) {
        return Err(Error::input(format!("merge: shard {missing}/{} is missing", shard.count())));
    }
    if ids.len() != part.of {
        return Err(Error::input(format!("merge: {} probes of {}: the shards were not of one suite", ids.len(), part.of)));
    }
    whole.probes.sort_by(|a, b| a.id.cmp(&b.id));
    let unmeasured: BTreeSet<String> =
        whole.columns.iter().filter(|c| c.not_measured.is_some()).map(|c| c.name.clone()).collect();
    for o in whole.probes.iter_mut().flat_map(|p| &mut p.observations) {
        o.columns.retain(|name, _| !unmeasured.contains(name));
    }
    whole.part = (!part.selection.is_empty()).then_some(Part { shard: None, ..part });
    Ok(whole)
}

fn shard_of(path: &std::path::Path, results: &Results) -> Result<(Part, Shard)> {
    let bad = |why: &str| Error::input(format!("{}: {why}", path.display()));
    let part = results.part.clone().ok_or_else(|| bad("a whole run, not a shard"))?;
    if part.stopped {
        return Err(bad("ended at its first failure"));
    }
    let shard = part.shard.as_deref().and_then(|s| s.parse().ok()).ok_or_else(|| bad("not a shard (run with --shard I/N)"))?;
    Ok((part, shard))
}
