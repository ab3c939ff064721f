//! What the gate promises, each point broken on purpose: the steps of `ci/` that call the harness, `lint`, `table` and `catalogue`.
//! How a run itself goes red is in `end_to_end.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use duct::cmd;

const HARNESS: &str = env!("CARGO_BIN_EXE_bevor-harness");

struct Output {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(program: &Path, args: &[&str]) -> Output {
    let out = cmd(program, args).stdout_capture().stderr_capture().unchecked().run().unwrap();
    Output {
        code: out.status.code().unwrap(),
        stdout: String::from_utf8(out.stdout).unwrap(),
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A checkout with the steps of `ci/` and nothing built.
fn checkout() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(&repository().join("ci"), &dir.path().join("ci"));
    dir
}

#[test]
fn the_step_fails_without_a_harness_and_with_one_that_cannot_check() {
    let dir = checkout();
    let step = dir.path().join("ci/gate.sh");
    let out = run(&step, &[]);
    assert_eq!(out.code, 1, "{}", out.stdout);
    assert!(out.stderr.contains("build it with ci/build.sh"), "{}", out.stderr);
    script(&dir.path().join("target/release/bevor-harness"), "exit 0");
    let out = run(&step, &[]);
    assert_eq!(out.code, 1, "a harness that says nothing of checks");
}

#[test]
fn the_step_runs_and_requires_every_column_and_ends_as_the_harness_does() {
    let dir = checkout();
    let step = dir.path().join("ci/gate.sh");
    let said = dir.path().join("said");
    let fake = |selfcheck: i32, run: i32| {
        let text = format!(
            "case $1 in --help) echo selfcheck;; selfcheck) exit {selfcheck};; run) echo \"$@\" >{}; exit {run};; esac",
            said.display()
        );
        script(&dir.path().join("target/release/bevor-harness"), &text);
        crate::run(&step, &[]).code
    };
    assert_eq!(fake(0, 0), 0);
    let words = fs::read_to_string(&said).unwrap();
    for column in ["bevor", "bevor-overlay", "bevor-bind", "bevor-local-off", "bevor-torture"] {
        assert!(words.contains(&format!("--runtime {column} --require {column}")), "{column}: {words}");
    }
    for code in [1, 2, 3, 64] {
        assert_eq!(fake(0, code), code);
    }
    fs::remove_file(&said).unwrap();
    assert_eq!(fake(1, 0), 1);
    assert!(!said.exists(), "nothing is measured by a harness that fails its own check");
}

#[test]
fn the_table_step_fails_with_each_of_its_checks() {
    let dir = checkout();
    for (failing, code) in [("none", 0), ("catalogue", 2), ("lint", 1), ("table", 2)] {
        let text = format!("case $1 in {failing}) exit {code};; esac");
        script(&dir.path().join("target/release/bevor-harness"), &text);
        assert_eq!(run(&dir.path().join("ci/table.sh"), &[]).code, code, "{failing}");
    }
    let step = fs::read_to_string(dir.path().join("ci/table.sh")).unwrap();
    for checked in ["catalogue --check", "lint --results", "table --check --min-agree 97"] {
        assert!(step.contains(checked), "{checked}");
    }
}

/// Two probes, and the programs that have them, in which faults can be planted.
struct Suite {
    dir: tempfile::TempDir,
    covers: &'static str,
    answered: &'static str,
    listed: &'static str,
    /// `FOLDER/FILE` and its text.
    expectation: Option<(&'static str, &'static str)>,
    unprobed: &'static str,
    traced: &'static str,
    /// The errno that native Linux answered.
    errno: &'static str,
}

impl Suite {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            covers: "read, 'read/errno:EBADF'",
            answered: r#"{"name":"read","answered":true} {"name":"getpmsg","answered":false}"#,
            listed: "f/p",
            expectation: None,
            unprobed: "{}",
            traced: "f/p: []",
            errno: "EBADF",
        }
    }

    fn lint(&self) -> Output {
        let path = |name: &str| self.dir.path().join(name);
        let text = |name: &str| path(name).to_str().unwrap().to_owned();
        fs::create_dir_all(path("manifests")).unwrap();
        let manifest = format!("family: f\nprobes:\n  - {{ id: f/p, lang: c, covers: [{}] }}\n", self.covers);
        fs::write(path("manifests/f.yaml"), manifest).unwrap();
        fs::write(path("traced.yaml"), self.traced).unwrap();
        // The harness looks for the others beside itself.
        fs::create_dir_all(path("bin")).unwrap();
        if !path("bin/bevor-harness").exists() {
            fs::hard_link(HARNESS, path("bin/bevor-harness"))
                .or_else(|_| fs::copy(HARNESS, path("bin/bevor-harness")).map(|_| ()))
                .unwrap();
        }
        script(&path("bin/probes-c"), &format!("for id in {}; do echo $id; done", self.listed));
        script(&path("bin/probes-rust"), "exit 0");
        script(&path("bin/bevor"), &format!("cat <<E\n{}\nE", self.answered.replace("} {", "}\n{")));
        fs::create_dir_all(path("expectations")).unwrap();
        fs::write(path("expectations/unprobed.yaml"), self.unprobed).unwrap();
        if let Some((name, content)) = self.expectation {
            fs::create_dir_all(path("expectations").join(name).parent().unwrap()).unwrap();
            fs::write(path("expectations").join(name), content).unwrap();
        }
        let results = format!(
            r#"{{"schema": 2, "reference": "native", "columns": [], "probes": [{{"id": "f/p", "family": "f", "lang": "c",
            "covers": ["read", "read/errno:EBADF"], "observations": [{{"id": "o", "call": "read",
            "reference": {{"errno": "{}"}}, "columns": {{}}}}]}}]}}"#,
            self.errno
        );
        fs::write(path("results.json"), results).unwrap();
        let (manifests, expectations, results) = (text("manifests"), text("expectations"), text("results.json"));
        run(
            &path("bin/bevor-harness"),
            &["lint", "--manifests", &manifests, "--expectations", &expectations, "--results", &results],
        )
    }

    fn is_red(&self, fault: &str) {
        let out = self.lint();
        assert_eq!(out.code, 1, "{fault}: {}{}", out.stdout, out.stderr);
        assert!(out.stdout.contains(fault), "{fault}: {}", out.stdout);
        assert_eq!(out.stdout.lines().count(), 1, "{}", out.stdout);
    }
}

#[test]
fn lint_is_green_without_a_fault() {
    let out = Suite::new().lint();
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
}

#[test]
fn lint_is_red_for_an_item_that_the_catalogue_lacks() {
    let covers = "read, 'read/errno:EBADF', 'read/flag:O_NEW'";
    let suite = Suite { covers, traced: "f/p: ['read/flag:O_NEW']", ..Suite::new() };
    suite.is_red("f/p: the catalogue has no `read/flag:O_NEW`");
}

#[test]
fn lint_is_red_for_an_errno_that_native_linux_did_not_answer() {
    Suite { errno: "EINVAL", ..Suite::new() }.is_red("f/p read/errno:EBADF: native Linux did not answer it");
}

#[test]
fn lint_is_red_for_a_flag_that_no_trace_shows_and_for_a_probe_without_a_trace() {
    let covers = "openat, 'openat/flag:O_EXCL'";
    let suite = |traced: &'static str| Suite { covers, traced, answered: r#"{"name":"openat","answered":true}"#, ..Suite::new() };
    assert_eq!(suite("f/p: ['openat/flag:O_EXCL', 'openat/flag:O_CREAT']").lint().code, 0);
    suite("f/p: ['openat/flag:O_CREAT']").is_red("f/p: covers `openat/flag:O_EXCL`, and the trace doesn't show it");
    suite("{}").is_red("f/p: traced.yaml doesn't have it");
    suite("f/p: ['openat/flag:O_EXCL']\nf/q: []").is_red("traced.yaml: f/q doesn't exist");
}

#[test]
fn lint_is_red_for_a_handler_without_a_probe_and_for_a_needless_excuse() {
    let answered = r#"{"name":"read","answered":true} {"name":"close","answered":true}"#;
    Suite { answered, ..Suite::new() }.is_red("close: the kernel has a handler, and no probe covers it");
    let excused = Suite { answered, unprobed: "close: 'why'", ..Suite::new() };
    assert_eq!(excused.lint().code, 0);
    Suite { unprobed: "close: 'why'", ..Suite::new() }.is_red("unprobed.yaml: close need not be there");
}

#[test]
fn lint_is_red_for_probes_that_are_built_or_listed_only() {
    Suite { listed: "f/p f/q", ..Suite::new() }.is_red("f/q: in probes-c, but in no manifest");
    Suite { listed: "", ..Suite::new() }.is_red("f/p: in a manifest, but not in probes-c");
}

#[test]
fn lint_is_red_for_expectations_of_nothing_in_no_column_or_without_a_feature() {
    let entry = |text: &'static str, name: &'static str| Suite { expectation: Some((name, text)), ..Suite::new() };
    let text = "column: bevor\nfamily: f\nexpectations:\n- { probe: f/p, obs: o, state: known-diff, fields: [{ field: ret, native: '1', \
                sandbox: '2' }], reason: its count is one more, issue: '7' }\n";
    assert_eq!(entry(text, "bevor/f.yaml").lint().code, 0);
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    entry(leak(text.replace("f/p", "f/gone")), "bevor/f.yaml").is_red("expectation for f/gone, which doesn't exist");
    entry(leak(text.replace("obs: o", "obs: gone")), "bevor/f.yaml").is_red("expectation for f/p gone, which isn't observed");
    entry(leak(text.replace("its count is one more", "not done yet")), "bevor/f.yaml")
        .is_red("the reason names no missing feature");
    entry(leak(text.replace("column: bevor", "column: bevro")), "bevro/f.yaml")
        .is_red("bevro: expectations for a column that doesn't exist");
}

/// Results of the fixture probes against a runtime that lies about `lie`, and a folder for the table.
fn measured(lie: Option<&str>) -> (tempfile::TempDir, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("results.json").to_str().unwrap().to_owned();
    let table = dir.path().join("table");
    for part in ["catalogue", "data", "schema"] {
        copy_folder(&repository().join("compat-table").join(part), &table.join(part));
    }
    let again = match lie {
        None => format!("again={HARNESS} jail --"),
        Some(lie) => format!("again={HARNESS} jail -- {HARNESS} liar --boot-nonce={{nonce}} --lie={lie} --"),
    };
    let none = dir.path().join("none").to_str().unwrap().to_owned();
    run(Path::new(HARNESS), &["run", "--fixture", "--runtime", &again, "--json", &json, "--expectations", &none]);
    let table = table.to_str().unwrap().to_owned();
    (dir, json, table)
}

#[test]
fn a_table_that_differs_from_the_results_is_red() {
    let (_dir, json, table) = measured(None);
    let step = |more: &[&str]| run(Path::new(HARNESS), &[&["table", "--results", &json, "--dir", &table], more].concat());
    assert_eq!(step(&["--check"]).code, 2, "there is none yet");
    assert_eq!(step(&[]).code, 0);
    assert_eq!(step(&["--check"]).code, 0);
    for name in ["TABLE.md", "compat.json", "schema/results.schema.json"] {
        let path = Path::new(&table).join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen('1', "2", 1)).unwrap();
        let out = step(&["--check"]);
        assert_eq!(out.code, 2, "{name}");
        assert!(out.stdout.contains(&format!("stale: {}", path.display())), "{}", out.stdout);
        fs::write(&path, text).unwrap();
    }
    // Other results.
    let (_other, lied, _) = measured(Some("dup=errno:EXDEV"));
    let out = run(Path::new(HARNESS), &["table", "--check", "--results", &lied, "--dir", &table]);
    assert_eq!(out.code, 2);
}

#[test]
fn too_little_agreement_is_red() {
    let (_dir, json, table) = measured(Some("dup=errno:EXDEV"));
    let step = |more: &[&str]| run(Path::new(HARNESS), &[&["table", "--results", &json, "--dir", &table], more].concat());
    assert_eq!(step(&["--min-agree", "50"]).code, 0);
    let out = step(&["--check", "--min-agree", "97"]);
    assert_eq!(out.code, 1, "{}", out.stdout);
    assert!(out.stdout.contains("observations agree"), "{}", out.stdout);
}

#[test]
fn a_catalogue_that_the_committed_facts_do_not_give_is_red() {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(&repository().join("compat-table/catalogue"), &dir.path().join("catalogue"));
    let check = || run(Path::new(HARNESS), &["catalogue", "--check", "--dir", dir.path().to_str().unwrap()]).code;
    assert_eq!(check(), 0);
    for name in ["facts.yaml", "newer.yaml", "syscalls.yaml"] {
        let path = dir.path().join("catalogue").join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("EINVAL", "EDOM", 1)).unwrap();
        assert_eq!(check(), 2, "{name}");
        fs::write(&path, text).unwrap();
    }
}
