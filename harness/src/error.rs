//! Errors that end the command, and the exit code each means.

use std::process::ExitCode;

/// All measured as expected.
pub const EXIT_OK: u8 = 0;
/// A regression: new or changed difference, crash, incomplete plan, error of a probe's author.
pub const EXIT_REGRESSION: u8 = 1;
/// A stale expectation or table.
pub const EXIT_STALE: u8 = 2;
/// Infrastructure: a container doesn't start, the nonce is absent, a file can't be written.
pub const EXIT_INFRASTRUCTURE: u8 = 3;
/// Bad input: command line, manifest, expectations, results file (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Why the command could not give an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad input; exit code [`EXIT_USAGE`].
    #[error("{0}")]
    Input(String),
    /// Infrastructure; exit code [`EXIT_INFRASTRUCTURE`].
    #[error("{0}")]
    Infrastructure(String),
}

/// Result with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Bad input.
    pub fn input(text: impl Into<String>) -> Self {
        Self::Input(one_line(&text.into()))
    }

    /// Infrastructure.
    pub fn infra(text: impl Into<String>) -> Self {
        Self::Infrastructure(one_line(&text.into()))
    }

    /// The documented exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Input(_) => EXIT_USAGE,
            Self::Infrastructure(_) => EXIT_INFRASTRUCTURE,
        })
    }
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}
