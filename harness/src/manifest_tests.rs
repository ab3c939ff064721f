use super::{Family, Lang, lint, orphans, parse_version};

fn family(yaml: &str) -> Family {
    serde_yaml::from_str(yaml).unwrap()
}

fn only_fault(yaml: &str) -> String {
    let faults = lint(&[family(yaml)]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

const SOUND: &str = "
family: open
probes:
  - id: open/excl
    lang: c
    needs: { kernel: '5.6', caps: [CAP_CHOWN], device: /dev/null }
    covers: [openat, 'openat/flag:O_EXCL', 'openat/errno:EEXIST', /proc/self/fd]
";

#[test]
fn a_sound_manifest_has_no_fault_and_the_documented_defaults() {
    let family = family(SOUND);
    assert_eq!(lint(std::slice::from_ref(&family)), Vec::<String>::new());
    assert_eq!(family.probes[0].timeout_ms, 10_000);
    assert!(!family.probes[0].exclusive);
}

#[test]
fn unknown_keys_are_errors() {
    let text = SOUND.replace("lang: c", "lang: c\n    colour: red");
    assert!(serde_yaml::from_str::<Family>(&text).unwrap_err().to_string().contains("colour"));
}

#[test]
fn duplicates_are_found_across_families() {
    let twice = format!("{SOUND}  - {{ id: open/excl, lang: c, covers: [open] }}\n");
    assert!(only_fault(&twice).contains("listed twice"));
}

#[test]
fn faults_name_the_probe_and_the_reason() {
    let probe = |rest: &str| format!("family: f\nprobes:\n  - {{ {rest} }}\n");
    for (rest, what) in [
        ("id: g/x, lang: c, covers: [open]", "an id is `f/name`"),
        ("id: f/x, lang: c", "covers nothing"),
        ("id: f/x, lang: c, covers: ['open/O_EXCL']", "not a catalogue item"),
        ("id: f/x, lang: c, covers: [open], timeout_ms: 0", "timeout_ms"),
        ("id: f/x, lang: c, covers: [open], needs: { kernel: new }", "not a kernel version"),
        ("id: f/x, lang: c, covers: [open], normalisers: [{ field: state.a, as: ignore, why: ' ' }]", "no reason"),
        ("id: f/x, lang: c, covers: [open], normalisers: [{ field: errno, as: ignore, why: w }]", "errno is never"),
    ] {
        let fault = only_fault(&probe(rest));
        assert!(fault.contains(what), "{fault} lacks {what}");
        assert!(fault.contains("/x"), "{fault}");
    }
}

#[test]
fn orphans_are_found_on_both_sides() {
    let families = [family(SOUND)];
    assert!(orphans(&families, Lang::C, &["open/excl".into()]).is_empty());
    let faults = orphans(&families, Lang::C, &["open/other".into()]);
    assert_eq!(faults, ["open/excl: in a manifest, but not in probes-c", "open/other: in probes-c, but in no manifest"]);
    assert!(orphans(&families, Lang::Rust, &[]).is_empty());
}

#[test]
fn versions_compare_as_numbers() {
    assert_eq!(parse_version("6.18.44-fc"), Some((6, 18)));
    assert!(parse_version("6.6") < parse_version("6.18"));
    assert_eq!(parse_version("six"), None);
}
