//! The agent's protocol, from the harness's side.

mod common;

use common::{Agent, Lang};
use serde_json::json;

#[test]
fn hello_tells_the_kernel() {
    let mut agent = Agent::start();
    agent.order(&json!({"hello": true}));
    let hello = &agent.event()["hello"];
    assert!(hello["uname"].as_str().is_some_and(|u| u.starts_with("Linux ")), "{hello}");
    assert!(hello["dmesg"].is_string(), "{hello}");
    agent.quit();
}

#[test]
fn an_unknown_probe_exits_with_64_and_writes_nothing() {
    let mut agent = Agent::start();
    for lang in [Lang::C, Lang::Rust] {
        let (lines, done) = agent.run("no/such", lang, 10_000);
        assert_eq!(lines, Vec::<String>::new());
        assert_eq!(done["exit"], 64);
    }
    agent.quit();
}

#[test]
fn a_probe_that_takes_too_long_is_killed_and_the_next_one_runs() {
    let mut agent = Agent::start();
    // It sleeps 15 ms at least.
    let (lines, done) = agent.run("time/nanosleep", Lang::Rust, 1);
    assert_eq!(done["timeout"], true, "{lines:?}");
    assert!(!lines.iter().any(|l| l.contains("\"end\"")), "{lines:?}");
    let (lines, done) = agent.run("dup/shares_offset", Lang::Rust, 10_000);
    assert_eq!(done["exit"], 0, "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("{\"end\":true}"));
    agent.quit();
}

#[test]
fn what_is_no_order_is_answered_and_doesnt_stop_the_agent() {
    let mut agent = Agent::start();
    agent.order(&json!({"dance": true}));
    assert!(agent.event()["error"].is_string());
    agent.order(&json!({"hello": true}));
    assert!(agent.event()["hello"].is_object());
    agent.quit();
}

#[test]
fn a_work_folder_is_fresh_and_removed_afterwards() {
    let mut agent = Agent::start();
    for _ in 0..2 {
        // Creates files with O_EXCL: fails in a folder that was used before.
        let (lines, done) = agent.run("open/excl_existing", Lang::C, 10_000);
        assert_eq!(done["exit"], 0);
        assert!(lines[1].contains("\"errno\":null"), "{lines:?}");
    }
    assert_eq!(std::fs::read_dir(agent.work()).expect("the work folder").count(), 0);
    agent.quit();
}
