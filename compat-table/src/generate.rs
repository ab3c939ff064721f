//! Generates `catalogue/syscalls.yaml` from `catalogue/facts.yaml`: the numbers of the kernel's `asm/unistd_64.h` and the names that
//! the manual pages of section 2 document. The facts are committed, so that no package of a machine changes the catalogue.
//!
//! The manual only names what there is to probe; what is right, native Linux says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use crate::catalogue::canonical_errno;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Calls whose documented constants are operations rather than flags.
const MULTIPLEXERS: [&str; 21] = [
    "arch_prctl",
    "bpf",
    "epoll_ctl",
    "fcntl",
    "fsconfig",
    "futex",
    "getsockopt",
    "ioctl",
    "kcmp",
    "keyctl",
    "madvise",
    "membarrier",
    "msgctl",
    "prctl",
    "ptrace",
    "quotactl",
    "rseq",
    "seccomp",
    "semctl",
    "setsockopt",
    "shmctl",
];

/// Parameter names through which a call takes named constants.
const CONSTANT_PARAMETERS: [&str; 35] = [
    "flags",
    "flag",
    "op",
    "cmd",
    "request",
    "how",
    "advice",
    "prot",
    "type",
    "domain",
    "which",
    "whence",
    "clockid",
    "clk_id",
    "who",
    "mode",
    "option",
    "code",
    "level",
    "optname",
    "resource",
    "policy",
    "events",
    "event",
    "mask",
    "idtype",
    "options",
    "operation",
    "futex_op",
    "shmflg",
    "semflg",
    "msgflg",
    "cl_args",
    "fds",
    "attr",
];

/// Prefixes of constants that descriptions mention without the call taking them.
const ELSEWHERE: [&str; 10] =
    ["CLD_", "CLOCK_MONOTONIC", "CPU_", "IOV_MAX", "MAX_HANDLE_SZ", "PR_", "PTRACE_MODE_", "RLIMIT_", "SA_", "SI_"];

/// Constants without an underscore: options of wait4(2) and waitid(2).
const PLAIN: [&str; 8] = ["WCONTINUED", "WEXITED", "WNOHANG", "WNOWAIT", "WSTOPPED", "WUNTRACED", "P_PID", "P_PIDFD"];

/// Pages of calls whose header name has no page of its own.
const PAGES: [(&str, &str); 8] = [
    ("pread64", "read"),
    ("pwrite64", "write"),
    ("sendmmsg", "sendmsg"),
    ("vfork", "fork"),
    ("wait4", "waitpid"),
    ("io_pgetevents", "io_getevents"),
    ("quotactl_fd", "quotactl"),
    ("fchmodat2", "fchmodat"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Newer {
    nr: u32,
    name: String,
    #[serde(default)]
    flags: BTreeSet<String>,
    #[serde(default)]
    errnos: BTreeSet<String>,
}

/// `catalogue/facts.yaml`: names only, none of the manual's wording.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Version of the manual.
    pub manual: String,
    /// Calls by number.
    pub calls: BTreeMap<u32, String>,
    /// The page of each call that has one.
    pub titles: BTreeMap<String, String>,
    /// What the pages document.
    pub pages: BTreeMap<String, Page>,
}

/// What one manual page documents.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    /// Constants under a tagged paragraph outside of ERRORS.
    pub constants: BTreeSet<String>,
    /// Constants that the DESCRIPTION only mentions; they count where none is tagged, as O_CLOEXEC of dup3(2).
    pub mentioned: BTreeSet<String>,
    /// Names under ERRORS.
    pub errnos: BTreeSet<String>,
    /// Parameters by function in the synopsis.
    pub parameters: BTreeMap<String, BTreeSet<String>>,
    /// The page's version line.
    pub version: String,
}

/// Extracts the facts from `header`, the manual's `man2` folder, and for the calls of the supplement `newer`.
///
/// # Errors
/// If a source can't be read or holds no call.
pub fn extract(header: &Path, man2: &Path, newer: &Path) -> Result<Facts> {
    let text = std::fs::read_to_string(header).with_context(|| format!("can't read {}", header.display()))?;
    let mut facts = Facts { calls: numbers(&text), ..Facts::default() };
    if facts.calls.is_empty() {
        bail!("{} defines no __NR_ number", header.display());
    }
    let names: BTreeSet<String> = facts.calls.values().cloned().chain(supplement(newer)?.into_iter().map(|n| n.name)).collect();
    for name in names {
        if let Some((title, page)) = find_page(man2, &name)? {
            facts.manual.clone_from(&page.version);
            facts.pages.insert(title.clone(), page);
            facts.titles.insert(name, title);
        }
    }
    Ok(facts)
}

/// `facts` as the file holds them.
///
/// # Errors
/// If they can't be written as YAML.
pub fn render(facts: &Facts) -> Result<String> {
    let text = serde_yaml::to_string(facts)?;
    Ok(format!("# Written by `bevor-harness catalogue --refresh` from the packages of a machine; don't edit.\n{text}"))
}

fn supplement(newer: &Path) -> Result<Vec<Newer>> {
    let text = std::fs::read_to_string(newer).with_context(|| format!("can't read {}", newer.display()))?;
    serde_yaml::from_str(&text).context("newer.yaml")
}

/// The catalogue's text, from the committed facts and the supplement (both YAML).
///
/// # Errors
/// If one can't be read or parsed.
pub fn generate(facts: &Path, newer: &Path) -> Result<String> {
    let text = std::fs::read_to_string(facts).with_context(|| format!("can't read {}", facts.display()))?;
    let facts: Facts = serde_yaml::from_str(&text).context("facts.yaml")?;
    let supplement = supplement(newer)?;
    let mut calls = facts.calls;
    for n in &supplement {
        calls.entry(n.nr).or_insert_with(|| n.name.clone());
    }
    let mut rows = String::new();
    for (nr, name) in &calls {
        let kind = if MULTIPLEXERS.contains(&name.as_str()) { "ops" } else { "flags" };
        let (mut constants, mut errnos) = (BTreeSet::new(), BTreeSet::new());
        let _ = write!(rows, "  - {{ nr: {nr}, name: {name}");
        if let Some((title, page)) = facts.titles.get(name).and_then(|t| Some((t, facts.pages.get(t)?))) {
            let _ = write!(rows, ", page: {title}");
            constants.extend(constants_of(page, name));
            errnos.extend(page.errnos.iter().cloned());
        }
        for n in supplement.iter().filter(|n| n.nr == *nr) {
            constants.extend(n.flags.iter().cloned());
            errnos.extend(n.errnos.iter().cloned());
        }
        list(&mut rows, kind, &constants);
        list(&mut rows, "errnos", &errnos);
        rows.push_str(" }\n");
    }
    Ok(format!(
        "# Generated by `bevor-harness catalogue`; don't edit. What is out of scope stands in scope.yaml.\n\
         sources:\n  - asm/unistd_64.h and newer.yaml\n  - {}\ncalls:\n{rows}",
        facts.manual
    ))
}

fn list(out: &mut String, key: &str, names: &BTreeSet<String>) {
    if !names.is_empty() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let _ = write!(out, ", {key}: [{}]", names.join(", "));
    }
}

/// The page's constants that `call` can take: none without a parameter for them, open flags only through one
/// for flags (creat(2) shares open's page and takes a mode alone).
fn constants_of(page: &Page, call: &str) -> BTreeSet<String> {
    // A name that the synopsis doesn't show (newfstatat …) gets what the page has.
    let Some(parameters) = page.parameters.get(documented_as(call)) else {
        return page.constants.clone();
    };
    let takes = |names: &[&str]| names.iter().any(|n| parameters.contains(*n)) || parameters.iter().any(|p| p.ends_with("flags"));
    if !takes(&CONSTANT_PARAMETERS) {
        return BTreeSet::new();
    }
    let open_flags = takes(&["flags", "flag", "how", "cmd", "op"]);
    page.constants.iter().filter(|c| open_flags || !c.starts_with("O_")).cloned().collect()
}

/// `__NR_name number` lines.
#[must_use]
pub fn numbers(header: &str) -> BTreeMap<u32, String> {
    header
        .lines()
        .filter_map(|l| {
            let mut words = l.strip_prefix("#define __NR_")?.split_whitespace();
            let name = words.next()?;
            Some((words.next()?.parse().ok()?, name.to_owned()))
        })
        .collect()
}

/// The function whose page and prototype stand for `call`.
fn documented_as(call: &str) -> &str {
    PAGES.iter().find(|(c, _)| *c == call).map_or(call, |(_, p)| p)
}

fn find_page(man2: &Path, call: &str) -> Result<Option<(String, Page)>> {
    let mut title = documented_as(call).to_owned();
    // `.so man2/open.2` redirects; a chain of more than a few is a loop.
    for _ in 0..4 {
        let Some(text) = read_page(man2, &title)? else {
            return Ok(None);
        };
        match text.lines().find_map(|l| l.strip_prefix(".so ")) {
            Some(target) => {
                let stem = target.trim().rsplit('/').next().unwrap_or_default();
                title = stem.split('.').next().unwrap_or_default().to_owned();
            }
            None => return Ok(Some((title, parse_page(&text)))),
        }
    }
    bail!("manual page {call}: redirects in a circle")
}

fn read_page(man2: &Path, title: &str) -> Result<Option<String>> {
    let plain = man2.join(format!("{title}.2"));
    let packed = man2.join(format!("{title}.2.gz"));
    let mut text = String::new();
    if packed.is_file() {
        let file = std::fs::File::open(&packed).with_context(|| packed.display().to_string())?;
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).with_context(|| packed.display().to_string())?;
    } else if plain.is_file() {
        text = std::fs::read_to_string(&plain).with_context(|| plain.display().to_string())?;
    } else {
        return Ok(None);
    }
    Ok(Some(text))
}

/// Reads one page's man(7) source.
#[must_use]
pub fn parse_page(text: &str) -> Page {
    let mut page = Page::default();
    let (mut section, mut tag, mut synopsis) = (String::new(), false, String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix(".TH ") {
            page.version = rest.rsplit('"').nth(1).unwrap_or_default().to_owned();
        } else if let Some(name) = line.strip_prefix(".SH ") {
            section = name.trim_matches('"').to_owned();
            tag = false;
        } else if matches!(line.split_whitespace().next(), Some(".TP" | ".TQ")) {
            tag = true;
        } else if section == "SYNOPSIS" {
            let _ = writeln!(synopsis, "{line}");
        } else if !tag && section == "DESCRIPTION" {
            let words = line.strip_prefix(".B ").or_else(|| line.strip_prefix(".BR "));
            let first = words.and_then(|w| w.split_whitespace().next()).unwrap_or_default();
            if is_constant(first) && !ELSEWHERE.iter().any(|p| first.starts_with(p)) {
                page.mentioned.insert(first.to_owned());
            }
        } else if tag && !line.starts_with(".\\\"") {
            tag = false;
            let Some(words) =
                line.strip_prefix(".B ").or_else(|| line.strip_prefix(".BR ")).or_else(|| line.strip_prefix(".BI "))
            else {
                continue;
            };
            for word in words.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                match section.as_str() {
                    "ERRORS" if is_errno(word) => page.errnos.insert(canonical_errno(word).to_owned()),
                    "DESCRIPTION" | "NOTES" if is_constant(word) => page.constants.insert(word.to_owned()),
                    _ => false,
                };
            }
        }
    }
    page.parameters = prototypes(&synopsis);
    if page.constants.is_empty() {
        page.constants.clone_from(&page.mentioned);
    }
    page
}

fn is_errno(word: &str) -> bool {
    // Restart codes never reach a program.
    word.len() > 2
        && !word.starts_with("ERESTART")
        && !word.starts_with("EPOLL")
        && word.starts_with('E')
        && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

fn is_constant(word: &str) -> bool {
    let caps = word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    // Not arguments of calls: capabilities, configuration and feature-test macros.
    let others = ["CAP_", "RLIM_", "CONFIG_", "_"];
    let event = ["EPOLL", "POLL"].iter().any(|p| word.len() > p.len() && word.starts_with(p));
    caps && (event || PLAIN.contains(&word) || word.contains('_'))
        && !word.ends_with('_')
        && !others.iter().any(|w| word.starts_with(w))
        && !word.starts_with(|c: char| c.is_ascii_digit())
}

/// Parameter names by function, from the synopsis's source with its macros and quotes taken out.
fn prototypes(synopsis: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut plain = String::new();
    for line in synopsis.lines().filter(|l| !l.starts_with(".\\\"")) {
        let body = line
            .strip_prefix(".BI ")
            .or_else(|| line.strip_prefix(".B "))
            .or_else(|| line.strip_prefix(".BR "))
            .unwrap_or(if line.starts_with('.') { "" } else { line });
        if body.trim_start().trim_start_matches('"').starts_with(['#', '/']) {
            continue; // an include line or a comment
        }
        plain.extend(body.chars().filter(|c| !matches!(c, '"' | '\\')));
        plain.push(' ');
    }
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for statement in plain.split(';') {
        let Some((head, parameters)) = statement.split_once('(') else {
            continue;
        };
        let word = |text: &str| -> String {
            let tail: Vec<char> = text.trim_end().chars().rev().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            tail.into_iter().rev().collect()
        };
        let mut name = word(head);
        // `syscall(SYS_name, …)` documents a call without a wrapper.
        let mut parameters = parameters.replace([')', '[', ']'], " ");
        if name == "syscall" {
            let (first, rest) = parameters.split_once(',').unwrap_or((&parameters, ""));
            name = first.trim().trim_start_matches("SYS_").to_owned();
            parameters = rest.to_owned();
        }
        out.entry(name).or_default().extend(parameters.split(',').map(word));
    }
    out
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod tests;
