//! The reports as tables for people.

use std::fmt::Write;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::catalogue::{CPU_RATIO, IDLE_PSS_MB, STARTUP_MS, Variant};
use crate::report::{Compared, Measured, Outcome, Report, RowReport};
use crate::runtime::{BEVOR, NATIVE};
use crate::suite::quotient;
use crate::wait::{Placement, WaitReport};

const FAILED: &str = "failed";
const NOTHING: &str = "-";

/// The whole report.
pub(crate) fn report(report: &Report) -> String {
    let mut out = String::new();
    heading(&mut out, report);
    for variant in Variant::ALL {
        let rows: Vec<&RowReport> = report.rows.iter().filter(|row| row.variant == variant).collect();
        if !rows.is_empty() {
            let _ = writeln!(out, "\n{}: {}\n{}", variant.name(), variant.describe(), rows_table(report, &rows));
        }
    }
    if !report.rows.is_empty() {
        let _ = writeln!(out, "\nCPU and wall seconds of all runs, starting and ending included\n{}", totals(report));
    }
    if !report.startup.is_empty() {
        let title = format!("Start-up: /bin/true from fork to end (target of {BEVOR}: {STARTUP_MS} ms)");
        let _ = writeln!(out, "\n{title}\n{}", startup(report));
    }
    if !report.idle.is_empty() {
        let title = format!("Idle: sleeping (target of {BEVOR}: {IDLE_PSS_MB} MB and 0 ticks in 10 s)");
        let _ = writeln!(out, "\n{title}\n{}", idle(report));
    }
    for warning in &report.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    for skipped in &report.skipped {
        let _ = writeln!(out, "skipped {}: {}", skipped.what, skipped.reason);
    }
    for (what, error) in report.failures() {
        let _ = writeln!(out, "failed {what}: {error}");
    }
    out
}

fn heading(out: &mut String, report: &Report) {
    let place = &report.provenance;
    let _ = writeln!(
        out,
        "{}: Linux {}, {}, {} CPUs, load {:.2}, uid {}",
        place.date, place.kernel, place.cpu, place.cpus, place.load, place.uid
    );
    let line = report.line_round_trip_ns.map_or_else(|| "none (one CPU)".to_owned(), |ns| format!("{} ns", time(ns)));
    let _ = writeln!(out, "line round trip between two CPUs: {line}");
    let _ = writeln!(out, "CPU time of all processes counted through {}", report.cpu_accounting.describe());
    for (name, command) in &report.runtimes {
        let _ = writeln!(out, "{name}: {command} …");
    }
    let _ = writeln!(
        out,
        "median of {} runs{}; × is the ratio to native; \"ok\" and \"over\" compare with the target (at most native + 2 line round trips for hand-off rows, if that is more)",
        report.repeat,
        if report.quick { ", shortened by --quick" } else { "" }
    );
}

fn new_table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn rows_table(report: &Report, rows: &[&RowReport]) -> Table {
    let mut header: Vec<String> = ["row", "native ns", "cpu ns", "target ×"].map(str::to_owned).to_vec();
    for name in report.runtime_names() {
        header.extend([
            format!("{name} ns"),
            "×".to_owned(),
            String::new(),
            "cpu ns".to_owned(),
            format!("cpu × (≤ {CPU_RATIO})"),
            String::new(),
        ]);
    }
    let mut table = new_table(header);
    for row in rows {
        let native = row.native.measured();
        let mut cells = vec![
            row.row.clone(),
            native.map_or_else(|| FAILED.to_owned(), |native| time(native.ns.median)),
            native.map_or_else(|| NOTHING.to_owned(), |native| time(native.cpu_ns)),
            row.target_ratio.map_or_else(|| NOTHING.to_owned(), |target| format!("≤ {target}")),
        ];
        for name in report.runtime_names() {
            cells.extend(compared_cells(row.runtimes.get(name)));
        }
        table.add_row(cells);
    }
    table
}

fn compared_cells(outcome: Option<&Outcome<Compared>>) -> [String; 6] {
    let Some(Outcome::Measured(compared)) = outcome else {
        let text = if outcome.is_some() { FAILED } else { NOTHING };
        return [text, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING].map(str::to_owned);
    };
    [
        time(compared.measured.ns.median),
        ratio(compared.ratio),
        verdict(compared.met).to_owned(),
        time(compared.measured.cpu_ns),
        ratio(compared.cpu_ratio),
        verdict(compared.cpu_met).to_owned(),
    ]
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "ok",
        Some(false) => "over",
        None => NOTHING,
    }
}

/// Sums by variant and runtime of the rows that native and all runtimes measured.
fn totals(report: &Report) -> Table {
    /// One row: native and the runtimes in the order of the table.
    type Complete<'a> = (&'a Measured, Vec<&'a Measured>);
    let mut header: Vec<String> = ["variant", "native cpu s", "wall s", "cpu/wall"].map(str::to_owned).to_vec();
    for name in report.runtime_names() {
        header.extend([
            format!("{name} cpu s"),
            "wall s".to_owned(),
            "cpu/wall".to_owned(),
            "over target".to_owned(),
            "cpu over".to_owned(),
        ]);
    }
    let mut table = new_table(header);
    for variant in Variant::ALL {
        let complete: Vec<Complete<'_>> = report
            .rows
            .iter()
            .filter(|row| row.variant == variant)
            .filter_map(|row| {
                let others = report.runtime_names().map(|name| Some(&row.runtimes.get(name)?.measured()?.measured));
                Some((row.native.measured()?, others.collect::<Option<Vec<_>>>()?))
            })
            .collect();
        if complete.is_empty() {
            continue;
        }
        let sum = |field: &dyn Fn(&Complete<'_>) -> f64| complete.iter().map(field).sum::<f64>();
        let (cpu, wall) = (sum(&|row| row.0.total_cpu_s), sum(&|row| row.0.total_wall_s));
        let mut cells = vec![variant.name().to_owned(), seconds(cpu), seconds(wall), ratio(quotient(cpu, wall))];
        for (index, name) in report.runtime_names().enumerate() {
            let own_cpu = sum(&|row| row.1[index].total_cpu_s);
            let own_wall = sum(&|row| row.1[index].total_wall_s);
            cells.extend([
                seconds(own_cpu),
                seconds(own_wall),
                ratio(quotient(own_cpu, own_wall)),
                missed(report, variant, name, |compared| compared.met),
                missed(report, variant, name, |compared| compared.cpu_met),
            ]);
        }
        table.add_row(cells);
    }
    table
}

/// "missed/all" of the rows that have the target that `met` reads.
fn missed(report: &Report, variant: Variant, runtime: &str, met: fn(&Compared) -> Option<bool>) -> String {
    let rows = report.rows.iter().filter(|row| row.variant == variant);
    let verdicts: Vec<bool> = rows.filter_map(|row| met(row.runtimes.get(runtime)?.measured()?)).collect();
    format!("{}/{}", verdicts.iter().filter(|met| !**met).count(), verdicts.len())
}

/// Names with native first.
fn native_first<T>(map: &std::collections::BTreeMap<String, T>) -> impl Iterator<Item = (&String, &T)> {
    let native = map.iter().filter(|(name, _)| *name == NATIVE);
    native.chain(map.iter().filter(|(name, _)| *name != NATIVE))
}

fn startup(report: &Report) -> Table {
    let mut table = new_table(["runtime", "ms", "min", "max", "cpu ms", "target"].map(str::to_owned).to_vec());
    for (name, outcome) in native_first(&report.startup) {
        let Some(startup) = outcome.measured() else {
            table.add_row([name, FAILED]);
            continue;
        };
        let met = (name != NATIVE).then_some(startup.ms.median <= STARTUP_MS);
        let [median, min, max, cpu] =
            [startup.ms.median, startup.ms.min, startup.ms.max, startup.cpu_ms].map(|ms| format!("{ms:.1}"));
        table.add_row([name, &median, &min, &max, &cpu, verdict(met)]);
    }
    table
}

fn idle(report: &Report) -> Table {
    let header = ["runtime", "processes", "PSS MB", "ticks", "cpu ms", "in s", "memory", "cpu"];
    let mut table = new_table(header.map(str::to_owned).to_vec());
    for (name, outcome) in native_first(&report.idle) {
        let Some(idle) = outcome.measured() else {
            table.add_row([name, FAILED]);
            continue;
        };
        let megabytes = idle.pss_bytes as f64 / 1e6;
        let sandbox = name != NATIVE;
        let unreadable = if idle.unreadable > 0 { format!(" + {} unreadable", idle.unreadable) } else { String::new() };
        table.add_row([
            name.clone(),
            idle.processes.to_string(),
            format!("{megabytes:.1}{unreadable}"),
            idle.ticks.to_string(),
            format!("{:.2}", idle.cpu_ns as f64 / 1e6),
            format!("{:.0}", idle.watched_s),
            verdict(sandbox.then_some(megabytes <= IDLE_PSS_MB && idle.unreadable == 0)).to_owned(),
            verdict(sandbox.then_some(idle.ticks == 0)).to_owned(),
        ]);
    }
    table
}

/// The table of `bench wait`.
pub(crate) fn wait(report: &WaitReport) -> String {
    let placements = [(Placement::TwoCpus, "two CPUs"), (Placement::OneCpu, "one CPU"), (Placement::Anywhere, "unpinned")];
    let header = ["round trip, ns"].into_iter().chain(placements.map(|(_, title)| title));
    let mut table = new_table(header.map(str::to_owned).collect());
    let mut names: Vec<&str> = report.mechanisms.iter().map(|entry| entry.mechanism.as_str()).collect();
    names.dedup();
    let mut errors = String::new();
    for name in names {
        let mut cells = vec![name.to_owned()];
        for (placement, _) in placements {
            let found = report.mechanisms.iter().find(|entry| entry.mechanism == name && entry.placement == placement);
            cells.push(match found.map(|entry| &entry.round_trip_ns) {
                None => NOTHING.to_owned(),
                Some(Outcome::Measured(summary)) => time(summary.median),
                Some(Outcome::Failed { error }) => {
                    let _ = writeln!(errors, "failed {name}: {error}");
                    FAILED.to_owned()
                }
            });
        }
        table.add_row(cells);
    }
    let place = &report.provenance;
    format!(
        "{}: Linux {}, {}, {} CPUs; spinfutex looks {} times before it sleeps\n{table}\n{errors}",
        place.date, place.kernel, place.cpu, place.cpus, report.spins
    )
}

/// Nanoseconds with as many digits as mean something.
fn time(ns: f64) -> String {
    if ns < 100.0 { format!("{ns:.1}") } else { format!("{ns:.0}") }
}

fn seconds(value: f64) -> String {
    format!("{value:.2}")
}

fn ratio(value: Option<f64>) -> String {
    match value {
        None => NOTHING.to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::accounting::Method;
    use crate::provenance::Provenance;
    use crate::report::{Idle, SCHEMA, Skipped, Startup};
    use crate::stats::Summary;
    use crate::wait::Mechanism;

    fn summary(median: f64) -> Summary {
        Summary { median, min: median / 2.0, max: median * 2.0, runs: 5 }
    }

    fn measured(ns: f64) -> Measured {
        Measured { ns: summary(ns), cpu_ns: ns * 1.5, total_cpu_s: ns / 100.0, total_wall_s: ns / 200.0 }
    }

    fn failed<T>() -> Outcome<T> {
        Outcome::Failed { error: "exit status: 1: no".to_owned() }
    }

    fn row(name: &str, variant: Variant, native: f64, bevor: Outcome<Compared>) -> RowReport {
        RowReport {
            row: name.to_owned(),
            variant,
            target_ratio: Some(1.5),
            limit_ns: Some(native * 1.5),
            native: Outcome::Measured(measured(native)),
            runtimes: BTreeMap::from([("bevor".to_owned(), bevor)]),
        }
    }

    fn compared(ns: f64, native: f64) -> Outcome<Compared> {
        Outcome::Measured(Compared {
            measured: measured(ns),
            ratio: Some(ns / native),
            cpu_ratio: Some(ns / native),
            met: Some(ns <= native * 1.5),
            cpu_met: Some(ns <= native * 4.0),
        })
    }

    fn provenance() -> Provenance {
        Provenance {
            date: "2026-01-02T03:04:05Z".to_owned(),
            kernel: "6.18.0".to_owned(),
            cpu: "A CPU".to_owned(),
            cpus: 2,
            load: 0.25,
            version: "0.1.0".to_owned(),
            uid: 0,
        }
    }

    fn example() -> Report {
        let startup = |ms| Outcome::Measured(Startup { ms: summary(ms), cpu_ms: ms });
        let idle = |pss_bytes, ticks| {
            Outcome::Measured(Idle { processes: 3, pss_bytes, unreadable: 0, watched_s: 10.0, ticks, cpu_ns: ticks * 10_000_000 })
        };
        Report {
            schema: SCHEMA.to_owned(),
            provenance: provenance(),
            cpu_accounting: Method::CgroupV1,
            quick: false,
            repeat: 5,
            runtimes: BTreeMap::from([("bevor".to_owned(), "/opt/bevor do --".to_owned())]),
            line_round_trip_ns: Some(271.0),
            rows: vec![
                row("read1_devzero", Variant::Base, 119.0, compared(150.0, 119.0)),
                row("pipe_self", Variant::Base, 310.0, compared(3100.0, 310.0)),
                row("stat_root", Variant::Base, 290.0, failed()),
                row("read1_devzero", Variant::Trap, 120.0, compared(2400.0, 120.0)),
            ],
            startup: BTreeMap::from([("bevor".to_owned(), startup(12.0)), ("native".to_owned(), startup(0.5))]),
            idle: BTreeMap::from([("bevor".to_owned(), idle(13_000_000, 0)), ("native".to_owned(), idle(300_000, 0))]),
            warnings: vec!["1 processes of bevor leave".to_owned()],
            skipped: vec![Skipped { what: "go".to_owned(), reason: "cannot run go".to_owned() }],
        }
    }

    #[test]
    fn report_renders() {
        insta::assert_snapshot!(report(&example()));
    }

    #[test]
    fn json_keeps_its_shape_and_reads_back() {
        let example = example();
        insta::assert_json_snapshot!(example);
        let text = serde_json::to_string(&example).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), example);
    }

    #[test]
    fn wait_report_renders() {
        let entry =
            |mechanism: &str, placement, round_trip_ns| Mechanism { mechanism: mechanism.to_owned(), placement, round_trip_ns };
        let report = WaitReport {
            schema: crate::wait::SCHEMA.to_owned(),
            provenance: provenance(),
            spins: 2000,
            mechanisms: vec![
                entry("spin", Placement::TwoCpus, Outcome::Measured(summary(271.0))),
                entry("spin", Placement::OneCpu, Outcome::Measured(summary(8e6))),
                entry("notify_sync", Placement::TwoCpus, failed()),
            ],
        };
        insta::assert_snapshot!(wait(&report));
    }

    #[test]
    fn failures_are_listed_with_place_and_reason() {
        let mut example = example();
        example.idle.insert("bevor".to_owned(), failed());
        let failures: Vec<String> = example.failures().into_iter().map(|(what, error)| format!("{what}: {error}")).collect();
        assert_eq!(failures, ["stat_root (base) in bevor: exit status: 1: no", "idle in bevor: exit status: 1: no"]);
    }
}
