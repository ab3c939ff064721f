//! Compiles every C probe and links them into `probes-c`; needs nothing but gcc and libc's headers and archive.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

/// Flags of every compilation.
const FLAGS: [&str; 9] =
    ["-std=gnu11", "-O2", "-g1", "-Wall", "-Wextra", "-Werror", "-fno-stack-protector", "-fno-pie", "-fno-strict-aliasing"];

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for dir in ["include", "support", "probes"] {
        println!("cargo:rerun-if-changed={}", root.join(dir).display());
    }
    let mut sources = Vec::new();
    collect(&root.join("support"), "c", &mut sources)?;
    collect(&root.join("probes"), "c", &mut sources)?;
    sources.sort();
    let mut headers = Vec::new();
    collect(&root.join("include"), "h", &mut headers)?;
    let newest_header = newest(&headers)?;

    let mut objects = Vec::new();
    let mut running: Vec<(PathBuf, Child)> = Vec::new();
    let width = std::thread::available_parallelism()?.get();
    for source in &sources {
        let name = source.strip_prefix(&root)?.display().to_string();
        let object = out.join(name.replace('/', "-")).with_extension("o");
        objects.push(object.clone());
        let changed = modified(source)?.max(newest_header);
        if modified(&object).is_ok_and(|built| built > changed) {
            continue;
        }
        if running.len() >= width {
            finish(running.remove(0))?;
        }
        let child = compiler()
            .args(FLAGS)
            .arg("-I")
            .arg(root.join("include"))
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(&object)
            .spawn()
            .context("can't start the C compiler")?;
        running.push((object, child));
    }
    for job in running {
        finish(job)?;
    }

    let binary = out.join("probes-c");
    let status =
        compiler().args(["-static", "-no-pie", "-o"]).arg(&binary).args(&objects).status().context("can't start the linker")?;
    ensure!(status.success(), "linking probes-c failed: {status}");
    println!("cargo:rustc-env=BEVOR_PROBES_C={}", binary.display());

    // OUT_DIR is target/<profile>/build/<crate>-<hash>/out.
    let profile = out.ancestors().nth(3).context("OUT_DIR is not in a target folder")?;
    let copy = profile.join("probes-c");
    let fresh = profile.join(format!(".probes-c.{}", std::process::id()));
    fs::copy(&binary, &fresh)?;
    // As old as the sources, so that cargo takes the copy for an input that hasn't changed, and makes it anew if it is gone.
    File::options().write(true).open(&fresh)?.set_modified(newest(&sources)?)?;
    fs::rename(&fresh, &copy)?;
    println!("cargo:rerun-if-changed={}", copy.display());
    Ok(())
}

fn compiler() -> Command {
    cc::Build::new().no_default_flags(true).warnings(false).get_compiler().to_command()
}

fn finish((object, mut child): (PathBuf, Child)) -> Result<()> {
    let status = child.wait()?;
    if !status.success() {
        // A half-written object must not look up to date to the next build.
        let _ = fs::remove_file(&object);
        bail!("compiling {} failed: {status}", object.display());
    }
    Ok(())
}

fn collect(dir: &Path, extension: &str, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            println!("cargo:rerun-if-changed={}", path.display());
            collect(&path, extension, into)?;
        } else if path.extension().is_some_and(|e| e == extension) {
            into.push(path);
        }
    }
    Ok(())
}

fn newest(paths: &[PathBuf]) -> Result<SystemTime> {
    let mut latest = SystemTime::UNIX_EPOCH;
    for path in paths {
        latest = latest.max(modified(path)?);
    }
    Ok(latest)
}

fn modified(path: &Path) -> Result<SystemTime> {
    Ok(fs::metadata(path)?.modified()?)
}
