//! Where and when a run was made: the side file of `results.json`, so that results hold only what was measured.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The side file's content.
#[derive(Debug, Clone, Serialize)]
pub struct Provenance {
    /// Commit of the repository, with `-dirty` if files differ from it.
    pub commit: Option<String>,
    /// Version of Bevor.
    pub version: &'static str,
    /// Day of the run (UTC).
    pub date: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// Host kernel release and version.
    pub kernel: String,
    /// Model name of the first CPU.
    pub cpu: Option<String>,
    /// Number of CPUs.
    pub cpus: usize,
    /// Seed of the order.
    pub seed: u64,
    /// The command line.
    pub command: Vec<String>,
    /// Each column's command.
    pub columns: Vec<(String, Vec<String>)>,
}

impl Provenance {
    /// Asks the host.
    #[must_use]
    pub fn gather(seed: u64, columns: Vec<(String, Vec<String>)>) -> Self {
        let kernel = nix::sys::utsname::uname()
            .map(|u| format!("{} {}", u.release().to_string_lossy(), u.version().to_string_lossy()))
            .unwrap_or_default();
        let cpu = std::fs::read_to_string("/proc/cpuinfo")
            .ok()
            .and_then(|t| t.lines().find_map(|l| Some(l.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned())));
        Self {
            commit: commit(),
            version: env!("CARGO_PKG_VERSION"),
            date: today(),
            time: now(),
            kernel,
            cpu,
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            seed,
            command: std::env::args().collect(),
            columns,
        }
    }
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "HEAD"])?;
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    Some(if dirty { format!("{head}-dirty") } else { head })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Today as "YYYY-MM-DD" (UTC).
#[must_use]
pub fn today() -> String {
    date(now() / 86_400)
}

/// The civil date of day `days` since 1970-01-01, by counting years and months.
fn date(mut days: u64) -> String {
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

/// `results.json` → `results.provenance.json`.
#[must_use]
pub fn side_file(results: &Path) -> PathBuf {
    results.with_extension("provenance.json")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_780), "2026-11-23");
        assert_eq!(date(20_818), "2026-12-31");
    }
}
