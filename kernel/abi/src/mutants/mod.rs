//! Mutants: bugs that a test build holds and switches on one at a time, so that the probes can be asked whether they notice.
//!
//! [`mutant!`](crate::mutant) and [`mutated!`](crate::mutated) stand where a mutant departs from the kernel. Without the feature `mutants` they
//! are the original expression and `false`; only the id is checked, at compile time, against the list below.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` is for test builds: it puts bugs into the kernel");

/// What a mutant is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By rule: comparison, boundary, dropped effect, swapped order, missing wake, wrong inheritance, stale time.
    Rule,
    /// A bug as people make it.
    Bug,
}

/// One mutant.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// `area/what`, as `bevor do --mutant` takes it.
    pub id: &'static str,
    /// The system calls in which it shows, separated by blanks.
    pub calls: &'static str,
    /// What it is derived from.
    pub kind: Kind,
    /// What the mutant does, in a line.
    pub text: &'static str,
}

/// The position of mutant `id`, from 1.
///
/// # Panics
/// If there is none; at compile time, as only the macros call it.
#[must_use]
pub const fn number(id: &str) -> u16 {
    let mut before = 0;
    let mut area = 0;
    while area < AREAS.len() {
        let mut at = 0;
        while at < AREAS[area].len() {
            if same(AREAS[area][at].id.as_bytes(), id.as_bytes()) {
                #[expect(clippy::cast_possible_truncation, reason = "there are some hundreds")]
                return (before + at) as u16 + 1;
            }
            at += 1;
        }
        before += AREAS[area].len();
        area += 1;
    }
    panic!("no such mutant in kernel/abi/src/mutants")
}

/// All mutants.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    AREAS.iter().flat_map(|area| area.iter())
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(feature = "mutants")]
static CHOSEN: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);

/// Switches mutant `id` on, for the rest of this process and those that it forks; whether there is one.
#[cfg(feature = "mutants")]
#[must_use]
pub fn choose(id: &str) -> bool {
    let at = all().position(|m| m.id == id).and_then(|at| u16::try_from(at + 1).ok());
    choose_number(at.unwrap_or(0));
    at.is_some()
}

/// The mutant that is on, 0 for none.
#[cfg(feature = "mutants")]
#[must_use]
pub fn chosen() -> u16 {
    CHOSEN.load(std::sync::atomic::Ordering::Relaxed)
}

/// As [`choose`] by what [`chosen`] was in another process.
#[cfg(feature = "mutants")]
pub fn choose_number(number: u16) {
    CHOSEN.store(number, std::sync::atomic::Ordering::Relaxed);
}

/// Whether mutant `number` is on.
#[cfg(feature = "mutants")]
#[inline]
#[must_use]
pub fn is_chosen(number: u16) -> bool {
    chosen() == number
}

/// Whether the mutant is on: constantly false without the feature `mutants`.
#[cfg(feature = "mutants")]
#[macro_export]
macro_rules! mutated {
    ($id:literal) => {
        $crate::mutants::is_chosen(const { $crate::mutants::number($id) })
    };
}

/// Whether the mutant is on: constantly false without the feature `mutants`.
#[cfg(not(feature = "mutants"))]
#[macro_export]
macro_rules! mutated {
    ($id:literal) => {
        (const { $crate::mutants::number($id) } == 0)
    };
}

/// `mutant!("id", original, mutated)`: the original, or what the mutant has in its place.
#[cfg(feature = "mutants")]
#[macro_export]
macro_rules! mutant {
    ($id:literal, $original:expr, $mutated:expr) => {
        if $crate::mutated!($id) { $mutated } else { $original }
    };
}

/// `mutant!("id", original, mutated)`: the original, or what the mutant has in its place.
#[cfg(not(feature = "mutants"))]
#[macro_export]
macro_rules! mutant {
    ($id:literal, $original:expr, $mutated:expr) => {
        if const { $crate::mutants::number($id) == 0 } { $mutated } else { $original }
    };
}

/// Defines `MUTANTS`: kind, id, the calls in which it shows, what it does. One that nobody can tell from the original is not listed.
macro_rules! list {
    ($($kind:ident $id:literal [$($call:ident)*] $text:literal;)*) => {
        pub(super) const MUTANTS: &[super::Mutant] = &[
            $(super::Mutant { id: $id, calls: concat!("", $(stringify!($call), " "),*), kind: super::Kind::$kind, text: $text },)*
        ];
    };
}

mod files;
mod objects;
mod process;

const AREAS: [&[Mutant]; 3] = [files::MUTANTS, process::MUTANTS, objects::MUTANTS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_calls_exist() {
        for (at, m) in all().enumerate() {
            assert_eq!(usize::from(number(m.id)), at + 1, "{}: listed twice", m.id);
            for call in m.calls.split_whitespace() {
                assert!(crate::sysno::ALL.iter().any(|(_, name)| *name == call), "{}: no call {call}", m.id);
            }
            assert!(!m.text.contains(['"', '\\']), "{}: a quote or backslash in its text", m.id);
        }
    }
}
