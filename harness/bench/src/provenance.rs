//! Where and when a report was measured.

use std::time::SystemTime;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use procfs::{CpuInfo, Current, LoadAverage};
use serde::{Deserialize, Serialize};

/// The machine and moment of a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Start of the measurement, RFC 3339, UTC.
    pub date: String,
    /// Release of the host's kernel.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs that the benchmark may use.
    pub cpus: usize,
    /// Load average over one minute at the start: about 0 on a quiet machine.
    pub load: f32,
    /// Version of the benchmark.
    pub version: String,
    /// Effective user: 0 is root.
    pub uid: u32,
}

impl Provenance {
    /// Describes this machine, now.
    pub fn gather() -> Self {
        let unknown = || "unknown".to_owned();
        let kernel = nix::sys::utsname::uname().map_or_else(|_| unknown(), |name| name.release().to_string_lossy().into_owned());
        let cpu = CpuInfo::current().ok().and_then(|info| info.model_name(0).map(str::to_owned)).unwrap_or_else(unknown);
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            kernel,
            cpu,
            cpus: allowed_cpus().len(),
            load: LoadAverage::current().map_or(0.0, |load| load.one),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uid: nix::unistd::geteuid().as_raw(),
        }
    }
}

/// The CPUs that this process may use, in order.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return vec![0];
    };
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}
