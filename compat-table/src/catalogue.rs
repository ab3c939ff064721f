//! The catalogue: every x86-64 system call with its documented flags, operations and errnos, and what of it is in scope.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `catalogue/syscalls.yaml`, generated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Where it was generated from.
    pub sources: Vec<String>,
    /// The calls by number.
    pub calls: Vec<Call>,
}

/// One system call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// x86-64 number.
    pub nr: u32,
    /// Name as in `asm/unistd_64.h`.
    pub name: String,
    /// Manual page in section 2, if there is one.
    #[serde(default)]
    pub page: Option<String>,
    /// Documented flags.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Documented operations of a call that multiplexes.
    #[serde(default)]
    pub ops: Vec<String>,
    /// Documented errnos.
    #[serde(default)]
    pub errnos: Vec<String>,
}

/// `catalogue/scope.yaml`, written by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scopes {
    /// Errnos of every call.
    #[serde(default)]
    pub errnos: BTreeMap<String, Exclusion>,
    /// Whole calls.
    #[serde(default)]
    pub calls: BTreeMap<String, Exclusion>,
    /// Single items.
    #[serde(default)]
    pub items: BTreeMap<String, Exclusion>,
}

/// Why something is not to be probed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// In which way.
    pub scope: Excluded,
    /// The reason.
    pub why: String,
}

/// Ways not to be in scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Excluded {
    /// No probe can bring it about.
    Unreachable,
    /// Bevor does not aim at it.
    OutOfScope,
}

/// One name for errnos that are one number on x86-64.
#[must_use]
pub fn canonical_errno(name: &str) -> &str {
    match name {
        "EWOULDBLOCK" => "EAGAIN",
        "EDEADLOCK" => "EDEADLK",
        "ENOTSUP" => "EOPNOTSUPP",
        name => name,
    }
}

/// One thing to probe: `call`, `call/flag:X`, `call/op:X` or `call/errno:X`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// The call's name.
    pub call: String,
    /// Flag, operation or errno name; empty for the call itself.
    pub name: String,
    /// Whether the name is an errno (`EPOLLIN` isn't).
    pub errno: bool,
}

impl Item {
    /// Of a `covers` entry. Flags and operations are told apart by name only, so the kind doesn't matter.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (call, rest) = text.split_once('/').unwrap_or((text, ""));
        let (kind, name) = rest.split_once(':').unwrap_or(("", rest));
        match kind {
            "errno" => Self::errno(call, name),
            _ => Self { call: call.into(), name: name.into(), errno: false },
        }
    }

    /// Errno `name` of `call`.
    #[must_use]
    pub fn errno(call: &str, name: &str) -> Self {
        Self { call: call.into(), name: canonical_errno(name).into(), errno: true }
    }
}

impl Call {
    /// All items of the call, the call itself first, with their ids.
    #[must_use]
    pub fn items(&self) -> Vec<(String, Item)> {
        let item = |kind: &str, name: &String| {
            let id = format!("{}/{kind}:{name}", self.name);
            let item = Item::parse(&id);
            (id, item)
        };
        let mut out = vec![(self.name.clone(), Item::parse(&self.name))];
        out.extend(self.flags.iter().map(|f| item("flag", f)));
        out.extend(self.ops.iter().map(|o| item("op", o)));
        out.extend(self.errnos.iter().map(|e| item("errno", e)));
        out
    }
}

impl Scopes {
    /// Why item `id` of `call` is excluded, if it is.
    #[must_use]
    pub fn excluded(&self, call: &str, id: &str, item: &Item) -> Option<&Exclusion> {
        self.calls.get(call).or_else(|| self.items.get(id)).or_else(|| self.errnos.get(&item.name).filter(|_| item.errno))
    }
}

/// Reads the catalogue and its scopes from `dir`.
///
/// # Errors
/// If a file can't be read or parsed, a number or name comes twice, or a scope names nothing.
pub fn load(dir: &Path) -> Result<(Catalogue, Scopes)> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
    };
    let catalogue: Catalogue = serde_yaml::from_str(&read("syscalls.yaml")?).context("syscalls.yaml")?;
    let scopes: Scopes = serde_yaml::from_str(&read("scope.yaml")?).context("scope.yaml")?;
    check(&catalogue, &scopes)?;
    Ok((catalogue, scopes))
}

fn check(catalogue: &Catalogue, scopes: &Scopes) -> Result<()> {
    let (mut numbers, mut names, mut ids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for call in &catalogue.calls {
        if !numbers.insert(call.nr) || !names.insert(call.name.as_str()) {
            bail!("syscalls.yaml: {} ({}) comes twice", call.name, call.nr);
        }
        ids.extend(call.items().into_iter().map(|(id, _)| id));
    }
    if let Some(name) = scopes.calls.keys().find(|n| !names.contains(n.as_str())) {
        bail!("scope.yaml: there is no call {name}");
    }
    if let Some(id) = scopes.items.keys().find(|i| !ids.contains(*i)) {
        bail!("scope.yaml: the catalogue has no {id}");
    }
    let empty = [&scopes.errnos, &scopes.calls, &scopes.items].into_iter().flatten().find(|(_, e)| e.why.trim().is_empty());
    if let Some((name, _)) = empty {
        bail!("scope.yaml: {name} has no reason");
    }
    Ok(())
}
