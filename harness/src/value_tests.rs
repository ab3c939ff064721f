use serde_json::{Value as Json, json};

use super::{Fields, Normalise, ValueError};
use crate::manifest::{As, Normaliser};

/// The fields of values given as (observation, path, value).
fn fields(rules: &[Normaliser], values: &[(&str, &str, Json)]) -> Result<Fields, ValueError> {
    let mut normalise = Normalise::new(rules);
    let mut out = Fields::new();
    for (obs, path, value) in values {
        normalise.field(obs, path, value, &mut out)?;
    }
    Ok(out)
}

fn one(value: Json) -> String {
    fields(&[], &[("o", "v", value)]).unwrap().remove("v").unwrap()
}

fn fault(value: Json) -> ValueError {
    fields(&[], &[("o", "v", value)]).unwrap_err()
}

#[test]
fn plain_values_keep_their_text() {
    assert_eq!(one(json!({"t": "int", "v": -1})), "-1");
    assert_eq!(one(json!({"t": "uint", "v": u64::MAX})), "18446744073709551615");
    assert_eq!(one(json!({"t": "hex", "v": "0x0A"})), "0xa");
    assert_eq!(one(json!({"t": "bool", "v": true})), "true");
    assert_eq!(one(json!({"t": "str", "v": "a\nb"})), "\"a\\nb\"");
    assert_eq!(one(json!({"t": "bytes", "v": "00FF"})), "bytes:00ff");
    assert_eq!(one(json!({"t": "rel", "v": "lt"})), "lt");
}

#[test]
fn errno_is_never_normalised() {
    assert_eq!(one(json!({"t": "errno", "v": "EEXIST"})), "EEXIST");
    assert_ne!(one(json!({"t": "errno", "v": "EEXIST"})), one(json!({"t": "errno", "v": "ENOENT"})));
}

#[test]
fn symbols_show_sameness_and_not_the_number() {
    let run = |a: u32, b: u32| {
        fields(
            &[],
            &[
                ("open", "ret", json!({"t": "fd", "v": a})),
                ("dup", "args.fd", json!({"t": "fd", "v": a})),
                ("dup", "ret", json!({"t": "fd", "v": b})),
            ],
        )
        .unwrap()
    };
    assert_eq!(run(3, 4), run(7, 9));
    assert_ne!(run(3, 4), run(3, 3));
    assert_eq!(run(3, 4)["args.fd"], "fd@open/ret");
}

#[test]
fn one_wrong_answer_does_not_rename_later_symbols() {
    let run = |first: i32| {
        let values = [("a", "first", json!({"t": "pid", "v": first})), ("b", "second", json!({"t": "pid", "v": 20}))];
        fields(&[], &values).unwrap()
    };
    assert_eq!(run(10)["second"], run(-1)["second"]);
    assert_ne!(run(10)["first"], run(-1)["first"]);
}

#[test]
fn special_numbers_of_symbol_types_stay() {
    assert_eq!(one(json!({"t": "fd", "v": -100})), "-100");
    assert_eq!(one(json!({"t": "addr", "v": "0x0"})), "0x0");
    assert_eq!(one(json!({"t": "pid", "v": 0})), "0");
}

#[test]
fn absolute_times_vanish_but_the_epoch_stays() {
    assert_eq!(one(json!({"t": "time", "v": 1})), one(json!({"t": "time", "v": 1_700_000_000_000_000_000_u64})));
    assert_ne!(one(json!({"t": "time", "v": 0})), one(json!({"t": "time", "v": 1})));
}

#[test]
fn durations_are_within_their_bounds_or_not() {
    let duration = |v: u32| one(json!({"t": "dur", "v": v, "min": 10, "max": 20}));
    assert_eq!(duration(10), "within");
    assert_eq!(duration(20), "within");
    assert_eq!(duration(9), "outside");
    assert_eq!(duration(21), "outside");
}

#[test]
fn sets_ignore_order_even_of_new_symbols() {
    let set = |items: Json| one(json!({"t": "set", "v": items}));
    let int = |v: i32| json!({"t": "int", "v": v});
    let pid = |v: i32| json!({"t": "pid", "v": v});
    assert_eq!(set(json!([int(1), int(2)])), set(json!([int(2), int(1)])));
    assert_eq!(set(json!([pid(5), int(2), pid(9)])), set(json!([int(2), pid(70), pid(60)])));
    assert_ne!(set(json!([pid(5), pid(5)])), set(json!([pid(5), pid(6)])));
}

#[test]
fn lists_and_maps_become_fields() {
    let value = json!({"t": "map", "v": {"l": {"t": "list", "v": [{"t": "int", "v": 7}]}}});
    let got = fields(&[], &[("o", "state", value)]).unwrap();
    assert_eq!(got["state.l[0]"], "7");
    assert_eq!(got["state.l.len"], "1");
}

#[test]
fn rules_apply_to_their_field_and_observation_only() {
    let rule = |field: &str, as_| Normaliser { field: field.into(), as_, why: "test".into() };
    let rules = [rule("a/x", As::Ignore), rule("y", As::Sign)];
    let values = [
        ("a", "x", json!({"t": "int", "v": 1})),
        ("b", "x", json!({"t": "int", "v": 2})),
        ("b", "y", json!({"t": "int", "v": 55})),
    ];
    let got = fields(&rules, &values).unwrap();
    assert_eq!(got["x"], "2");
    assert_eq!(got["y"], "positive");
}

#[test]
fn bad_values_are_named() {
    assert!(matches!(fault(json!(3)), ValueError::NotTyped { .. }));
    assert!(matches!(fault(json!({"t": "colour", "v": 1})), ValueError::UnknownType { .. }));
    assert!(matches!(fault(json!({"t": "int", "v": "1"})), ValueError::Mismatch { .. }));
    assert!(matches!(fault(json!({"t": "hex", "v": "12"})), ValueError::Mismatch { .. }));
    assert!(matches!(fault(json!({"t": "dur", "v": 1})), ValueError::Mismatch { .. }));
    let deep = (0..40).fold(json!({"t": "int", "v": 1}), |v, _| json!({"t": "list", "v": [v]}));
    assert!(matches!(fault(deep), ValueError::TooDeep { .. }));
}
