//! Mutants of files: descriptors, names, attributes, transfers, file systems.

list! {
    //MUTANTS
}
