//! What the measuring programs are run in.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Name of the runs without any sandbox.
pub(crate) const NATIVE: &str = "native";
/// Name of the default runtime.
pub(crate) const BEVOR: &str = "bevor";

/// A way to run a program: its command line goes behind `prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Runtime {
    /// Name in tables and reports.
    pub name: String,
    /// Words before the program's own command line; none for native.
    pub prefix: Vec<OsString>,
}

impl Runtime {
    /// The host's kernel itself.
    pub(crate) fn native() -> Self {
        Self { name: NATIVE.to_owned(), prefix: Vec::new() }
    }

    /// Parses `NAME=CMD…`; the command is split into words as a shell would, without expansions.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (name, command) = text.split_once('=').context("expected NAME=CMD…")?;
        ensure!(!name.is_empty(), "the runtime's name is empty");
        ensure!(name != NATIVE, "the name {NATIVE:?} is taken");
        let words = shell_words::split(command).context("cannot split the runtime's command")?;
        ensure!(!words.is_empty(), "the runtime's command is empty");
        Ok(Self { name: name.to_owned(), prefix: words.into_iter().map(OsString::from).collect() })
    }

    /// `bevor do --` beside `executable`, if there is such a file.
    pub(crate) fn default_bevor(executable: &Path) -> Result<Self> {
        let bevor = executable.with_file_name(BEVOR);
        ensure!(bevor.is_file(), "{} does not exist", bevor.display());
        Ok(Self { name: BEVOR.to_owned(), prefix: vec![bevor.into_os_string(), "do".into(), "--".into()] })
    }

    /// The command for the report.
    pub(crate) fn command_line(&self) -> String {
        self.prefix.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_is_a_name_and_shell_words() {
        let runtime = Runtime::parse("runsc=runsc --network=none 'a b' do").unwrap();
        assert_eq!(runtime.name, "runsc");
        assert_eq!(runtime.prefix, ["runsc", "--network=none", "a b", "do"].map(OsString::from));
    }

    #[test]
    fn bad_runtimes_are_refused() {
        for (text, complaint) in [
            ("runsc", "expected NAME=CMD"),
            ("=runsc do", "name is empty"),
            ("native=x", "is taken"),
            ("x=", "command is empty"),
            ("x='", "cannot split"),
        ] {
            let error = Runtime::parse(text).unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }

    #[test]
    fn missing_bevor_is_named() {
        let error = Runtime::default_bevor(Path::new("/nonexistent/bevor-harness")).unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/bevor does not exist");
    }
}
