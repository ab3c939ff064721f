//! What real applications require: the counts of the Loupe study.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// `data/syscall-weights.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Weights {
    /// What the counts are and whose.
    pub about: String,
    /// Number of applications studied.
    pub applications: u32,
    syscalls: Vec<Weight>,
}

/// Counts of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Applications that don't work without it.
    pub requiring: u32,
    /// Applications that use it.
    pub using: u32,
}

#[derive(Debug, Clone, Deserialize)]
struct Weight {
    name: String,
    apps_requiring: u32,
    apps_using: u32,
}

impl Weights {
    /// Reads the file.
    ///
    /// # Errors
    /// If it can't be read or isn't of its form.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Counts by call name.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<&str, Demand> {
        self.syscalls
            .iter()
            .map(|w| {
                let demand = Demand { requiring: w.apps_requiring, using: w.apps_using };
                (w.name.as_str(), demand)
            })
            .collect()
    }
}
