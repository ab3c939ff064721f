//! Every probe runs natively: plan first, every observation planned and made, values well typed, `end` last.

mod common;

use std::collections::BTreeMap;

use common::{Agent, Needs, families};
use serde_json::Value as Json;

#[test]
fn every_probe_completes_its_plan() {
    let mut agent = Agent::start();
    let mut faults = Vec::new();
    let mut ran = 0;
    for family in families() {
        for probe in &family.probes {
            if !met(&probe.needs) {
                continue;
            }
            let (lines, done) = agent.run(&probe.id, probe.lang, probe.timeout_ms);
            ran += 1;
            if done["exit"] != 0 {
                faults.push(format!("{}: {done}", probe.id));
            }
            if let Err(why) = check(&lines) {
                faults.push(format!("{}: {why}\n{}", probe.id, lines.join("\n")));
            }
        }
    }
    agent.quit();
    assert!(ran > 0, "no probe ran");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn met(needs: &Needs) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let caps = status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|v| u64::from_str_radix(v.trim(), 16).ok())
        .expect("CapEff");
    // A probe that needs any capability is run by a root that holds them all, and skipped otherwise.
    let all = (1_u64 << 38) - 1;
    (needs.caps.is_empty() || caps & all == all)
        && needs.device.as_ref().is_none_or(|d| d.exists())
        && needs.kernel.as_ref().is_none_or(|k| version(k) <= version(&release()))
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("osrelease")
}

fn version(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).take(2).filter_map(|n| n.parse().ok()).collect()
}

fn check(lines: &[String]) -> Result<(), String> {
    let mut parsed = Vec::new();
    for line in lines {
        parsed.push(serde_json::from_str::<Json>(line).map_err(|e| e.to_string())?);
    }
    let plan = parsed.first().and_then(|l| l["plan"].as_array()).ok_or("the first line is no plan")?;
    let mut open: BTreeMap<&str, bool> = BTreeMap::new();
    for id in plan {
        if open.insert(id.as_str().ok_or("an id is no text")?, false).is_some() {
            return Err(format!("{id} is planned twice"));
        }
    }
    let last = parsed.last().ok_or("nothing was written")?;
    if last["end"] != true {
        return Err("the last line is no end".into());
    }
    for line in &parsed[1..parsed.len() - 1] {
        let id = line["obs"].as_str().ok_or(format!("{line} is no observation"))?;
        match open.insert(id, true) {
            Some(false) => {}
            Some(true) => return Err(format!("{id} is observed twice")),
            None => return Err(format!("{id} was not planned")),
        }
        typed(&line["ret"])?;
        for part in ["args", "state"] {
            for value in line[part].as_object().ok_or(format!("{id}: no {part}"))?.values() {
                typed(value)?;
            }
        }
        let failed = line["errno"].is_string();
        if failed && line["ret"]["v"] != -1 {
            return Err(format!("{id}: an errno beside another result than -1"));
        }
        if failed && line["errno"].as_str().is_some_and(|e| e[1..].parse::<u32>().is_ok()) {
            return Err(format!("{id}: an unknown errno"));
        }
    }
    match open.iter().find(|(_, made)| !**made) {
        Some((id, _)) => Err(format!("{id} was not observed")),
        None => Ok(()),
    }
}

fn typed(value: &Json) -> Result<(), String> {
    let v = &value["v"];
    let right = match value["t"].as_str() {
        Some("int" | "fd" | "pid" | "time") => v.is_i64(),
        Some("uint" | "ino" | "dev") => v.is_u64(),
        Some("hex" | "addr") => v.as_str().and_then(|s| s.strip_prefix("0x")).is_some_and(|s| u64::from_str_radix(s, 16).is_ok()),
        Some("bool") => v.is_boolean(),
        Some("str" | "errno" | "rel") => v.is_string(),
        Some("bytes") => v.as_str().is_some_and(|s| s.len() % 2 == 0 && s.bytes().all(|b| b.is_ascii_hexdigit())),
        Some("dur") => {
            let (v, min, max) = (v.as_i64(), value["min"].as_i64(), value["max"].as_i64());
            if v < min || v > max {
                return Err(format!("{value}: outside of its own bounds"));
            }
            v.is_some() && min.is_some() && max.is_some()
        }
        Some("set" | "list") => return v.as_array().ok_or("no list")?.iter().try_for_each(typed),
        Some("map") => return v.as_object().ok_or("no map")?.values().try_for_each(typed),
        _ => false,
    };
    if right { Ok(()) } else { Err(format!("{value} is ill typed")) }
}
