//! Mutants of processes: signals, life and death, identity, limits, time.

list! {
    //MUTANTS
}
