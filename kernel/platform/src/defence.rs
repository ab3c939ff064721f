//! Defences that a test build can take away one by one, so that each test of a defence can show the attack that succeeds without it.
//!
//! Builds without debug assertions have no such way: there every [`Defences::has`] is constantly true.

use std::fmt;

macro_rules! defences {
    ($($name:ident $word:literal $text:literal,)*) => {
        /// One line of defence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Defence {
            $(#[doc = $text] $name,)*
        }

        #[cfg(debug_assertions)]
        impl std::str::FromStr for Defence {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$name),)*
                    _ => Err(format!("no such defence; there are {}", [$($word),*].join(", "))),
                }
            }
        }
    };
}

defences! {
    Filter "filter" "The stubs' filter refuses host calls from the gate page but those that are safe.",
    Entries "entries" "The stubs' filter traps 32-bit and x32 calls.",
    Seals "seals" "Slabs cannot change their size.",
    Nonce "nonce" "A new process gets a slab only for the nonce of a fork.",
    Caller "caller" "A notification is believed only from the process that it speaks of.",
    Reaper "reaper" "The end of a host process is noticed.",
    Release "release" "What the sentry holds for a process goes with it.",
    Deadline "deadline" "A thread that does not end when told to loses its host process.",
    Processes "processes" "RLIMIT_NPROC.",
    Descriptors "descriptors" "RLIMIT_NOFILE.",
    ReadOnly "read-only" "A program gets no descriptor that can write of a file that it may only read.",
    Objects "objects" "What a guest makes the kernel keep has a ceiling, kind by kind.",
    Cycles "cycles" "Sockets that lie in each other's queues, where nobody can reach them, are closed.",
    Nesting "nesting" "What a guest nests is refused from some depth on (epoll instances), or dropped step by step (sockets in flight).",
    Turns "turns" "Calls that take long wait for each other, and nobody else for them.",
    Keeping "keeping" "A stub keeps no descriptor of a file that is private, or that it can write.",
    Covers "covers" "The gofer's trees have no pseudo file systems.",
    Paths "paths" "The gofer's paths begin at descriptors, none of which leads up.",
    Capabilities "capabilities" "The gofer has the capabilities of file access only.",
    Layout "layout" "The gofer has an address space of its own layout.",
    Tie "tie" "The sentry ends with the command.",
}

/// The defences that stand.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Defences {
    #[cfg(debug_assertions)]
    missing: Vec<Defence>,
}

impl Defences {
    /// All but `missing`.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn without(missing: Vec<Defence>) -> Self {
        Self { missing }
    }

    /// Whether `defence` stands.
    #[must_use]
    pub fn has(&self, defence: Defence) -> bool {
        #[cfg(debug_assertions)]
        return !self.missing.contains(&defence);
        #[cfg(not(debug_assertions))]
        {
            let _ = defence;
            true
        }
    }
}

impl fmt::Debug for Defences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Defences")
    }
}
