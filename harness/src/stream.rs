//! The observation stream of one probe run, and the normalised record made of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::manifest::Normaliser;
use crate::value::{Fields, Normalise};

/// How one run of a probe went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Ran to its end line and exited with 0.
    Completed,
    /// The set-up or the positive control failed.
    Broken(String),
    /// Killed by a signal (name).
    Crashed(String),
    /// Exited with another status than 0.
    Exited(i32),
    /// Exceeded its time limit.
    Timeout,
    /// Exited with 0 without the end line.
    NoEnd,
    /// Wrote more than the harness takes.
    Overflow,
    /// Wrote a line that isn't of the interface's form.
    Malformed(String),
    /// The container died or stopped answering under it.
    Container(String),
    /// The sandbox's own log held a panic or an unlisted warning during it.
    SandboxLog(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Broken(why) => write!(f, "broken: {why}"),
            Self::Crashed(signal) => write!(f, "crashed: {signal}"),
            Self::Exited(status) => write!(f, "exited: {status}"),
            Self::Timeout => f.write_str("timeout"),
            Self::NoEnd => f.write_str("no end line"),
            Self::Overflow => f.write_str("output overflow"),
            Self::Malformed(why) => write!(f, "malformed: {why}"),
            Self::Container(why) => write!(f, "container: {why}"),
            Self::SandboxLog(line) => write!(f, "sandbox log: {line}"),
        }
    }
}

impl Outcome {
    /// Whether the guest or the sandbox fell over, as opposed to answering wrongly.
    #[must_use]
    pub fn is_crash(&self) -> bool {
        matches!(self, Self::Crashed(_) | Self::Timeout | Self::Container(_) | Self::SandboxLog(_))
    }
}

/// What one run of one probe showed, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRun {
    /// The stream's lines.
    pub lines: Vec<String>,
    /// How the probe ended, as the agent or the harness saw it.
    pub outcome: Outcome,
}

/// One observation, normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Name of the system call.
    pub call: String,
    /// Field paths to canonical values.
    pub fields: Fields,
}

/// What one run of one probe showed, normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Observation ids in the order planned.
    pub plan: Vec<String>,
    /// Those that were made.
    pub observations: BTreeMap<String, Observation>,
    /// How the run went.
    pub outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanLine {
    plan: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObsLine {
    obs: String,
    call: String,
    #[serde(default)]
    args: serde_json::Map<String, Json>,
    ret: Json,
    #[serde(default)]
    errno: Option<String>,
    #[serde(default)]
    state: serde_json::Map<String, Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BrokenLine {
    broken: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: bool,
}

/// Parses and normalises `raw` under the probe's extra `rules`.
#[must_use]
pub fn parse(raw: &RawRun, rules: &[Normaliser]) -> Run {
    let mut parser = Parser {
        run: Run { plan: Vec::new(), observations: BTreeMap::new(), outcome: raw.outcome.clone() },
        normalise: Normalise::new(rules),
        planned: false,
        ended: false,
        broken: None,
    };
    for line in &raw.lines {
        if let Err(why) = parser.line(line) {
            // A probe that was cut off leaves half a line; how it ended says more.
            if parser.run.outcome == Outcome::Completed {
                parser.run.outcome = Outcome::Malformed(why);
            }
            return parser.run;
        }
    }
    if let Some(why) = parser.broken {
        parser.run.outcome = Outcome::Broken(why);
    } else if parser.run.outcome == Outcome::Completed && !parser.ended {
        parser.run.outcome = Outcome::NoEnd;
    }
    parser.run
}

struct Parser<'a> {
    run: Run,
    normalise: Normalise<'a>,
    planned: bool,
    ended: bool,
    broken: Option<String>,
}

impl Parser<'_> {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let json: Json = serde_json::from_str(line).map_err(|e| format!("not JSON: {e}"))?;
        let has = |key: &str| json.get(key).is_some();
        if self.ended {
            return Err("a line after the end line".into());
        }
        if has("plan") {
            let plan: PlanLine = typed(&json)?;
            if std::mem::replace(&mut self.planned, true) {
                return Err("two plans".into());
            }
            let mut sorted = plan.plan.clone();
            sorted.sort();
            if let Some(pair) = sorted.windows(2).find(|w| w[0] == w[1]) {
                return Err(format!("`{}` planned twice", pair[0]));
            }
            self.run.plan = plan.plan;
            Ok(())
        } else if has("broken") {
            self.broken = Some(typed::<BrokenLine>(&json)?.broken);
            Ok(())
        } else if has("end") {
            self.ended = typed::<EndLine>(&json)?.end;
            Ok(())
        } else if has("obs") {
            self.observation(typed(&json)?)
        } else {
            Err("neither plan, obs, broken nor end".into())
        }
    }

    fn observation(&mut self, line: ObsLine) -> Result<(), String> {
        let id = line.obs;
        if !self.run.plan.contains(&id) {
            return Err(format!("`{id}` was not planned"));
        }
        let mut fields = Fields::new();
        let mut add = |path: &str, value: &Json, fields: &mut Fields| {
            self.normalise.field(&id, path, value, fields).map_err(|e| format!("{id}: {e}"))
        };
        for (name, value) in &line.args {
            add(&format!("args.{name}"), value, &mut fields)?;
        }
        add("ret", &line.ret, &mut fields)?;
        fields.insert("errno".into(), line.errno.unwrap_or_else(|| "none".into()));
        for (name, value) in &line.state {
            add(&format!("state.{name}"), value, &mut fields)?;
        }
        let observation = Observation { call: line.call, fields };
        match self.run.observations.insert(id.clone(), observation) {
            None => Ok(()),
            Some(_) => Err(format!("`{id}` observed twice")),
        }
    }
}

fn typed<T: serde::de::DeserializeOwned>(json: &Json) -> Result<T, String> {
    T::deserialize(json).map_err(|e| e.to_string())
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
