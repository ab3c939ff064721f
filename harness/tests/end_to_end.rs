//! The built binary against its fixture probes: every way a run can end, and the documented exit codes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bevor_compat_table::results::Results;
use bevor_harness::container::{Agent, Container, LogPolicy};
use bevor_harness::discover;
use bevor_harness::manifest::{Lang, Needs, Probe};
use bevor_harness::stream::{Outcome, parse};
use duct::cmd;

const HARNESS: &str = env!("CARGO_BIN_EXE_bevor-harness");

struct Output {
    code: i32,
    stdout: String,
    stderr: String,
}

fn harness(args: &[&str]) -> Output {
    let out = cmd(HARNESS, args).stdout_capture().stderr_capture().unchecked().run().unwrap();
    Output {
        code: out.status.code().unwrap(),
        stdout: String::from_utf8(out.stdout).unwrap(),
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

fn run_fixture(dir: &Path, runtime: &str, more: &[&str]) -> (Output, Option<Results>) {
    let json = dir.join("results.json");
    let expectations = dir.join("expectations");
    let mut args = vec!["run", "--fixture", "--json", json.to_str().unwrap(), "--expectations", expectations.to_str().unwrap()];
    if !runtime.is_empty() {
        args.extend(["--runtime", runtime]);
    }
    args.extend(more);
    let out = harness(&args);
    let results = std::fs::read_to_string(&json).ok().map(|t| serde_json::from_str(&t).unwrap());
    (out, results)
}

fn native_again() -> String {
    format!("again={HARNESS} jail --")
}

fn lying(lie: &str) -> String {
    format!("liar={HARNESS} jail -- {HARNESS} liar --boot-nonce={{nonce}} --lie={lie} --")
}

#[test]
fn native_agrees_with_itself_and_exits_0() {
    let dir = tempfile::tempdir().unwrap();
    let (out, results) = run_fixture(dir.path(), &native_again(), &[]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let counts = results.unwrap().counts("again");
    assert_eq!((counts.planned, counts.agree), (11, 11));
    assert!(dir.path().join("results.provenance.json").is_file());
}

#[test]
fn equal_measurements_give_equal_files_whatever_the_seed_and_jobs() {
    let texts: Vec<String> = [["--seed", "1", "--jobs", "1"], ["--seed", "9", "--jobs", "4"]]
        .iter()
        .map(|more| {
            let dir = tempfile::tempdir().unwrap();
            run_fixture(dir.path(), &native_again(), more);
            without_times(&std::fs::read_to_string(dir.path().join("results.json")).unwrap())
        })
        .collect();
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn a_lie_is_a_regression_until_blessed_and_then_stale_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let lie = lying("dup=errno:EXDEV");
    let (out, results) = run_fixture(dir.path(), &lie, &[]);
    assert_eq!(out.code, 1, "{}{}", out.stdout, out.stderr);
    assert!(out.stdout.contains("NEW-DIFF liar fixture/duplicate dup"), "{}", out.stdout);
    assert!(results.unwrap().columns[0].proven);

    let (results, expectations) = (path("results.json"), path("expectations"));
    let bless = ["bless", "--results", &results, "--expectations", &expectations];
    assert_eq!(harness(&bless).code, 64, "a new entry needs a reason");
    let mut worded = bless.to_vec();
    worded.extend(["--reason", "it lies", "--issue", "2"]);
    assert_eq!(harness(&worded).code, 0);
    assert_eq!(run_fixture(dir.path(), &lie, &[]).0.code, 0);
    assert_eq!(run_fixture(dir.path(), &lying("dup=errno:EDOM"), &[]).0.code, 1, "a changed difference is red");
    let (out, _) = run_fixture(dir.path(), &lying("getuid=ret:0"), &[]);
    assert_eq!(out.code, 2, "{}{}", out.stdout, out.stderr);
    assert!(out.stdout.contains("UNEXPECTED-AGREEMENT"));
}

#[test]
fn a_sandbox_that_does_not_prove_itself_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let spec = format!("fake={HARNESS} jail -- /usr/bin/env NONCE={{nonce}}");
    let (out, results) = run_fixture(dir.path(), &spec, &[]);
    assert_eq!(out.code, 3);
    assert!(out.stderr.contains("lacks the boot nonce"), "{}", out.stderr);
    let results = results.unwrap();
    assert!(results.columns[0].not_measured.as_deref().unwrap().contains("lacks the boot nonce"));
    assert!(!results.columns[0].proven);
    assert_eq!(results.counts("fake").planned, 0, "nothing of it is believed");
}

#[test]
fn infrastructure_failures_exit_3_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for runtime in ["dead=/bin/false", "mute=/bin/true", "none=/nonexistent/runtime"] {
        let (out, _) = run_fixture(dir.path(), runtime, &[]);
        assert_eq!(out.code, 3, "{runtime}");
        let (_, results) = run_fixture(dir.path(), runtime, &[]);
        let results = results.unwrap();
        assert!(results.columns[0].not_measured.is_some(), "{runtime}");
        assert_eq!(results.probes.len(), 5, "what was measured natively is written");
        assert_eq!(out.stderr.lines().count(), 1, "{}", out.stderr);
    }
}

#[test]
fn a_runtime_that_is_not_installed_is_not_measured_beside_one_that_is() {
    let dir = tempfile::tempdir().unwrap();
    let (out, results) = run_fixture(dir.path(), &native_again(), &["--runtime", "runsc=/nonexistent/runsc do --"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let why = results.unwrap().columns[1].not_measured.clone().unwrap();
    assert!(why.contains("not installed"));
}

#[test]
fn bad_input_exits_64_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.json"), "{").unwrap();
    std::fs::write(dir.path().join("bad.yaml"), "family: bad\nprobes: 3\n").unwrap();
    let bad_json = dir.path().join("bad.json").to_str().unwrap().to_owned();
    let folder = dir.path().to_str().unwrap().to_owned();
    for args in [
        vec!["run", "--fixture", "--runtime", "nameless"],
        vec!["run", "--fixture", "--runtime", "native=/bin/true"],
        vec!["run", "--fixture", "--runtime", "a='open"],
        vec!["run", "--fixture", "--filter", "zzz"],
        vec!["run", "--fixture", "--call", "zzz"],
        vec!["run", "--fixture", "--skip", "fixture"],
        vec!["run", "--fixture", "--shard", "9/9"],
        vec!["list", "--fixture", "--exact", "--filter", "fixture/none"],
        vec!["list", "--manifests", "/nonexistent"],
        vec!["list", "--manifests", &folder],
        vec!["table", "--results", &bad_json],
        vec!["table", "--results", "/nonexistent"],
    ] {
        let out = harness(&args);
        assert_eq!(out.code, 64, "{args:?}: {}", out.stderr);
        assert_eq!(out.stderr.lines().count(), 1, "{args:?}: {}", out.stderr);
    }
    for args in [vec!["frobnicate"], vec!["run", "--shard", "3/2"], vec![]] {
        assert_eq!(harness(&args).code, 64, "{args:?}");
    }
}

#[test]
fn list_prints_ids_and_nothing_else() {
    let out = harness(&["list", "--fixture"]);
    assert_eq!(out.stdout, "fixture/duplicate\nfixture/identities\nfixture/priority\nfixture/umask\nfixture/yield\n");
    assert_eq!(out.stderr, "");
    let shard = harness(&["list", "--fixture", "--shard", "2/5"]);
    assert_eq!(shard.stdout.lines().count(), 1);
}

#[test]
fn skip_and_call_narrow_the_choice() {
    let ids = |args: &[&str]| harness(&[&["list", "--fixture"], args].concat()).stdout;
    assert_eq!(ids(&["--call", "dup"]), "fixture/duplicate\n");
    assert_eq!(ids(&["--skip", "i"]), "");
    assert_eq!(ids(&["--skip", "ident", "--skip", "dup", "--skip", "prio"]), "fixture/umask\nfixture/yield\n");
}

#[test]
fn a_run_of_no_probe_is_bad_input_and_says_what_to_do() {
    let out = harness(&["run", "--fixture", "--native-only", "--filter", "zzz"]);
    assert_eq!(out.code, 64);
    assert!(out.stderr.contains("no probe matches --filter zzz; `bevor-harness list`"), "{}", out.stderr);
    // All skipped is none run.
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let manifest = "family: none\nprobes:\n  - { id: none/x, lang: c, covers: [x], needs: { device: /nonexistent } }\n";
    std::fs::write(path("none.yaml"), manifest).unwrap();
    std::fs::write(path("probes-rust"), "").unwrap();
    let (folder, json) = (path(""), path("results.json"));
    let out = harness(&["run", "--native-only", "--manifests", &folder, "--probes-dir", &folder, "--json", &json]);
    assert_eq!(out.code, 64, "{}{}", out.stdout, out.stderr);
    assert!(out.stderr.contains("all 1 were skipped (needs /nonexistent)"), "{}", out.stderr);
    assert!(Path::new(&json).is_file());
}

#[test]
fn a_container_that_fails_to_start_costs_its_own_probes_only() {
    let dir = tempfile::tempdir().unwrap();
    let (file, count) = (dir.path().join("second.sh"), dir.path().join("count"));
    let script = format!("echo x >>{0}; [ $(wc -l <{0}) -gt 1 ] && exit 1; exec {HARNESS} jail -- \"$@\"\n", count.display());
    std::fs::write(&file, script).unwrap();
    let (out, results) = run_fixture(dir.path(), &format!("second=/bin/sh {}", file.display()), &["--jobs", "1"]);
    assert_eq!(out.code, 3, "{}{}", out.stdout, out.stderr);
    let counts = results.unwrap().counts("second");
    assert_eq!(counts.planned, 11);
    assert!(counts.agree > 0 && counts.states.get("crash").is_some_and(|n| *n > 0), "{counts:?}");
}

#[test]
fn a_required_column_that_is_not_measured_is_red() {
    let dir = tempfile::tempdir().unwrap();
    let runtimes = ["--runtime", "runsc=/nonexistent/runsc do --", "--require"];
    let run = |column: &str| run_fixture(dir.path(), &native_again(), &[&runtimes[..], &[column]].concat()).0;
    assert_eq!(run("again").code, 0);
    let out = run("runsc");
    assert_eq!(out.code, 1);
    assert!(out.stdout.contains("REQUIRED runsc: not measured: /nonexistent/runsc is not installed"), "{}", out.stdout);
    let out = run("other");
    assert_eq!(out.code, 1);
    assert!(out.stdout.contains("REQUIRED other: no such column"), "{}", out.stdout);
}

#[test]
fn a_part_never_replaces_full_results() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run_fixture(dir.path(), &native_again(), &[]).0.code, 0);
    for part in [["--filter", "dup"], ["--skip", "dup"], ["--call", "dup"], ["--shard", "1/2"]] {
        let (out, results) = run_fixture(dir.path(), &native_again(), &part);
        assert_eq!(out.code, 64, "{part:?}");
        assert!(out.stderr.contains("holds a full run"), "{}", out.stderr);
        assert_eq!(results.unwrap().probes.len(), 5);
    }
    let (out, _) = run_fixture(dir.path(), "", &["--native-only"]);
    assert_eq!(out.code, 64, "{}", out.stderr);
}

#[test]
fn shards_merge_into_what_one_run_gives() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (again, expectations) = (native_again(), path("expectations"));
    let common = ["run", "--fixture", "--runtime", &again, "--expectations", &expectations];
    let run = |json: &str, more: &[&str]| assert_eq!(harness(&[common.as_slice(), &["--json", json], more].concat()).code, 0);
    let (full, whole, a, b) = (path("full"), path("whole"), path("a"), path("b"));
    run(&full, &[]);
    run(&a, &["--shard", "1/2"]);
    run(&b, &["--shard", "2/2"]);
    let merge = |files: &[&str]| harness(&[&["merge", "--json", &whole], files].concat());
    let out = merge(&[&b, &a]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let text = |path: &str| without_times(&std::fs::read_to_string(path).unwrap());
    assert_eq!(text(&whole), text(&full));
    for (files, why) in [
        (vec![&a], "shard 2/2 is missing"),
        (vec![&a, &a], "given twice"),
        (vec![&full], "not a shard"),
        (vec![&a, &full], "a whole run"),
    ] {
        let out = merge(&files.iter().map(|f| f.as_str()).collect::<Vec<_>>());
        assert_eq!(out.code, 64, "{why}");
        assert!(out.stderr.contains(why), "{why}: {}", out.stderr);
    }
    // A probe in two shards, and one in none.
    let mut overlap: Results = serde_json::from_str(&std::fs::read_to_string(&b).unwrap()).unwrap();
    let taken: Results = serde_json::from_str(&std::fs::read_to_string(&a).unwrap()).unwrap();
    let own = std::mem::take(&mut overlap.probes);
    for (probes, why) in [([own.clone(), taken.probes].concat(), "in another file"), (own[1..].to_vec(), "probes of 5")] {
        overlap.probes = probes;
        let bad = path("bad");
        std::fs::write(&bad, serde_json::to_string(&overlap).unwrap()).unwrap();
        let out = merge(&[&a, &bad]);
        assert_eq!(out.code, 64, "{why}");
        assert!(out.stderr.contains(why), "{why}: {}", out.stderr);
    }
}

#[test]
fn fail_fast_ends_at_the_first_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (out, results) = run_fixture(dir.path(), &lying("sched_yield=errno:EDOM"), &["--fail-fast", "--jobs", "1"]);
    assert_eq!(out.code, 1, "{}{}", out.stdout, out.stderr);
    let results = results.unwrap();
    // The probe that wants its own container comes first.
    assert_eq!(results.probes.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["fixture/yield"]);
    assert!(results.part.unwrap().stopped);
    let (out, results) = run_fixture(dir.path(), &native_again(), &["--fail-fast"]);
    assert_eq!((out.code, results.unwrap().probes.len()), (0, 5));
}

#[test]
fn a_flaky_probe_may_differ_as_often_as_its_rate_says() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("expectations/liar");
    std::fs::create_dir_all(&folder).unwrap();
    let record = |rate: &str| {
        let text = format!(
            "column: liar\nfamily: fixture\nexpectations:\n- probe: fixture/duplicate\n  obs: closed\n  state: flaky\n  fields:\n  \
             - {{ field: errno, native: EBADF, sandbox: EXDEV }}\n  reason: for the test\n  issue: '7'\n  max_rate: '{rate}'\n  \
             expires: '9999-12-31'\n"
        );
        std::fs::write(folder.join("fixture.yaml"), text).unwrap();
    };
    let run = || run_fixture(dir.path(), &lying("dup=errno:EXDEV"), &[]).0;
    let state = |out: &Output| out.stdout.contains("CHANGED-DIFF liar fixture/duplicate closed");
    record("1");
    assert!(!state(&run()));
    record("0.5");
    let out = run();
    assert_eq!(out.code, 1);
    assert!(state(&out), "{}", out.stdout);
    assert!(out.stdout.contains("differs in 5 of 5 runs, its max_rate is 0.5"), "{}", out.stdout);
}

#[test]
fn results_and_junit_carry_times() {
    let dir = tempfile::tempdir().unwrap();
    let junit = dir.path().join("junit.xml");
    let (_, results) = run_fixture(dir.path(), &native_again(), &["--junit", junit.to_str().unwrap()]);
    for probe in results.unwrap().probes {
        for column in ["native", "again"] {
            let time = probe.times[column];
            assert!(time.start_ms > 1_700_000_000_000 && time.duration_us > 0, "{} {column}: {time:?}", probe.id);
        }
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    let cases: Vec<&str> = xml.lines().filter(|l| l.contains("<testcase ")).collect();
    assert_eq!(cases.len(), 5);
    assert!(cases.iter().all(|c| c.contains("time=\"") && c.contains("timestamp=\"")), "{xml}");
}

/// A results file's text but for the times of its probes.
fn without_times(text: &str) -> String {
    let mut results: Results = serde_json::from_str(text).unwrap();
    results.probes.iter_mut().for_each(|p| p.times.clear());
    serde_json::to_string_pretty(&results).unwrap()
}

#[test]
fn a_failure_shows_both_answers_and_a_command_that_reproduces_it() {
    let dir = tempfile::tempdir().unwrap();
    let (out, _) = run_fixture(dir.path(), &lying("dup=errno:EXDEV"), &["--filter", "duplicate"]);
    let text = &out.stdout;
    for shown in [
        "    call: dup()",
        "    native: errno=none ret=fd@dup/ret state.same=true",
        "    liar: errno=EXDEV ret=-1 state.same=false",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let run = |what: &str| {
        let command = text.lines().find_map(|l| l.strip_prefix(what)).unwrap();
        cmd("/bin/sh", ["-c", command]).stderr_null().read().unwrap()
    };
    assert!(run("    reproduce: ").contains("\"errno\":\"EXDEV\""));
    let native = run("    natively: ");
    assert!(native.contains("\"obs\":\"dup\"") && !native.contains("EXDEV"), "{native}");
}

#[test]
fn selfcheck_finds_exactly_the_seeded_lies() {
    for seed in ["0", "1", "2", "3"] {
        let out = harness(&["selfcheck", "--fixture", "--seed", seed]);
        assert_eq!(out.code, 0, "seed {seed}: {}{}", out.stdout, out.stderr);
        assert!(out.stdout.contains("native against native, fixture: 0 differences"));
    }
}

#[test]
fn mutation_scores_what_the_probes_catch() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("mutation.json").to_str().unwrap().to_owned();
    // The liar stands for a faulty kernel: any fault makes dup(2) fail.
    let script =
        r#"case "$*" in fault*dup:*) shift; exec "$H" liar --lie=dup=errno:EDOM -- "$@";; fault*) shift;; esac; exec "$@""#;
    let file = dir.path().join("faulty.sh");
    std::fs::write(&file, format!("H={HARNESS}\n{script}\n")).unwrap();
    let spec =
        format!("faulty={HARNESS} jail --bind {0}:{0} -- /bin/sh {1} fault={{fault}}", dir.path().display(), file.display());
    let args = ["mutate", "--fixture", "--runtime", &spec, "--output", &json, "--call", "dup", "--call", "getuid"];
    let out = harness(&args);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let mutation: bevor_compat_table::mutation::Mutation =
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let by_call = mutation.by_call();
    assert_eq!(by_call["dup"].caught, by_call["dup"].applicable);
    assert!(by_call["dup"].applicable >= 2);
    assert_eq!(by_call["getuid"].caught, 0);
    let strict = [args.as_slice(), &["--min", "100"]].concat();
    assert_eq!(harness(&strict).code, 1);
    // It is a measure for whoever asks, and no part of the published table.
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat-table/mutation.json");
    let (there, quiet) = (committed.exists(), ["mutate", "--fixture", "--runtime", &spec, "--call", "dup"]);
    assert_eq!(harness(&quiet).code, 0);
    assert_eq!(committed.exists(), there);
}

#[test]
fn a_fault_that_never_took_effect_is_not_held_against_the_probes() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("mutation.json").to_str().unwrap().to_owned();
    // A kernel that proves itself and ignores the fault: its log says nothing of one.
    let file = dir.path().join("ignore.sh");
    std::fs::write(&file, r#"case "$1" in fault*) shift;; esac; exec "$@""#).unwrap();
    let spec = format!(
        "quiet={HARNESS} jail --bind {0}:{0} -- {HARNESS} liar --boot-nonce={{nonce}} -- /bin/sh {1} fault={{fault}}",
        dir.path().display(),
        file.display()
    );
    let out = harness(&["mutate", "--fixture", "--runtime", &spec, "--output", &json, "--call", "dup", "--min", "100"]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    assert!(out.stdout.contains("0 of 0 applicable"), "{}", out.stdout);
    // Another call's result joins the first one's.
    let out = harness(&["mutate", "--fixture", "--runtime", &spec, "--output", &json, "--call", "getuid"]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let mutation: bevor_compat_table::mutation::Mutation =
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let calls: std::collections::BTreeSet<&str> = mutation.pairs.iter().map(|p| p.call.as_str()).collect();
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), ["dup", "getuid"]);
    assert_eq!(mutation.pairs.len(), 10);
}

/// A misbehaving fixture probe, run in the jail.
fn misbehave(name: &str, timeout_ms: u64) -> (Outcome, Container) {
    let suite = discover::fixture().unwrap();
    let agent = Agent { command: vec![HARNESS.into(), "fixture".into(), "agent".into()] };
    let probe = Probe {
        id: format!("fixture/{name}"),
        lang: Lang::Rust,
        needs: Needs::default(),
        timeout_ms,
        exclusive: false,
        normalisers: vec![],
        covers: vec![],
    };
    let mut container = Container::start(&suite.native().unwrap(), &agent, &LogPolicy::default()).unwrap();
    let raw = container.run(&probe);
    (parse(&raw, &[]).outcome, container)
}

#[test]
fn every_bad_ending_is_told_apart_and_contained() {
    let (outcome, container) = misbehave("crash", 10_000);
    assert_eq!(outcome, Outcome::Crashed("SIGABRT".into()));
    assert!(!container.is_usable(), "a fresh container follows a crash");
    assert_eq!(misbehave("hang", 50).0, Outcome::Timeout);
    assert_eq!(misbehave("flood", 10_000).0, Outcome::Overflow);
    assert!(matches!(misbehave("garbage", 10_000).0, Outcome::Malformed(_)));
    assert!(matches!(misbehave("broken", 10_000).0, Outcome::Broken(_)));
    assert_eq!(misbehave("nonexistent", 10_000).0, Outcome::Exited(64));
}

#[test]
fn a_killed_container_leaves_no_process_behind() {
    let (_, container) = misbehave("umask", 10_000);
    let jail = container.id();
    let children = std::fs::read_to_string(format!("/proc/{jail}/task/{jail}/children")).unwrap();
    let init: u32 = children.trim().parse().unwrap();
    let namespace = std::fs::read_link(format!("/proc/{init}/ns/pid")).unwrap();
    // While it is open its number is not another's.
    let _held = std::fs::File::open(format!("/proc/{init}/ns/pid")).unwrap();
    assert!(members(&namespace) > 0);
    drop(container);
    let deadline = Instant::now() + Duration::from_secs(10);
    while members(&namespace) > 0 {
        assert!(Instant::now() < deadline, "processes are left in {}", namespace.display());
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_harness_leaves_no_sandbox_behind() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("pid");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // It tells its pid, and then nothing and no end.
    let mute = format!("mute=/bin/sh -c 'echo $$ >{}; exec sleep 1000'", fifo.display());
    let json = dir.path().join("results.json");
    let mut harness = Command::new(HARNESS)
        .args(["run", "--fixture", "--json", json.to_str().unwrap(), "--runtime", &mute])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid: u32 = std::fs::read_to_string(&fifo).unwrap().trim().parse().unwrap();
    // A zombie that nobody has reaped yet is gone, too.
    let is_gone = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
    };
    assert!(!is_gone());
    harness.kill().unwrap();
    harness.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_gone() {
        assert!(Instant::now() < deadline, "process {pid} is left");
        std::thread::yield_now();
    }
}

/// Number of processes in a pid namespace.
fn members(namespace: &Path) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|e| std::fs::read_link(e.path().join("ns/pid")).is_ok_and(|ns| ns == namespace))
        .count()
}
