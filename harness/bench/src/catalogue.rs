//! The rows and variants of the benchmark, and the speed that each is to reach.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How a row is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// The dynamically linked program, calls through libc.
    Base,
    /// The statically linked program, calls through libc.
    Static,
    /// Calls from an anonymous executable mapping, which a sandbox cannot patch: every call traps.
    Trap,
    /// Calls from the program's own text after 300 other call sites were executed several times.
    Sites,
    /// A Go program.
    Go,
    /// The whole sandbox pinned to one CPU.
    Pinned,
    /// Two busy loops run beside.
    Loaded,
}

impl Variant {
    /// All variants in the order in which they run.
    pub const ALL: [Self; 7] = [Self::Base, Self::Static, Self::Trap, Self::Sites, Self::Go, Self::Pinned, Self::Loaded];

    /// The name as in `--variants` and in the JSON report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Static => "static",
            Self::Trap => "trap",
            Self::Sites => "sites",
            Self::Go => "go",
            Self::Pinned => "pinned",
            Self::Loaded => "loaded",
        }
    }

    /// One line for the heading of the variant's table.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Base => "dynamic program, calls through libc",
            Self::Static => "static program, calls through libc",
            Self::Trap => "calls from an anonymous mapping, which cannot be patched",
            Self::Sites => "calls from own text after 300 other call sites",
            Self::Go => "Go program",
            Self::Pinned => "everything on one CPU",
            Self::Loaded => "two busy loops beside",
        }
    }

    /// Whether `row` exists in this variant.
    pub fn has(self, row: &Row) -> bool {
        match self {
            Self::Base | Self::Pinned | Self::Loaded => true,
            Self::Static | Self::Trap | Self::Sites => row.hot,
            Self::Go => row.go,
        }
    }
}

/// What a row's time consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing that a sandbox's kernel in another process must hear of.
    Local,
    /// Calls, or wake-ups of another task, that a sandbox's kernel answers: it may sit on another CPU.
    HandOff,
    /// Threads or processes start and end.
    Process,
}

/// One measured operation. The programs under `c/` and `go/` implement it under the same name.
#[derive(Debug)]
pub struct Row {
    /// Name as in `--rows`, in the reports and in the programs.
    pub name: &'static str,
    /// Whether entering the kernel dominates, so that the row is also run unpatched and so on.
    pub hot: bool,
    /// Whether the Go program has it.
    pub go: bool,
    /// What its time consists of.
    pub kind: Kind,
    /// Largest wanted ratio to native, on a quiet machine.
    pub target: Option<f64>,
}

const fn hot(name: &'static str, kind: Kind, target: Option<f64>) -> Row {
    Row { name, hot: true, go: true, kind, target }
}

const fn cold(name: &'static str, kind: Kind, target: Option<f64>) -> Row {
    Row { name, hot: false, go: false, kind, target }
}

const fn not_in_go(row: Row) -> Row {
    Row { go: false, ..row }
}

/// All rows, in the order of the programs.
pub const ROWS: &[Row] = &[
    cold("spin_1k_iters", Kind::Local, None),
    hot("getpid_raw", Kind::Local, Some(0.2)),
    cold("getpid_wrapper", Kind::Local, Some(0.2)),
    hot("clock_gettime_raw", Kind::Local, Some(1.1)),
    cold("clock_gettime_vdso", Kind::Local, Some(1.1)),
    hot("read1_devzero", Kind::HandOff, Some(1.5)),
    hot("pread4k_tmpfs", Kind::HandOff, Some(1.5)),
    hot("pread4k_root", Kind::HandOff, Some(2.5)),
    hot("pwrite4k_tmpfs", Kind::HandOff, None),
    hot("open_close_tmpfs", Kind::HandOff, Some(1.5)),
    hot("open_close_root", Kind::HandOff, Some(1.5)),
    hot("stat_tmpfs", Kind::HandOff, Some(0.9)),
    hot("stat_root", Kind::HandOff, Some(0.9)),
    hot("pipe_self", Kind::HandOff, Some(1.5)),
    hot("pipe_pingpong", Kind::HandOff, Some(1.5)),
    hot("unix_pingpong", Kind::HandOff, Some(1.5)),
    hot("futex_pingpong", Kind::HandOff, Some(1.2)),
    hot("epoll_wait_ready", Kind::HandOff, Some(1.3)),
    not_in_go(hot("poll_ready", Kind::HandOff, None)),
    hot("sched_yield", Kind::Local, Some(1.2)),
    not_in_go(hot("sigprocmask", Kind::Local, None)),
    not_in_go(hot("signal_self", Kind::HandOff, None)),
    hot("mmap_touch64_munmap", Kind::Local, Some(1.15)),
    cold("thread_create_join", Kind::Process, Some(2.0)),
    cold("fork_exit_wait", Kind::Process, Some(2.0)),
    cold("fork_exec_wait", Kind::Process, Some(1.8)),
    cold("fork_exec_static", Kind::Process, Some(1.8)),
];

/// Largest wanted ratio of any row while everything is pinned to one CPU.
const PINNED_RATIO: f64 = 30.0;
/// Largest wanted ratio of hand-off rows with two busy loops beside.
const LOADED_HAND_OFF_RATIO: f64 = 3.0;
/// Largest wanted ratio of rows that start threads or processes with two busy loops beside.
const LOADED_PROCESS_RATIO: f64 = 1.5;
/// Largest wanted ratio of CPU time of all sandbox processes.
pub const CPU_RATIO: f64 = 4.0;
/// Longest wanted time of starting a sandbox for `/bin/true`, in milliseconds.
pub const STARTUP_MS: f64 = 20.0;
/// Largest wanted memory of all processes of an idle sandbox, in MB (10^6 bytes) of PSS.
pub const IDLE_PSS_MB: f64 = 6.0;

/// The largest wanted ratio to native of `row` in `variant`, if one is set.
pub fn target_ratio(row: &Row, variant: Variant) -> Option<f64> {
    match (variant, row.kind) {
        (Variant::Trap, _) => None,
        (Variant::Pinned, _) => Some(PINNED_RATIO),
        (Variant::Loaded, Kind::HandOff) => Some(LOADED_HAND_OFF_RATIO),
        (Variant::Loaded, Kind::Process) => Some(LOADED_PROCESS_RATIO),
        (Variant::Loaded, Kind::Local) => None,
        (Variant::Base | Variant::Static | Variant::Sites | Variant::Go, _) => row.target,
    }
}

/// The longest wanted time of one operation in nanoseconds. Hand-off rows may always take two line
/// round trips more than native: a sandbox's kernel on another CPU cannot be nearer.
pub fn limit_ns(row: &Row, variant: Variant, native_ns: f64, line_round_trip_ns: Option<f64>) -> Option<f64> {
    let limit = native_ns * target_ratio(row, variant)?;
    Some(match (row.kind, line_round_trip_ns) {
        (Kind::HandOff, Some(line)) => limit.max(native_ns + 2.0 * line),
        _ => limit,
    })
}

/// Which rows a `--rows` filter selects: names that contain one of its comma-separated words.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    words: Vec<String>,
}

impl Filter {
    /// Parses comma-separated words. No word at all selects everything.
    pub fn parse(text: &str) -> Self {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Self { words: words.map(str::to_owned).collect() }
    }

    /// Whether the row or system measurement called `name` is selected.
    pub fn selects(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs;

    fn row(name: &str) -> &'static Row {
        ROWS.iter().find(|row| row.name == name).unwrap()
    }

    #[test]
    fn rows_are_those_of_the_c_program() {
        let programs = programs::Programs::install().unwrap();
        let _only = crate::accounting::only_children();
        let output = std::process::Command::new(&programs.dynamic).arg("list").output().unwrap();
        let expected: String = ROWS.iter().map(|row| format!("{}{}\n", row.name, if row.hot { " hot" } else { "" })).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn go_rows_are_those_of_the_go_program() {
        let in_source: Vec<&str> = programs::GO_SOURCE
            .lines()
            .filter_map(|line| line.trim().strip_prefix("{\"")?.split_once("\", ").map(|(name, _)| name))
            .collect();
        let expected: Vec<&str> = ROWS.iter().filter(|row| row.go).map(|row| row.name).collect();
        assert_eq!(in_source, expected);
    }

    #[test]
    fn hand_off_limit_is_the_larger_of_ratio_and_two_line_round_trips() {
        let row = row("pipe_self");
        assert_eq!(limit_ns(row, Variant::Base, 1000.0, Some(100.0)), Some(1500.0));
        assert_eq!(limit_ns(row, Variant::Base, 1000.0, Some(400.0)), Some(1800.0));
        assert_eq!(limit_ns(row, Variant::Base, 1000.0, None), Some(1500.0));
    }

    #[test]
    fn line_round_trips_are_granted_to_hand_off_rows_only() {
        assert_eq!(limit_ns(row("stat_root"), Variant::Base, 1000.0, Some(400.0)), Some(1800.0));
        assert_eq!(limit_ns(row("sched_yield"), Variant::Base, 1000.0, Some(400.0)), Some(1200.0));
    }

    #[test]
    fn load_and_pinning_have_limits_of_their_own() {
        assert_eq!(target_ratio(row("stat_root"), Variant::Pinned), Some(30.0));
        assert_eq!(target_ratio(row("unix_pingpong"), Variant::Loaded), Some(3.0));
        assert_eq!(target_ratio(row("fork_exit_wait"), Variant::Loaded), Some(1.5));
        assert_eq!(target_ratio(row("stat_root"), Variant::Loaded), Some(3.0));
        assert_eq!(target_ratio(row("getpid_raw"), Variant::Loaded), None);
        assert_eq!(target_ratio(row("stat_root"), Variant::Trap), None);
    }

    #[test]
    fn filter_selects_by_any_of_its_words() {
        let filter = Filter::parse("pingpong, getpid_raw,");
        let selected: Vec<&str> = ROWS.iter().map(|row| row.name).filter(|name| filter.selects(name)).collect();
        assert_eq!(selected, ["getpid_raw", "pipe_pingpong", "unix_pingpong", "futex_pingpong"]);
        assert!(Filter::parse("").selects("anything"));
    }
}
