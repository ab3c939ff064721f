//! Measurements of a whole sandbox: starting it, and what it costs while it sleeps.

use std::collections::BTreeMap;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use procfs::process::Process;

use crate::accounting::{Accounting, Group};
use crate::launch::{Launch, run, spawn};
use crate::report::{Idle, Outcome, Startup};
use crate::runtime::Runtime;
use crate::stats::{Summary, median};
use crate::suite::outcome;

/// How long starting `/bin/true` may take.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Wall time of `/bin/true` in each runtime, `runs` times, interleaved.
pub(crate) fn startup(accounting: &Accounting, runtimes: &[Runtime], runs: usize) -> BTreeMap<String, Outcome<Startup>> {
    let mut samples: Vec<Result<Vec<(f64, f64)>>> = runtimes.iter().map(|_| Ok(Vec::new())).collect();
    for _ in 0..runs {
        for (runtime, slot) in runtimes.iter().zip(&mut samples) {
            if let Ok(so_far) = slot {
                match start_once(accounting, runtime) {
                    Ok(sample) => so_far.push(sample),
                    Err(error) => *slot = Err(error),
                }
            }
        }
    }
    let summarise = |samples: Vec<(f64, f64)>| -> Result<Startup> {
        let (wall, cpu): (Vec<f64>, Vec<f64>) = samples.into_iter().unzip();
        Ok(Startup { ms: Summary::of(&wall).context("no runs")?, cpu_ms: median(&cpu).context("no runs")? })
    };
    let results = samples.into_iter().map(|samples| outcome(samples.and_then(summarise)));
    runtimes.iter().map(|runtime| runtime.name.clone()).zip(results).collect()
}

/// Wall and CPU milliseconds of one `/bin/true`.
fn start_once(accounting: &Accounting, runtime: &Runtime) -> Result<(f64, f64)> {
    let group = accounting.group()?;
    let launch = Launch {
        argv: runtime.prefix.iter().cloned().chain(["/bin/true".into()]).collect(),
        pin: None,
        timeout: STARTUP_TIMEOUT,
    };
    let started = Instant::now();
    run(&launch, &group, &mut |_, _| Ok(()))?;
    let wall = started.elapsed();
    let cpu = Duration::from_nanos(group.cpu_ns()?);
    Ok((wall.as_secs_f64() * 1e3, cpu.as_secs_f64() * 1e3))
}

/// Memory and CPU use of `sleep` in each runtime: after `settle`, over `watch`.
pub(crate) fn idle(
    accounting: &Accounting,
    runtimes: &[Runtime],
    settle: Duration,
    watch: Duration,
) -> BTreeMap<String, Outcome<Idle>> {
    let measure = |runtime: &Runtime| outcome(idle_once(accounting, runtime, settle, watch));
    runtimes.iter().map(|runtime| (runtime.name.clone(), measure(runtime))).collect()
}

fn idle_once(accounting: &Accounting, runtime: &Runtime, settle: Duration, watch: Duration) -> Result<Idle> {
    let group = accounting.group()?;
    // Longer than it is watched, whatever happens; it is killed at the end.
    let sleep = (settle + watch + STARTUP_TIMEOUT).as_secs().to_string();
    let launch = Launch {
        argv: runtime.prefix.iter().cloned().chain(["/bin/sleep".into(), sleep.into()]).collect(),
        pin: None,
        timeout: STARTUP_TIMEOUT,
    };
    let mut child = spawn(&launch, &group, Stdio::null(), Stdio::null())?;
    let result = match ended_within(&mut child, settle) {
        Ok(None) => watch_group(&group, watch),
        Ok(Some(status)) => Err(anyhow::anyhow!("the sandbox did not sleep: {status}")),
        Err(error) => Err(error),
    };
    let still_there = child.try_wait().is_ok_and(|status| status.is_none());
    group.kill_all();
    // Errors mean that it is gone.
    let _ = child.kill();
    let _ = child.wait();
    if result.is_ok() && !still_there {
        bail!("the sandbox ended while it was watched");
    }
    result
}

/// The child's status if it ends within `time`.
fn ended_within(child: &mut Child, time: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + time;
    loop {
        let status = child.try_wait()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if status.is_some() || left.is_zero() {
            return Ok(status);
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

fn watch_group(group: &Group, watch: Duration) -> Result<Idle> {
    let (ticks_before, cpu_before) = (ticks(group)?, group.cpu_ns()?);
    let started = Instant::now();
    thread::sleep(watch);
    let (ticks_after, cpu_after) = (ticks(group)?, group.cpu_ns()?);
    let watched_s = started.elapsed().as_secs_f64();
    let pids = group.pids()?;
    let shares: Vec<Option<u64>> = pids.iter().map(|&pid| pss_bytes(pid)).collect();
    Ok(Idle {
        processes: pids.len(),
        pss_bytes: shares.iter().flatten().sum(),
        unreadable: shares.iter().filter(|share| share.is_none()).count(),
        watched_s,
        ticks: ticks_after.saturating_sub(ticks_before),
        cpu_ns: cpu_after.saturating_sub(cpu_before),
    })
}

/// User and system time of the live processes, in clock ticks.
fn ticks(group: &Group) -> Result<u64> {
    let stats = group.pids()?.into_iter().filter_map(|pid| Process::new(pid).ok()?.stat().ok());
    Ok(stats.map(|stat| stat.utime + stat.stime).sum())
}

/// The process's proportional share of memory, from `/proc/PID/smaps_rollup`.
fn pss_bytes(pid: i32) -> Option<u64> {
    let rollup = Process::new(pid).ok()?.smaps_rollup().ok()?;
    let maps = rollup.memory_map_rollup.0;
    Some(maps.iter().filter_map(|map| map.extension.map.get("Pss")).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtimes() -> Vec<Runtime> {
        vec![Runtime::native(), Runtime::parse("broken=/bin/sh -c 'exit 3'").unwrap()]
    }

    #[test]
    fn startup_reports_each_runtime_by_itself() {
        let accounting = Accounting::detect().unwrap();
        let result = startup(&accounting, &runtimes(), 3);
        assert_eq!(result["native"].measured().unwrap().ms.runs, 3);
        assert_eq!(result["broken"].error(), Some("exit status: 3"));
    }

    #[test]
    fn idle_sees_the_sleeping_process() {
        let accounting = Accounting::detect().unwrap();
        let result = idle(&accounting, &runtimes()[..1], Duration::ZERO, Duration::ZERO);
        let native = result["native"].measured().unwrap();
        assert_eq!((native.processes, native.unreadable), (1, 0));
        assert!(native.pss_bytes > 0);
    }

    #[test]
    fn a_sandbox_that_ends_is_not_idle() {
        let accounting = Accounting::detect().unwrap();
        let result = idle(&accounting, &runtimes()[1..], Duration::from_secs(60), Duration::ZERO);
        assert_eq!(result["broken"].error(), Some("the sandbox did not sleep: exit status: 3"));
    }
}
