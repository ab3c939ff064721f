//! Catalogue, derived states and renderers of the compatibility table.

pub mod results;
