//! Where things are: the repository, the built binaries, the manifests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::container::{Agent, Column, NONCE, bind_for};
use crate::error::{Error, Result};
use crate::manifest::{self, Family, Lang};
use crate::runner::NATIVE;

/// The default sandbox column.
pub const BEVOR: &str = "bevor";

/// Modes of it: columns of their own that differ from it only where their expectations say so.
pub const MODES: [(&str, &[&str]); 4] = [
    ("bevor-overlay", &["--env", "TMPDIR=/var/tmp"]),
    ("bevor-bind", &["--bind", "{work}:/media", "--env", "TMPDIR=/media"]),
    ("bevor-local-off", &["--local-calls=off"]),
    ("bevor-torture", &["--torture=1"]),
];

/// The columns of a run that names none.
pub const DEFAULT: [&str; 4] = [BEVOR, "bevor-overlay", "bevor-bind", "bevor-local-off"];

/// The column whose expectations hold in `column`, too, unless it has its own on the same observation.
#[must_use]
pub fn base(column: &str) -> Option<&'static str> {
    MODES.iter().any(|(name, _)| *name == column).then_some(BEVOR)
}

/// Folder of the built binaries: this program's own, or the one above for test binaries in `deps`.
///
/// # Errors
/// [`Error::Infrastructure`] if this program's path is unknown.
pub fn bin_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().map_err(|e| Error::infra(format!("own path: {e}")))?;
    let dir = exe.parent().unwrap_or(Path::new("/"));
    Ok(if dir.ends_with("deps") { dir.parent().unwrap_or(dir).to_path_buf() } else { dir.to_path_buf() })
}

/// The repository: the nearest folder above the working directory, else above this program, with `syscall-tests`.
///
/// # Errors
/// [`Error::Input`] if there is none.
pub fn repository() -> Result<PathBuf> {
    let starts = [std::env::current_dir().ok(), bin_dir().ok()];
    starts
        .iter()
        .flatten()
        .flat_map(|p| p.ancestors())
        .find(|p| p.join("syscall-tests").is_dir() && p.join("compat-table").is_dir())
        .map(Path::to_path_buf)
        .ok_or_else(|| Error::input("not inside of the repository (no folder above holds syscall-tests and compat-table)"))
}

/// The probes to choose from and the agent that runs them.
#[derive(Debug)]
pub struct Suite {
    /// Families by manifest.
    pub families: Vec<Family>,
    /// The agent's command.
    pub agent: Agent,
    /// Bind mounts that the native jail needs to see the agent.
    pub binds: Vec<String>,
}

/// The harness's program: this one, or the one beside a test binary.
///
/// # Errors
/// [`Error::Infrastructure`] if it isn't there.
pub fn harness() -> Result<PathBuf> {
    let path = bin_dir()?.join("bevor-harness");
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::infra(format!("no {}", path.display())))
}

/// The built-in fixture probes.
///
/// # Errors
/// [`Error::Infrastructure`] if the harness's own path is unknown.
pub fn fixture() -> Result<Suite> {
    let exe = harness()?;
    let family: Family =
        serde_yaml::from_str(crate::fixture::MANIFEST).map_err(|e| Error::infra(format!("the fixture's manifest: {e}")))?;
    Ok(Suite {
        families: vec![family],
        binds: bind_for(&exe).into_iter().collect(),
        agent: Agent { command: vec![text(&exe)?, "fixture".into(), "agent".into()] },
    })
}

/// Folder of the manifests: `given`, or the repository's.
///
/// # Errors
/// As [`repository`].
pub fn manifests_dir(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(dir) => Ok(dir.to_path_buf()),
        None => Ok(repository()?.join("syscall-tests/manifests")),
    }
}

/// The real probes: manifests of the repository (or `manifests`), binaries beside this program (or in `bin`).
///
/// # Errors
/// [`Error::Input`] for faulty manifests.
pub fn suite(manifests: Option<&Path>, bin: Option<&Path>) -> Result<Suite> {
    let dir = manifests_dir(manifests)?;
    let mut families = manifest::load(&dir)?;
    crate::trace::apply(&mut families, &crate::trace::load(&crate::trace::path(&dir))?);
    let program = match bin {
        Some(dir) => dir.to_path_buf(),
        None => bin_dir()?,
    }
    .join("probes-rust");
    Ok(Suite {
        families,
        binds: bind_for(&program).into_iter().collect(),
        agent: Agent { command: vec![text(&program)?, "agent".into()] },
    })
}

impl Suite {
    /// Fails unless the agent's program is there.
    ///
    /// # Errors
    /// [`Error::Infrastructure`] saying how to build it.
    pub fn require_built(&self) -> Result<()> {
        match self.agent.command.first() {
            Some(p) if Path::new(p).is_file() => Ok(()),
            p => Err(Error::infra(format!(
                "{} is not built: run `cargo build --release --workspace`, or give --probes-dir",
                p.map_or("the agent", String::as_str)
            ))),
        }
    }

    /// The binary with the probes of `lang`.
    #[must_use]
    pub fn program(&self, lang: Lang) -> PathBuf {
        let agent = Path::new(self.agent.command.first().map_or("", String::as_str));
        match lang {
            Lang::C => agent.with_file_name("probes-c"),
            Lang::Rust => agent.to_path_buf(),
        }
    }

    /// What the binary of `lang` lists.
    ///
    /// # Errors
    /// [`Error::Infrastructure`] if it can't be run.
    pub fn listed(&self, lang: Lang) -> Result<Vec<String>> {
        let program = self.program(lang);
        let out = Command::new(&program)
            .arg("list")
            .output()
            .map_err(|e| Error::infra(format!("can't run {} list: {e}", program.display())))?;
        if !out.status.success() {
            return Err(Error::infra(format!("{} list: {}", program.display(), out.status)));
        }
        Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
    }

    /// The native column.
    ///
    /// # Errors
    /// [`Error::Infrastructure`] if the harness's own path is unknown.
    pub fn native(&self) -> Result<Column> {
        self.jailed(NATIVE, &[])
    }

    /// A column in the native jail with `inner` between the jail and the agent.
    ///
    /// # Errors
    /// [`Error::Infrastructure`] if the harness's own path is unknown.
    pub fn jailed(&self, name: &str, inner: &[String]) -> Result<Column> {
        let exe = harness()?;
        let mut binds = self.binds.clone();
        binds.extend(bind_for(&exe));
        binds.dedup();
        let mut command = vec![text(&exe)?, "jail".into()];
        for bind in binds {
            command.extend(["--bind".into(), bind]);
        }
        command.push("--".into());
        command.extend_from_slice(inner);
        Ok(Column { name: name.into(), command })
    }
}

/// The default column: `bevor do --boot-nonce N [extra…] --`, with the `bevor` beside this program.
///
/// # Errors
/// [`Error::Infrastructure`] if this program's path is unknown.
pub fn bevor(extra: &[String]) -> Result<Column> {
    let program = bin_dir()?.join("bevor");
    let mut command = vec![text(&program)?, "do".into(), "--boot-nonce".into(), NONCE.into()];
    // The sandbox has a /tmp of its own; the repository may lie in the host's.
    if let Some(bind) = bind_for(&program) {
        command.extend(["--bind".into(), bind]);
    }
    command.extend_from_slice(extra);
    command.push("--".into());
    Ok(Column { name: BEVOR.into(), command })
}

/// Names of the calls that the `bevor` beside this program answers at all.
///
/// # Errors
/// [`Error::Infrastructure`] if it can't be run or says something else.
pub fn answered() -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Line {
        name: String,
        answered: bool,
    }
    let program = bin_dir()?.join("bevor");
    let bad = |e: &dyn std::fmt::Display| Error::infra(format!("{} syscalls: {e}", program.display()));
    let out = Command::new(&program).arg("syscalls").output().map_err(|e| bad(&e))?;
    let lines =
        String::from_utf8_lossy(&out.stdout).lines().map(serde_json::from_str).collect::<std::result::Result<Vec<Line>, _>>();
    let lines = lines.map_err(|e| bad(&e))?;
    if lines.is_empty() {
        return Err(bad(&"it lists no call"));
    }
    Ok(lines.into_iter().filter(|l| l.answered).map(|l| l.name).collect())
}

/// `NAME=CMD…`, or `bevor` alone for the default command. `{nonce}` in CMD is replaced by the boot nonce,
/// which the column then has to show in its kernel log.
///
/// # Errors
/// [`Error::Input`] if it isn't of that form.
pub fn column(spec: &str) -> Result<Column> {
    if spec == BEVOR {
        return bevor(&[]);
    }
    if let Some((name, extra)) = MODES.iter().find(|(name, _)| *name == spec) {
        let extra: Vec<String> = extra.iter().map(|a| (*a).to_owned()).collect();
        return Ok(Column { name: (*name).into(), ..bevor(&extra)? });
    }
    let bad = |why: &str| Error::input(format!("--runtime `{spec}`: {why}"));
    let (name, command) = spec.split_once('=').ok_or_else(|| bad("not NAME=CMD"))?;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(bad("a name is letters, digits, `-`, `_`, `.`"));
    }
    if name == NATIVE {
        return Err(bad("native is the reference"));
    }
    let command =
        shell_words::split(command).ok().filter(|c| !c.is_empty()).ok_or_else(|| bad("no command, or an open quote"))?;
    Ok(Column { name: name.into(), command })
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| Error::infra(format!("{} is not UTF-8", path.display())))
}
