//! What is to run, checked as far as the host side can.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use bevor_gofer::Mask;
use bevor_gofer::confine::MountConfig;

use bevor_platform::Defences;

use crate::cli::{DoArgs, Switch};
use crate::failure::Failure;

/// A host file or directory shown inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where and how the gofer serves it.
    pub(crate) host: MountConfig,
    /// Absolute path inside, without "." and "..".
    pub(crate) destination: PathBuf,
}

/// A checked `bevor do`.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "read by the kernel, which is linked in by the change that takes these")]
pub(crate) struct Spec {
    /// Number 0 is the root.
    pub(crate) mounts: Vec<Mount>,
    /// Host files and directories that are shown empty.
    pub(crate) masks: Vec<Mask>,
    /// The command and its arguments; not empty.
    pub(crate) command: Vec<OsString>,
    /// `K=V` each.
    pub(crate) environment: Vec<OsString>,
    /// Working directory inside; the flag says that a missing one is an error.
    pub(crate) cwd: PathBuf,
    /// Whether `cwd` was asked for: if it was not and is missing, / is used.
    pub(crate) cwd_required: bool,
    /// Bytes that the sandbox's kernel may keep for applications.
    pub(crate) file_memory: u64,
    pub(crate) strace: bool,
    pub(crate) hints: bool,
    pub(crate) debug_log: Option<std::fs::File>,
    pub(crate) local_calls: bool,
    pub(crate) boot_nonce: Option<String>,
    /// Call and kind.
    pub(crate) fault: Option<(String, String)>,
    pub(crate) torture: Option<u64>,
    pub(crate) defences: Defences,
}

impl Spec {
    pub(crate) fn new(args: DoArgs) -> Result<Self, Failure> {
        #[cfg(feature = "test-faults")]
        let fault = args.fault.as_deref().map(parse_fault).transpose()?;
        #[cfg(not(feature = "test-faults"))]
        let fault = None;
        if args.command.is_empty() || args.command[0].is_empty() {
            return Err(Failure::new("no command given; put it last, after '--': bevor do -- CMD [ARG]..."));
        }
        let mut mounts = vec![Mount {
            host: MountConfig { source: checked_root(&args.root)?, read_only: true, suid: false },
            destination: PathBuf::from("/"),
        }];
        for bind in &args.bind {
            mounts.push(parse_bind(bind)?);
        }
        let masks = args.hide.iter().map(|path| parse_hide(path, &mounts)).collect::<Result<_, _>>()?;
        let cwd_required = args.cwd.is_some();
        let cwd = match args.cwd {
            Some(dir) if dir.is_absolute() => dir,
            Some(dir) => return Err(Failure::new(format_args!("--cwd {}: not an absolute path", dir.display()))),
            None => std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        };
        let debug_log = args.debug_log.as_deref().map(open_log).transpose()?;
        Ok(Self {
            mounts,
            masks,
            command: args.command,
            environment: environment(args.clean_env, &args.env)?,
            cwd,
            cwd_required,
            file_memory: args.file_memory.unwrap_or_else(crate::memory::default_limit),
            strace: args.strace,
            hints: args.hints,
            debug_log,
            local_calls: args.local_calls == Switch::On,
            boot_nonce: args.boot_nonce,
            fault,
            torture: args.torture,
            #[cfg(debug_assertions)]
            defences: Defences::without(args.weaken),
            #[cfg(not(debug_assertions))]
            defences: Defences::default(),
        })
    }

    /// A sandbox over the host's root, with `directory` writable as mount 1, that runs no command.
    #[cfg(feature = "test-faults")]
    pub(crate) fn for_selftest(directory: Option<OsString>) -> Result<Self, Failure> {
        let bind = directory.map(|mut directory| {
            directory.push(":/bound");
            directory
        });
        Self::new(DoArgs {
            bind: bind.into_iter().collect(),
            root: PathBuf::from("/"),
            command: vec![OsString::from("selftest")],
            ..DoArgs::default()
        })
    }

    /// The mounts as the gofer wants them.
    pub(crate) fn gofer_mounts(&self) -> Vec<MountConfig> {
        self.mounts.iter().map(|mount| mount.host.clone()).collect()
    }
}

fn checked_root(root: &Path) -> Result<PathBuf, Failure> {
    let full = root.canonicalize().map_err(|e| Failure::new(format_args!("--root {}: {}", root.display(), why(&e))))?;
    if !full.is_dir() {
        return Err(Failure::new(format_args!("--root {}: not a directory", root.display())));
    }
    Ok(full)
}

/// SRC:DST and options, each after a ':': ro or rw, suid. A ':' cannot be part of a path here.
fn parse_bind(bind: &OsStr) -> Result<Mount, Failure> {
    let shown = bind.to_string_lossy();
    let parts: Vec<&[u8]> = bind.as_bytes().split(|&b| b == b':').collect();
    let expected = || Failure::new(format_args!("--bind {shown}: expected SRC:DST, then perhaps :ro or :suid"));
    let [source, destination, options @ ..] = &parts[..] else {
        return Err(expected());
    };
    let (mut read_only, mut suid) = (false, false);
    for option in options {
        match *option {
            b"ro" => read_only = true,
            b"rw" => read_only = false,
            b"suid" => suid = true,
            _ => return Err(expected()),
        }
    }
    let source = Path::new(OsStr::from_bytes(source));
    let full = source
        .canonicalize()
        .map_err(|e| Failure::new(format_args!("--bind {shown}: source {}: {}", source.display(), why(&e))))?;
    let kind =
        full.metadata().map_err(|e| Failure::new(format_args!("--bind {shown}: source {}: {}", source.display(), why(&e))))?;
    if !kind.is_dir() && !kind.is_file() {
        return Err(Failure::new(format_args!(
            "--bind {shown}: source {}: neither a directory nor a regular file",
            source.display()
        )));
    }
    let destination = Path::new(OsStr::from_bytes(destination));
    if !destination.is_absolute() {
        return Err(Failure::new(format_args!("--bind {shown}: destination {}: not an absolute path", destination.display())));
    }
    let destination = normal(destination)
        .ok_or_else(|| Failure::new(format_args!("--bind {shown}: destination {}: '..' leads nowhere", destination.display())))?;
    if destination == Path::new("/") {
        return Err(Failure::new(format_args!("--bind {shown}: destination /: use --root to replace the root")));
    }
    Ok(Mount { host: MountConfig { source: full, read_only, suid }, destination })
}

/// A path of the host, whose links are followed here, so that what they lead to is hidden.
fn parse_hide(path: &Path, mounts: &[Mount]) -> Result<Mask, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::new(format_args!("--hide {}: {why}", path.display()));
    if !path.is_absolute() {
        return Err(failed(&"not an absolute path"));
    }
    let full = path.canonicalize().map_err(|e| failed(&why(&e)))?;
    if full.starts_with("/proc") || full.starts_with("/dev") && !full.starts_with("/dev/shm") {
        return Err(failed(&"the sandbox has a /proc and a /dev of its own, and shows nothing of the host's"));
    }
    if let Some(mount) = mounts.iter().find(|mount| mount.host.source == full) {
        let option = if mount.destination == Path::new("/") { "--root" } else { "--bind" };
        return Err(failed(&format_args!("{option} shows the same; leave one of them out")));
    }
    Mask::new(&full).map_err(|e| failed(&why(&e)))
}

/// The path without "." ; none with "..", which may mean something else inside.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => return None,
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    Some(out)
}

/// The caller's environment (or, if `clean`, none, as `env -i`) with the changes of `--env`.
fn environment(clean: bool, changes: &[OsString]) -> Result<Vec<OsString>, Failure> {
    let mut all: Vec<(OsString, OsString)> = if clean { Vec::new() } else { std::env::vars_os().collect() };
    for change in changes {
        let bytes = change.as_bytes();
        let Some(at) = bytes.iter().position(|&b| b == b'=').filter(|&at| at > 0) else {
            return Err(Failure::new(format_args!("--env {}: expected K=V", change.to_string_lossy())));
        };
        let (key, value) = (OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..]));
        match all.iter_mut().find(|(k, _)| k == key) {
            Some(entry) => entry.1 = value.to_os_string(),
            None => all.push((key.to_os_string(), value.to_os_string())),
        }
    }
    Ok(all
        .into_iter()
        .map(|(k, v)| {
            let mut entry = k.into_vec();
            entry.push(b'=');
            entry.extend_from_slice(v.as_bytes());
            OsString::from_vec(entry)
        })
        .collect())
}

fn open_log(path: &Path) -> Result<std::fs::File, Failure> {
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| Failure::new(format_args!("--debug-log {}: {}", path.display(), why(&e))))
}

#[cfg(feature = "test-faults")]
fn parse_fault(fault: &str) -> Result<(String, String), Failure> {
    const KINDS: [&str; 5] = ["noop-success", "wrong-errno", "drop-flags", "short-count", "effect-skipped"];
    match fault.split_once(':') {
        Some((call, kind)) if !call.is_empty() && KINDS.contains(&kind) => Ok((call.to_owned(), kind.to_owned())),
        _ => Err(Failure::new(format_args!("--fault {fault}: expected CALL:KIND with KIND one of {}", KINDS.join(", ")))),
    }
}

/// A host error in the words of strerror(3), without Rust's "(os error N)".
pub(crate) fn why(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
