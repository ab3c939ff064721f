//! Catalogue, derived states and renderers of the compatibility table.
//!
//! `results.json` (what was measured) and the catalogue (what there is to measure) give `compat.json` and
//! `TABLE.md`. States are derived, never declared.

pub mod catalogue;
pub mod derive;
pub mod generate;
pub mod markdown;
pub mod mutation;
pub mod results;
pub mod weights;
