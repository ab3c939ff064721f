//! The probes, a module per family.

mod dir;
mod dup;
mod fcntl;
mod files;
mod pipe;
mod poll;
mod privileges;
mod process;
mod signal;
mod sweep;
mod system;
mod time;

use crate::{Helper, Probe};

/// What nearly every probe uses.
mod prelude {
    #[allow(unused_imports)]
    pub(super) use super::probe;
    #[allow(unused_imports)]
    pub(super) use crate::Probe;
    #[allow(unused_imports)]
    pub(super) use crate::helpers::*;
    #[allow(unused_imports)]
    pub(super) use crate::observe::{broken, obs, require};
    #[allow(unused_imports)]
    pub(super) use crate::sys::{Answer, sys};
    #[allow(unused_imports)]
    pub(super) use crate::value::*;
    #[allow(unused_imports)]
    pub(super) use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
}

/// Every probe.
pub(crate) fn all() -> impl Iterator<Item = &'static Probe> {
    [
        dir::PROBES,
        dup::PROBES,
        fcntl::PROBES,
        files::PROBES,
        pipe::PROBES,
        poll::PROBES,
        privileges::PROBES,
        process::PROBES,
        signal::PROBES,
        sweep::PROBES,
        system::PROBES,
        time::PROBES,
    ]
    .into_iter()
    .flatten()
}

/// Every helper program that a probe executes.
pub(crate) fn helpers() -> impl Iterator<Item = &'static Helper> {
    [].into_iter()
}

/// `probe(id, plan, function)`.
const fn probe(id: &'static str, plan: &'static [&'static str], run: fn()) -> Probe {
    Probe { id, plan, run }
}
