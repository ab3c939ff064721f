//! Manifests: what probes exist, what they need and what they cover.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// Per-probe time limit where the manifest gives none, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u64 = 10_000;

/// One `manifests/<family>.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Name of the family, equal to the file's stem.
    pub family: String,
    /// Its probes.
    pub probes: Vec<Probe>,
}

/// Language a probe is written in, which decides the binary that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// In `probes-c`.
    C,
    /// In `probes-rust`.
    Rust,
}

impl Lang {
    /// The name that the agent's `lang` key takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lang::C => "c",
            Lang::Rust => "rust",
        }
    }
}

/// One probe's entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// `family/name`, unique.
    pub id: String,
    /// Language, and with it the binary.
    pub lang: Lang,
    /// What must be there for the probe to run.
    #[serde(default)]
    pub needs: Needs,
    /// Time limit in milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// Runs in a container of its own.
    #[serde(default)]
    pub exclusive: bool,
    /// Extra normalisation.
    #[serde(default)]
    pub normalisers: Vec<Normaliser>,
    /// Catalogue items exercised.
    #[serde(default)]
    pub covers: Vec<String>,
}

/// Conditions on the host; an unmet one makes the probe *skipped*, with the reason, and counted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Lowest kernel version, "major.minor".
    pub kernel: Option<String>,
    /// Capabilities by name, such as `CAP_CHOWN`.
    #[serde(default)]
    pub caps: Vec<String>,
    /// A device node.
    pub device: Option<PathBuf>,
}

/// An extra normalisation of one field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normaliser {
    /// Field path in every observation (`state.blocks`), or in one (`create/state.blocks`).
    pub field: String,
    /// How to treat it.
    #[serde(rename = "as")]
    pub as_: As,
    /// Why that is right.
    pub why: String,
}

/// How an extra normaliser treats its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum As {
    /// Not compared.
    Ignore,
    /// Only whether it is there.
    Present,
    /// A symbol by first appearance.
    Symbol,
    /// Negative, zero or positive.
    Sign,
    /// A list whose order doesn't matter.
    Set,
}

fn default_timeout() -> u64 {
    DEFAULT_TIMEOUT_MS
}

impl Probe {
    /// The part of the id before the first `/`.
    #[must_use]
    pub fn family(&self) -> &str {
        self.id.split('/').next().unwrap_or(&self.id)
    }
}

/// Reads every `*.yaml` in `dir`, sorted by family.
///
/// # Errors
/// [`Error::Input`] naming the file if it can't be read or isn't a manifest, or if [`lint`] objects.
pub fn load(dir: &Path) -> Result<Vec<Family>> {
    let entries =
        std::fs::read_dir(dir).map_err(|e| Error::input(format!("can't read the manifests' folder {}: {e}", dir.display())))?;
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.extension().is_some_and(|x| x == "yaml")).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Error::input(format!("no manifest (*.yaml) in {}", dir.display())));
    }
    let mut families = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|e| Error::input(format!("can't read {}: {e}", path.display())))?;
        let family: Family = serde_yaml::from_str(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
        if path.file_stem().and_then(|s| s.to_str()) != Some(family.family.as_str()) {
            return Err(Error::input(format!("{}: family `{}` must be named like its file", path.display(), family.family)));
        }
        families.push(family);
    }
    let faults = lint(&families);
    if let Some(first) = faults.first() {
        return Err(Error::input(format!(
            "{first}{}",
            if faults.len() > 1 {
                format!(" (and {} more faults; see `bevor-harness lint`)", faults.len() - 1)
            } else {
                String::new()
            }
        )));
    }
    Ok(families)
}

/// Faults in the manifests by themselves: duplicate ids, ids outside their family, empty `covers`, a
/// normaliser without reason, malformed `covers` and `needs`.
#[must_use]
pub fn lint(families: &[Family]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for family in families {
        for probe in &family.probes {
            let id = probe.id.as_str();
            if let Some(other) = seen.insert(id, &family.family) {
                faults.push(format!("{id}: listed twice (families {other} and {})", family.family));
            }
            match id.split_once('/') {
                Some((f, name)) if f == family.family && is_name(name) => {}
                _ => faults.push(format!("{id}: an id is `{}/name` of letters, digits, `_`, `-`, `.`", family.family)),
            }
            if probe.covers.is_empty() {
                faults.push(format!("{id}: covers nothing"));
            }
            if probe.timeout_ms == 0 {
                faults.push(format!("{id}: timeout_ms is 0"));
            }
            for item in &probe.covers {
                if !is_item(item) {
                    faults.push(format!("{id}: `{item}` is not a catalogue item (call, call/flag:X, call/op:X, call/errno:X)"));
                }
            }
            for n in &probe.normalisers {
                if n.why.trim().is_empty() {
                    faults.push(format!("{id}: the normaliser of `{}` has no reason", n.field));
                }
                if n.field == "errno" || n.field.ends_with("/errno") {
                    faults.push(format!("{id}: errno is never normalised"));
                }
            }
            if let Some(k) = &probe.needs.kernel
                && parse_version(k).is_none()
            {
                faults.push(format!("{id}: `{k}` is not a kernel version"));
            }
        }
    }
    faults
}

/// Compares the manifests with what the binaries list: orphans on either side.
#[must_use]
pub fn orphans(families: &[Family], lang: Lang, listed: &[String]) -> Vec<String> {
    let binary = match lang {
        Lang::C => "probes-c",
        Lang::Rust => "probes-rust",
    };
    let planned: Vec<&str> = families.iter().flat_map(|f| &f.probes).filter(|p| p.lang == lang).map(|p| p.id.as_str()).collect();
    let mut faults = Vec::new();
    for id in &planned {
        if !listed.iter().any(|l| l == id) {
            faults.push(format!("{id}: in a manifest, but not in {binary}"));
        }
    }
    for id in listed {
        if !planned.contains(&id.as_str()) {
            faults.push(format!("{id}: in {binary}, but in no manifest"));
        }
    }
    faults
}

/// `major.minor` at the start of a kernel release.
#[must_use]
pub fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_item(item: &str) -> bool {
    let word = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*'));
    match item.split_once('/') {
        None => word(item),
        Some((call, rest)) if !item.starts_with('/') => {
            word(call) && rest.split_once(':').is_some_and(|(kind, name)| word(kind) && !name.is_empty())
        }
        // The /proc, /sys and /dev surfaces are named by path.
        Some(_) => item.len() > 1,
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
