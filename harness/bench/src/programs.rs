//! The measuring programs: embedded in this library, written to a temporary directory to be run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::accounting::only_children;

const MICROBENCH: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/microbench"));
const MICROBENCH_STATIC: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/microbench-static"));
const WAITBENCH: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/waitbench"));
/// Source of the Go program, compiled when the benchmark runs because Go is optional.
pub(crate) const GO_SOURCE: &str = include_str!("../go/microbench.go");

/// The installed programs. They are removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Programs {
    /// `microbench`, dynamically linked.
    pub(crate) dynamic: PathBuf,
    /// `microbench`, statically linked, if a static C library was there at build time.
    pub(crate) static_: Option<PathBuf>,
    /// `waitbench`.
    pub(crate) waitbench: PathBuf,
    dir: TempDir,
}

impl Programs {
    /// Writes the programs beside the running executable or, if that is impossible or below `/tmp`, to `/var/tmp`: in place of `/tmp`
    /// sandboxes like to mount something of their own.
    pub(crate) fn install() -> Result<Self> {
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
        let beside = beside.filter(|dir| !dir.starts_with("/tmp"));
        let builder = || tempfile::Builder::new().prefix("bevor-bench-").to_owned();
        let dir = beside
            .and_then(|dir| builder().tempdir_in(dir).ok())
            .map_or_else(|| builder().tempdir_in("/var/tmp"), Ok)
            .context("cannot make a directory for the measuring programs")?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let write = |name: &str, contents: &[u8]| -> Result<PathBuf> {
            let path = dir.path().join(name);
            fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
            fs::set_permissions(&path, Permissions::from_mode(0o755))?;
            Ok(path)
        };
        Ok(Self {
            dynamic: write("microbench", MICROBENCH)?,
            static_: match MICROBENCH_STATIC {
                [] => None,
                contents => Some(write("microbench-static", contents)?),
            },
            waitbench: write("waitbench", WAITBENCH)?,
            dir,
        })
    }

    /// Compiles the Go program with the given command, or with `go` from PATH. The error says why
    /// there is none.
    pub(crate) fn build_go(&self, go: Option<&Path>) -> Result<PathBuf> {
        let source = self.dir.path().join("microbench.go");
        let program = self.dir.path().join("microbench-go");
        fs::write(&source, GO_SOURCE)?;
        let go = go.unwrap_or(Path::new("go"));
        let mut command = Command::new(go);
        command
            .arg("build")
            .arg("-o")
            .arg(&program)
            .arg(&source)
            .current_dir(self.dir.path())
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .env_remove("GOFLAGS");
        if std::env::var_os("HOME").is_none() {
            command.env("GOCACHE", self.dir.path().join("go-cache"));
        }
        let _only = only_children();
        let output = command.output().with_context(|| format!("cannot run {}", go.display()))?;
        anyhow::ensure!(
            output.status.success(),
            "{} build failed: {}",
            go.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(program)
    }
}
