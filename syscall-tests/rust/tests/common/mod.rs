//! What the tests share: the manifests, the binaries and the agent.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value as Json, json};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    pub family: String,
    pub probes: Vec<Probe>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    C,
    Rust,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub id: String,
    pub lang: Lang,
    #[serde(default)]
    pub needs: Needs,
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    #[serde(default)]
    pub exclusive: bool,
    #[serde(default)]
    pub normalisers: Vec<Normaliser>,
    pub covers: Vec<String>,
}

fn default_timeout() -> u64 {
    10_000
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    pub kernel: Option<String>,
    #[serde(default)]
    pub caps: Vec<String>,
    pub device: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normaliser {
    pub field: String,
    #[serde(rename = "as")]
    pub as_: String,
    pub why: String,
}

/// `CALL`, `CALL/flag:X`, `CALL/op:X`, `CALL/errno:X`, or a path of /proc, /sys, /dev.
pub fn is_catalogue_item(item: &str) -> bool {
    let word =
        |w: &str, extra: &str| !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || extra.contains(c));
    if let Some(path) = item.strip_prefix('/') {
        return word(path, "/.-*");
    }
    match item.split_once('/') {
        None => word(item, ""),
        Some((call, rest)) => {
            word(call, "")
                && rest.split_once(':').is_some_and(|(kind, name)| ["flag", "op", "errno"].contains(&kind) && word(name, ""))
        }
    }
}

pub fn families() -> Vec<Family> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&dir).expect("the manifests' folder").map(|e| e.expect("its entry").path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).expect("a manifest");
            let family: Family = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(
                path.file_stem().and_then(|s| s.to_str()),
                Some(family.family.as_str()),
                "a manifest is named like its family"
            );
            family
        })
        .collect()
}

pub fn probes_rust() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_probes-rust"))
}

pub fn listed(lang: Lang) -> Vec<String> {
    let program = match lang {
        Lang::C => Path::new(bevor_probes_c::PROBES_C),
        Lang::Rust => probes_rust(),
    };
    let out = Command::new(program).arg("list").output().expect("list");
    assert!(out.status.success());
    String::from_utf8(out.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// A started agent.
pub struct Agent {
    child: Child,
    orders: ChildStdin,
    events: BufReader<ChildStdout>,
    _home: tempfile::TempDir,
    work: tempfile::TempDir,
}

impl Agent {
    /// Starts the agent with both binaries beside each other, as in `target/<profile>`.
    pub fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let work = tempfile::tempdir().expect("a temporary folder");
        let agent = home.path().join("probes-rust");
        std::fs::copy(probes_rust(), &agent).expect("copy probes-rust");
        std::fs::copy(bevor_probes_c::PROBES_C, home.path().join("probes-c")).expect("copy probes-c");
        let mut child = Command::new(agent)
            .arg("agent")
            .env("TMPDIR", work.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the agent");
        Self {
            orders: child.stdin.take().expect("stdin"),
            events: BufReader::new(child.stdout.take().expect("stdout")),
            child,
            _home: home,
            work,
        }
    }

    /// Where the agent makes the probes' folders.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    pub fn order(&mut self, order: &Json) {
        writeln!(self.orders, "{order}").expect("the agent takes orders");
    }

    pub fn event(&mut self) -> Json {
        let mut line = String::new();
        self.events.read_line(&mut line).expect("an event");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    /// Runs a probe: its lines and how it ended.
    pub fn run(&mut self, id: &str, lang: Lang, timeout_ms: u64) -> (Vec<String>, Json) {
        let lang = match lang {
            Lang::C => "c",
            Lang::Rust => "rust",
        };
        self.order(&json!({"run": id, "lang": lang, "timeout_ms": timeout_ms}));
        let mut lines = Vec::new();
        loop {
            let event = self.event();
            if let Some(done) = event.get("done") {
                assert_eq!(done["probe"], id);
                return (lines, done.clone());
            }
            assert_eq!(event["probe"], id);
            lines.push(event["line"].as_str().expect("a line").to_owned());
        }
    }

    pub fn quit(mut self) {
        self.order(&json!({"quit": true}));
        assert!(self.child.wait().expect("the agent ends").success());
    }
}
