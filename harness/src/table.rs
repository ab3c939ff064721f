//! `table` and `catalogue`: generated files, written or checked for staleness.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bevor_compat_table::mutation::Mutation;
use bevor_compat_table::weights::Weights;
use bevor_compat_table::{catalogue as cat, derive, generate, markdown, results as measured};

use crate::cli;
use crate::error::{EXIT_REGRESSION, EXIT_STALE, Error, Result};
use crate::{commands, discover, report};

/// Lines of a stale file's diff that are shown.
const DIFF_LINES: usize = 40;

/// Default of `--dir`.
///
/// # Errors
/// As [`discover::repository`].
pub fn dir(given: Option<&PathBuf>) -> Result<PathBuf> {
    match given {
        Some(dir) => Ok(dir.clone()),
        None => Ok(discover::repository()?.join("compat-table")),
    }
}

fn input(e: anyhow::Error) -> Error {
    Error::input(format!("{e:#}"))
}

/// `table`.
///
/// # Errors
/// [`Error::Input`] for faulty catalogue, results, or weights.
pub fn table(args: &cli::Table) -> Result<ExitCode> {
    let dir = dir(args.dir.as_ref())?;
    let path = commands::results_path(args.results.as_ref())?;
    let results = report::read(&path)?;
    let (catalogue, scopes) = cat::load(&dir.join("catalogue")).map_err(input)?;
    let weights = Weights::load(&dir.join("data/syscall-weights.json")).map_err(input)?;
    let compat = derive::derive(&catalogue, &scopes, &results, &weights);
    let json = derive::json(&compat).map_err(|e| Error::infra(format!("compat.json: {e}")))?;
    if !args.check {
        // Where, when and of what the table was measured stands beside it, so that --check compares states alone.
        let side = crate::provenance::side_file(&path);
        match std::fs::read_to_string(&side) {
            Ok(text) => report::write(&dir.join("compat.provenance.json"), &text)?,
            Err(e) => eprintln!("note: no {}: {e}; the table's provenance stays as it was", side.display()),
        }
    }
    let enough = |c: &&derive::ColumnSummary| args.min_agree.is_none_or(|min| c.observations_agree * 100 >= min * c.observations);
    let mut low = false;
    for (name, c) in compat.columns.iter().filter(|(_, c)| c.not_measured.is_none() && !enough(c)) {
        low = true;
        println!("{name}: only {} of {} observations agree", c.observations_agree, c.observations);
    }
    let settled = settle(
        &[
            (dir.join("TABLE.md"), markdown::render(&compat)),
            (dir.join("compat.json"), json),
            (dir.join("schema/results.schema.json"), measured::schema_text()),
            (dir.join("schema/compat.schema.json"), derive::schema_text()),
        ],
        args.check,
    )?;
    Ok(if low { ExitCode::from(EXIT_REGRESSION) } else { settled })
}

/// Reads a result of `mutate`.
///
/// # Errors
/// [`Error::Input`] naming the file.
pub fn mutation(path: &Path) -> Result<Mutation> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::input(format!("can't read {}: {e}", path.display())))?;
    serde_json::from_str(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))
}

/// `catalogue`.
///
/// # Errors
/// [`Error::Input`] if the facts or the supplement, or to refresh them header or manual, can't be read.
pub fn catalogue(args: &cli::Catalogue) -> Result<ExitCode> {
    let dir = dir(args.dir.as_ref())?.join("catalogue");
    let (facts, newer) = (dir.join("facts.yaml"), dir.join("newer.yaml"));
    if args.refresh {
        let found = generate::extract(&args.header, &args.manual, &newer).map_err(input)?;
        report::write(&facts, &generate::render(&found).map_err(input)?)?;
    }
    let text = generate::generate(&facts, &newer).map_err(input)?;
    settle(&[(dir.join("syscalls.yaml"), text)], args.check)
}

/// Writes the files, or with `check` compares them with what is there.
pub(crate) fn settle(files: &[(PathBuf, String)], check: bool) -> Result<ExitCode> {
    let mut stale = false;
    for (path, text) in files {
        if !check {
            report::write(path, text)?;
            continue;
        }
        let old = std::fs::read_to_string(path).unwrap_or_default();
        if old != *text {
            stale = true;
            println!("stale: {}", path.display());
            let diff = similar::TextDiff::from_lines(&old, text);
            for line in diff.unified_diff().context_radius(0).to_string().lines().take(DIFF_LINES) {
                println!("    {line}");
            }
        }
    }
    Ok(ExitCode::from(if stale { EXIT_STALE } else { 0 }))
}
