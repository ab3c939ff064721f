//! Both encoders write the same bytes for the same values.

mod common;

use std::path::Path;
use std::process::Command;

fn golden_of(program: &Path) -> String {
    let out = Command::new(program).arg("golden").output().expect("golden");
    assert!(out.status.success(), "{}", out.status);
    String::from_utf8(out.stdout).expect("the stream is UTF-8")
}

fn committed() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/encoder.ndjson");
    std::fs::read_to_string(path).expect("the golden file")
}

#[test]
fn the_c_encoder_writes_the_golden_stream() {
    assert_eq!(golden_of(Path::new(bevor_probes_c::PROBES_C)), committed());
}

#[test]
fn the_rust_encoder_writes_the_golden_stream() {
    assert_eq!(golden_of(common::probes_rust()), committed());
}

#[test]
fn the_golden_stream_is_json_and_has_every_type() {
    let golden = committed();
    for line in golden.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    for kind in [
        "int", "uint", "hex", "bool", "str", "bytes", "errno", "fd", "pid", "ino", "dev", "addr", "time", "dur", "rel", "set",
        "list", "map",
    ] {
        assert!(golden.contains(&format!("{{\"t\":\"{kind}\",\"v\":")), "no {kind}");
    }
}
