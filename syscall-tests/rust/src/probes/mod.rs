//! The probes, a module per family.

mod dup;

use crate::{Helper, Probe};

/// Every probe.
pub(crate) fn all() -> impl Iterator<Item = &'static Probe> {
    [dup::PROBES].into_iter().flatten()
}

/// Every helper program that a probe executes.
pub(crate) fn helpers() -> impl Iterator<Item = &'static Helper> {
    [].into_iter()
}

/// `probe(id, plan, function)`.
const fn probe(id: &'static str, plan: &'static [&'static str], run: fn()) -> Probe {
    Probe { id, plan, run }
}
