//! `table` and `catalogue`: generated files, written or checked for staleness.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bevor_compat_table::mutation::Mutation;
use bevor_compat_table::weights::Weights;
use bevor_compat_table::{catalogue as cat, derive, generate, markdown, results};

use crate::cli;
use crate::error::{EXIT_STALE, Error, Result};
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
/// [`Error::Input`] for faulty catalogue, results, weights or mutation files.
pub fn table(args: &cli::Table) -> Result<ExitCode> {
    let dir = dir(args.dir.as_ref())?;
    let results = report::read(&commands::results_path(args.results.as_ref())?)?;
    let (catalogue, scopes) = cat::load(&dir.join("catalogue")).map_err(input)?;
    let weights = Weights::load(&dir.join("data/syscall-weights.json")).map_err(input)?;
    let mut paths = args.mutation.clone();
    let default = dir.join("mutation.json");
    if paths.is_empty() && default.is_file() {
        paths.push(default);
    }
    let mutations = paths.iter().map(|p| mutation(p)).collect::<Result<Vec<_>>>()?;
    let compat = derive::derive(&catalogue, &scopes, &results, &weights, &mutations);
    let json = derive::json(&compat).map_err(|e| Error::infra(format!("compat.json: {e}")))?;
    settle(
        &[
            (dir.join("TABLE.md"), markdown::render(&compat)),
            (dir.join("compat.json"), json),
            (dir.join("schema/results.schema.json"), results::schema_text()),
            (dir.join("schema/compat.schema.json"), derive::schema_text()),
        ],
        args.check,
    )
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
/// [`Error::Input`] if header, manual or supplement can't be read.
pub fn catalogue(args: &cli::Catalogue) -> Result<ExitCode> {
    let dir = dir(args.dir.as_ref())?.join("catalogue");
    let text = generate::generate(&args.header, &args.manual, &dir.join("newer.yaml")).map_err(input)?;
    settle(&[(dir.join("syscalls.yaml"), text)], args.check)
}

/// Writes the files, or with `check` compares them with what is there.
fn settle(files: &[(PathBuf, String)], check: bool) -> Result<ExitCode> {
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
