//! Catalogue, derived states and renderers of the compatibility table.
