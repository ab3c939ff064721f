//! Typed values of the observation stream and their normalisation.
//!
//! A value is compared by its *type*, never by its text: descriptors, process ids, inodes, devices and
//! addresses become symbols in order of first appearance within one probe run, absolute times vanish (only
//! relations that the probe computed are compared), unordered lists are sorted. An errno is never changed.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::manifest::{As, Normaliser};

/// Normalised fields of one observation: field path (`ret`, `state.mode`) to its canonical text.
pub type Fields = BTreeMap<String, String>;

/// A typed value was not of the form that `syscall-tests/README.md` fixes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ValueError {
    /// Not an object with a `t`.
    #[error("{path}: a value is an object with the key `t`, found {found}")]
    NotTyped {
        /// Field path of the value.
        path: String,
        /// What stood there.
        found: String,
    },
    /// A type name that the interface doesn't know.
    #[error("{path}: unknown value type `{kind}`")]
    UnknownType {
        /// Field path of the value.
        path: String,
        /// The unknown name.
        kind: String,
    },
    /// A `v` of the wrong JSON type.
    #[error("{path}: `{kind}` can't hold {found}")]
    Mismatch {
        /// Field path of the value.
        path: String,
        /// Type name given.
        kind: String,
        /// What stood in `v`.
        found: String,
    },
    /// Too deep nesting.
    #[error("{path}: nested more than {MAX_DEPTH} levels")]
    TooDeep {
        /// Field path of the value.
        path: String,
    },
}

/// Deepest nesting of lists, sets and maps accepted in one value.
pub const MAX_DEPTH: usize = 16;

/// Symbols given out so far in one probe run, by type and raw value. A symbol is named after the place of its first
/// appearance (`fd@create/ret`) rather than counted, so that one wrong answer doesn't rename all symbols after it.
#[derive(Debug, Default, Clone)]
pub struct Symbols {
    tables: BTreeMap<String, BTreeMap<String, String>>,
}

impl Symbols {
    fn symbol(&mut self, kind: &str, raw: &str, place: &str) -> String {
        let table = self.tables.entry(kind.to_owned()).or_default();
        if let Some(known) = table.get(raw) {
            return known.clone();
        }
        // Members of one set share a place.
        let base = format!("{kind}@{place}");
        let mut name = base.clone();
        let mut n = 2;
        while table.values().any(|v| *v == name) {
            name = format!("{base}.{n}");
            n += 1;
        }
        table.insert(raw.to_owned(), name.clone());
        name
    }
}

/// Normalises the values of one probe run, in the order in which they are given.
#[derive(Debug)]
pub struct Normalise<'a> {
    symbols: Symbols,
    rules: &'a [Normaliser],
}

impl<'a> Normalise<'a> {
    /// A normaliser with the manifest's extra `rules` and no symbols yet.
    #[must_use]
    pub fn new(rules: &'a [Normaliser]) -> Self {
        Self { symbols: Symbols::default(), rules }
    }

    /// Adds `value`, which stands at `path` of observation `obs`, to `out`.
    ///
    /// # Errors
    /// [`ValueError`] if the value isn't of the interface's form.
    pub fn field(&mut self, obs: &str, path: &str, value: &Json, out: &mut Fields) -> Result<(), ValueError> {
        self.flatten(obs, path, value, out, 0)
    }

    fn rule(&self, obs: &str, path: &str) -> Option<As> {
        self.rules
            .iter()
            .find(|r| r.field == path || r.field.strip_prefix(obs).and_then(|f| f.strip_prefix('/')) == Some(path))
            .map(|r| r.as_)
    }

    fn flatten(&mut self, obs: &str, path: &str, value: &Json, out: &mut Fields, depth: usize) -> Result<(), ValueError> {
        if depth > MAX_DEPTH {
            return Err(ValueError::TooDeep { path: path.into() });
        }
        let typed = Typed::parse(path, value)?;
        let kind = match self.rule(obs, path) {
            Some(As::Ignore) => return Ok(()),
            Some(As::Present) => {
                out.insert(path.into(), "present".into());
                return Ok(());
            }
            Some(As::Symbol) => {
                let text = self.symbols.symbol("symbol", &value.to_string(), &format!("{obs}/{path}"));
                out.insert(path.into(), text);
                return Ok(());
            }
            Some(As::Sign) => {
                out.insert(path.into(), typed.sign()?.into());
                return Ok(());
            }
            Some(As::Set) => "set",
            None => typed.kind,
        };
        match kind {
            "list" => {
                let items = typed.array()?;
                out.insert(format!("{path}.len"), items.len().to_string());
                for (i, item) in items.iter().enumerate() {
                    self.flatten(obs, &format!("{path}[{i}]"), item, out, depth + 1)?;
                }
            }
            "map" => {
                let Some(map) = typed.v.as_object() else {
                    return Err(typed.mismatch());
                };
                if map.is_empty() {
                    out.insert(path.into(), "{}".into());
                }
                for (key, item) in map {
                    self.flatten(obs, &format!("{path}.{key}"), item, out, depth + 1)?;
                }
            }
            "set" => {
                let text = self.set(obs, path, typed.array()?, depth)?;
                out.insert(path.into(), text);
            }
            _ => {
                let text = self.scalar(obs, &typed)?;
                out.insert(path.into(), text);
            }
        }
        Ok(())
    }

    /// The members sorted, so that neither their order nor the order in which they would get symbols matters.
    fn set(&mut self, obs: &str, path: &str, items: &[Json], depth: usize) -> Result<String, ValueError> {
        let mut keyed = Vec::with_capacity(items.len());
        for item in items {
            // The key is what the member looks like to a normaliser that has seen only what came before the set.
            let mut probe = Normalise { symbols: self.symbols.clone(), rules: self.rules };
            keyed.push((probe.compact(obs, path, item, depth + 1)?, item));
        }
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        let mut texts = Vec::with_capacity(keyed.len());
        for (_, item) in keyed {
            texts.push(self.compact(obs, path, item, depth + 1)?);
        }
        texts.sort();
        Ok(format!("{{{}}}", texts.join(", ")))
    }

    fn compact(&mut self, obs: &str, path: &str, value: &Json, depth: usize) -> Result<String, ValueError> {
        let mut fields = Fields::new();
        let root = format!("{path}{{}}");
        self.flatten(obs, &root, value, &mut fields, depth)?;
        let parts: Vec<String> = fields
            .iter()
            .map(|(k, v)| match k.strip_prefix(&root) {
                Some("") | None => v.clone(),
                Some(rest) => format!("{}={v}", rest.trim_start_matches('.')),
            })
            .collect();
        Ok(if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(" ")) })
    }

    fn scalar(&mut self, obs: &str, typed: &Typed<'_>) -> Result<String, ValueError> {
        match typed.kind {
            "int" | "uint" => typed.number(),
            "hex" => typed.hex(),
            "bool" => match typed.v {
                Json::Bool(b) => Ok(b.to_string()),
                Json::Number(n) if n.as_u64() == Some(0) => Ok("false".into()),
                Json::Number(n) if n.as_u64() == Some(1) => Ok("true".into()),
                _ => Err(typed.mismatch()),
            },
            "str" => Ok(format!("\"{}\"", typed.text()?.escape_debug())),
            "bytes" => Ok(format!("bytes:{}", typed.text()?.to_ascii_lowercase())),
            "errno" => match typed.v {
                Json::Null => Ok("none".into()),
                _ => Ok(typed.text()?.to_owned()),
            },
            "rel" => match typed.text()? {
                r @ ("lt" | "eq" | "gt") => Ok(r.to_owned()),
                _ => Err(typed.mismatch()),
            },
            kind @ ("fd" | "pid" | "ino" | "dev" | "addr") => {
                let raw = match typed.v {
                    Json::String(s) => s.clone(),
                    _ => typed.number()?,
                };
                // Zero and negative numbers are answers of their own (no address, no process, AT_FDCWD, -1).
                let literal = raw.starts_with('-') || (kind != "fd" && matches!(raw.as_str(), "0" | "0x0"));
                Ok(if literal { raw } else { self.symbols.symbol(kind, &raw, &format!("{obs}/{}", typed.path)) })
            }
            "time" => {
                let n = typed.number()?;
                Ok(if n == "0" { "time:0" } else { "time" }.into())
            }
            "dur" => {
                let v = typed.signed("v")?;
                let (min, max) = (typed.signed("min")?, typed.signed("max")?);
                Ok(if (min..=max).contains(&v) { "within" } else { "outside" }.into())
            }
            kind => Err(ValueError::UnknownType { path: typed.path.into(), kind: kind.into() }),
        }
    }
}

/// One `{"t":…,"v":…}` object taken apart.
struct Typed<'a> {
    path: &'a str,
    kind: &'a str,
    v: &'a Json,
    object: &'a serde_json::Map<String, Json>,
}

impl<'a> Typed<'a> {
    fn parse(path: &'a str, value: &'a Json) -> Result<Self, ValueError> {
        let not_typed = || ValueError::NotTyped { path: path.into(), found: shorten(&value.to_string()) };
        let object = value.as_object().ok_or_else(not_typed)?;
        let kind = object.get("t").and_then(Json::as_str).ok_or_else(not_typed)?;
        let v = object.get("v").unwrap_or(&Json::Null);
        Ok(Self { path, kind, v, object })
    }

    fn mismatch(&self) -> ValueError {
        ValueError::Mismatch { path: self.path.into(), kind: self.kind.into(), found: shorten(&self.v.to_string()) }
    }

    fn number(&self) -> Result<String, ValueError> {
        match self.v {
            Json::Number(n) if n.is_i64() || n.is_u64() => Ok(n.to_string()),
            _ => Err(self.mismatch()),
        }
    }

    fn signed(&self, key: &str) -> Result<i64, ValueError> {
        self.object.get(key).and_then(Json::as_i64).ok_or_else(|| ValueError::Mismatch {
            path: self.path.into(),
            kind: self.kind.into(),
            found: format!("`{key}` missing or not an integer"),
        })
    }

    fn hex(&self) -> Result<String, ValueError> {
        if let Json::Number(n) = self.v {
            return n.as_u64().map(|n| format!("{n:#x}")).ok_or_else(|| self.mismatch());
        }
        let digits = self.text()?.strip_prefix("0x").ok_or_else(|| self.mismatch())?;
        u64::from_str_radix(digits, 16).map(|n| format!("{n:#x}")).map_err(|_| self.mismatch())
    }

    fn text(&self) -> Result<&'a str, ValueError> {
        self.v.as_str().ok_or_else(|| self.mismatch())
    }

    fn array(&self) -> Result<&'a [Json], ValueError> {
        self.v.as_array().map(Vec::as_slice).ok_or_else(|| self.mismatch())
    }

    fn sign(&self) -> Result<&'static str, ValueError> {
        let n = self.number()?;
        Ok(match n.as_str() {
            "0" => "zero",
            n if n.starts_with('-') => "negative",
            _ => "positive",
        })
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
