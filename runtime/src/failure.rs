//! Bevor's own failures: one line, one exit status.

use std::fmt;
use std::process::ExitCode;

/// Exit status of Bevor's own failures, bad usage included (as of `docker run`). The sandbox reports 126 for a command that
/// cannot be executed and 127 for one that is not found, as a shell does.
pub(crate) const OWN_FAILURE: u8 = 125;

/// What went wrong, where, and what to do about it, in one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        // One line, whatever a path or argument in it contains.
        Self(message.to_string().replace('\n', "\\n"))
    }

    /// Prints the line; the exit status to end with.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("bevor: {}", self.0);
        ExitCode::from(OWN_FAILURE)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
