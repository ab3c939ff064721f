//! What a run prints and writes: the summary, `results.json`, JUnit; and the gate.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bevor_compat_table::results::{Gate, ObservationResult, ProbeResult, Results, State, Verdict};
use comfy_table::{Table, presets};

use crate::compare::RUN_FIELD;
use crate::container::{NONCE, WORK};
use crate::error::{EXIT_OK, EXIT_REGRESSION, EXIT_STALE, Error, Result};

/// Failing observations printed in full; the rest is counted.
const SHOWN: usize = 50;

/// The gate's exit code: a regression outweighs a stale expectation.
#[must_use]
pub fn gate(results: &Results) -> u8 {
    let gates = results.probes.iter().flat_map(|p| &p.observations).flat_map(|o| o.columns.values()).map(|v| v.state.gate());
    let mut code = EXIT_OK;
    for gate in gates {
        match gate {
            Gate::Regression => return EXIT_REGRESSION,
            Gate::Stale => code = EXIT_STALE,
            Gate::Pass => {}
        }
    }
    // With no column to compare, only the probes themselves can fail.
    if results.probes.iter().any(|p| !p.author_errors.is_empty()) {
        return EXIT_REGRESSION;
    }
    code
}

/// One line for every column of `require` that was not measured.
#[must_use]
pub fn missing(results: &Results, require: &[String]) -> Vec<String> {
    let line = |name: &String| match results.columns.iter().find(|c| c.name == *name) {
        None => Some(format!("REQUIRED {name}: no such column in this run")),
        Some(c) => c.not_measured.as_ref().map(|why| format!("REQUIRED {name}: not measured: {why}")),
    };
    require.iter().filter_map(line).collect()
}

/// The summary: counts by column, then every failing observation, worst first.
#[must_use]
pub fn summary(results: &Results) -> String {
    guided(results, &Guide::default())
}

/// What a failure is shown with beside what was measured.
#[derive(Debug, Default)]
pub struct Guide {
    /// Where the probes' sources are.
    pub repository: Option<PathBuf>,
    /// Commands of all columns, the reference's first.
    pub columns: Vec<(String, Vec<String>)>,
    /// The agent's command.
    pub agent: Vec<String>,
}

impl Guide {
    /// A command that runs the probe, and nothing beside it, in `column`; the observations go to standard output.
    fn reproduce(&self, column: &str, probe: &ProbeResult) -> Option<String> {
        let (_, command) = self.columns.iter().find(|(name, _)| name == column)?;
        let (program, rest) = self.agent.split_first()?;
        let mut run: Vec<String> = vec![match probe.lang.as_str() {
            "c" => Path::new(program).with_file_name("probes-c").display().to_string(),
            _ => program.clone(),
        }];
        run.extend(rest.iter().filter(|a| *a != "agent").cloned());
        run.extend(["run".into(), probe.id.clone()]);
        let script = format!("cd \"$(mktemp -d)\" && BEVOR_PROBE_DIR=$PWD exec {} 3>&1", shell_words::join(run));
        let whole = command.iter().map(|a| a.replace(NONCE, "1").replace(WORK, "/tmp"));
        Some(shell_words::join(whole.chain(["/bin/sh".into(), "-c".into(), script])))
    }

    /// Call, arguments, both answers, source and commands.
    fn explain(&self, reference: &str, column: &str, probe: &ProbeResult, o: &ObservationResult, v: &Verdict, out: &mut String) {
        let args: Vec<String> =
            o.reference.iter().filter_map(|(k, v)| Some(format!("{}={v}", k.strip_prefix("args.")?))).collect();
        let _ = writeln!(out, "    call: {}({})", o.call, args.join(", "));
        let mut answer = o.reference.clone();
        let text = |answer: &BTreeMap<String, String>| {
            let fields = answer.iter().filter(|(k, _)| !k.starts_with("args."));
            fields.map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
        };
        let _ = writeln!(out, "    {reference}: {}", text(&answer));
        if let Some(run) = v.differences.iter().find(|d| d.field == RUN_FIELD) {
            let _ = writeln!(out, "    {column}: {}", run.sandbox);
        } else {
            answer.extend(v.differences.iter().map(|d| (d.field.clone(), d.sandbox.clone())));
            let _ = writeln!(out, "    {column}: {}", text(&answer));
        }
        if let Some(at) = self.repository.as_ref().and_then(|r| crate::source::find(r, &probe.lang, &probe.id, &o.id)) {
            let _ = writeln!(out, "    source: {at}");
        }
        for (what, name) in [("reproduce", column), ("natively", reference)] {
            if let Some(command) = self.reproduce(name, probe) {
                let _ = writeln!(out, "    {what}: {command}");
            }
        }
    }
}

/// The summary, with what a [`Guide`] knows of each failure.
#[must_use]
pub fn guided(results: &Results, guide: &Guide) -> String {
    let mut out = String::new();
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["column", "proven", "planned", "agree", "share", "otherwise"]);
    for column in &results.columns {
        if let Some(why) = &column.not_measured {
            table.add_row([column.name.as_str(), "", "", "", "", &format!("not measured: {why}")]);
            continue;
        }
        let counts = results.counts(&column.name);
        let others: Vec<String> = counts.states.iter().filter(|(s, _)| *s != "agree").map(|(s, n)| format!("{n} {s}")).collect();
        table.add_row([
            column.name.clone(),
            if column.proven { "by nonce" } else { "no" }.into(),
            counts.planned.to_string(),
            counts.agree.to_string(),
            percent(counts.agree, counts.planned),
            others.join(", "),
        ]);
    }
    let _ = writeln!(out, "{} probes against {}", results.probes.len(), results.reference);
    if !results.columns.is_empty() {
        let _ = writeln!(out, "{table}");
    }
    failures(results, guide, &mut out);
    out
}

/// "93.3 %", or a dash for nothing of nothing.
#[must_use]
pub fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "–".into();
    }
    let permille = (part * 1000 + whole / 2) / whole;
    format!("{}.{} %", permille / 10, permille % 10)
}

fn failures(results: &Results, guide: &Guide, out: &mut String) {
    for probe in results.probes.iter().filter(|p| !p.author_errors.is_empty()) {
        for error in &probe.author_errors {
            let _ = writeln!(out, "AUTHOR'S ERROR {}: {error}", probe.id);
        }
    }
    let mut failing: Vec<(State, &ProbeResult, &ObservationResult, &str, &Verdict)> = Vec::new();
    for probe in &results.probes {
        for o in &probe.observations {
            for (column, verdict) in &o.columns {
                if verdict.state.gate() != Gate::Pass && verdict.state != State::BrokenReference {
                    failing.push((verdict.state, probe, o, column, verdict));
                }
            }
        }
    }
    let severity = |s: State| match s {
        State::Crash => 0,
        State::NotRun => 1,
        State::ChangedDiff => 2,
        State::NewDiff => 3,
        _ => 4,
    };
    failing.sort_by_key(|(state, ..)| severity(*state));
    for (state, probe, o, column, verdict) in failing.iter().take(SHOWN) {
        let alone = if verdict.confirmed { "" } else { " (not confirmed alone)" };
        let _ = writeln!(out, "{} {column} {} {}{alone}", state.name().to_uppercase(), probe.id, o.id);
        for d in &verdict.differences {
            let _ = writeln!(out, "    {}: native {} | {column} {}", d.field, d.native, d.sandbox);
        }
        if !guide.columns.is_empty() && *state != State::UnexpectedAgreement {
            guide.explain(&results.reference, column, probe, o, verdict, out);
        }
        if let Some(why) = verdict.reason.as_ref().filter(|why| why.contains("max_rate")) {
            let _ = writeln!(out, "    {why}");
        }
        if *state == State::UnexpectedAgreement {
            let _ = writeln!(out, "    agrees now: `bevor-harness bless` removes the expectation");
        }
    }
    if failing.len() > SHOWN {
        let _ = writeln!(out, "… and {} more", failing.len() - SHOWN);
    }
}

/// The text of `results.json`.
///
/// # Errors
/// [`Error::Infrastructure`] if it can't be put into JSON.
pub fn json(results: &Results) -> Result<String> {
    serde_json::to_string_pretty(results).map(|t| t + "\n").map_err(|e| Error::infra(format!("results: {e}")))
}

/// JUnit: a suite per column and family, a case per probe.
///
/// # Errors
/// [`Error::Infrastructure`] if it can't be put into XML.
pub fn junit(results: &Results) -> Result<String> {
    use quick_junit::{NonSuccessKind, Report, TestCaseStatus, TestSuite};
    let mut report = Report::new("bevor-harness");
    for column in results.columns.iter().filter(|c| c.not_measured.is_none()) {
        let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
        for probe in &results.probes {
            let verdicts: Vec<(&str, &Verdict)> =
                probe.observations.iter().filter_map(|o| Some((o.id.as_str(), o.columns.get(&column.name)?))).collect();
            let failing: Vec<String> = verdicts
                .iter()
                .filter(|(_, v)| v.state.gate() != Gate::Pass)
                .map(|(id, v)| {
                    let fields: Vec<String> =
                        v.differences.iter().map(|d| format!("{}: {} / {}", d.field, d.native, d.sandbox)).collect();
                    format!("{id}: {}: {}", v.state.name(), fields.join("; "))
                })
                .collect();
            let status = if let Some(why) = &probe.skipped {
                let mut status = TestCaseStatus::skipped();
                status.set_message(why.as_str());
                status
            } else if failing.is_empty() {
                TestCaseStatus::success()
            } else {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(format!("{} observations", failing.len()));
                status.set_description(failing.join("\n"));
                status
            };
            suites
                .entry(&probe.family)
                .or_insert_with(|| TestSuite::new(format!("{}.{}", column.name, probe.family)))
                .add_test_case(case(probe, &column.name, status));
        }
        report.add_test_suites(suites.into_values());
    }
    report.to_string().map_err(|e| Error::infra(format!("JUnit: {e}")))
}

fn case(probe: &ProbeResult, column: &str, status: quick_junit::TestCaseStatus) -> quick_junit::TestCase {
    let mut case = quick_junit::TestCase::new(probe.id.as_str(), status);
    if let Some(time) = probe.times.get(column) {
        case.set_time(Duration::from_micros(time.duration_us));
        let start = i64::try_from(time.start_ms).ok().and_then(chrono::DateTime::from_timestamp_millis);
        if let Some(start) = start {
            case.set_timestamp(start.fixed_offset());
        }
    }
    case
}

/// Writes `text` to `path`, making its folder.
///
/// # Errors
/// [`Error::Infrastructure`] naming the path.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|e| Error::infra(format!("can't make {}: {e}", parent.display())))?;
    }
    std::fs::write(path, text).map_err(|e| Error::infra(format!("can't write {}: {e}", path.display())))
}

/// Reads a `results.json`.
///
/// # Errors
/// [`Error::Input`] if it isn't there or isn't one.
pub fn read(path: &Path) -> Result<Results> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::input(format!("can't read {}: {e} (made by `bevor-harness run`)", path.display())))?;
    let results: Results = serde_json::from_str(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
    if results.schema != bevor_compat_table::results::SCHEMA {
        return Err(Error::input(format!(
            "{}: format {}, this harness reads {}",
            path.display(),
            results.schema,
            bevor_compat_table::results::SCHEMA
        )));
    }
    Ok(results)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
