use super::{Outcome, RawRun, Run, parse};

fn run(lines: &[&str], outcome: Outcome) -> Run {
    let raw = RawRun { lines: lines.iter().map(|l| (*l).to_owned()).collect(), outcome };
    parse(&raw, &[])
}

const PLAN: &str = r#"{"plan":["a","b"]}"#;
const A: &str = r#"{"obs":"a","call":"dup","args":{"fd":{"t":"fd","v":3}},"ret":{"t":"int","v":-1},"errno":"EBADF","state":{}}"#;
const B: &str =
    r#"{"obs":"b","call":"dup","args":{},"ret":{"t":"fd","v":4},"errno":null,"state":{"open":{"t":"bool","v":true}}}"#;
const END: &str = r#"{"end":true}"#;

#[test]
fn a_complete_stream_is_taken_in() {
    let run = run(&[PLAN, A, B, END], Outcome::Completed);
    assert_eq!(run.outcome, Outcome::Completed);
    assert_eq!(run.plan, ["a", "b"]);
    assert_eq!(run.observations["a"].fields["errno"], "EBADF");
    assert_eq!(run.observations["b"].fields["errno"], "none");
    assert_eq!(run.observations["b"].fields["state.open"], "true");
}

#[test]
fn a_stream_without_end_is_not_complete() {
    assert_eq!(run(&[PLAN, A, B], Outcome::Completed).outcome, Outcome::NoEnd);
    let crashed = run(&[PLAN, A], Outcome::Crashed("SIGSEGV".into()));
    assert_eq!(crashed.outcome, Outcome::Crashed("SIGSEGV".into()));
    assert_eq!(crashed.plan.len(), 2, "a crash never shrinks the plan");
    assert_eq!(crashed.observations.len(), 1);
    let cut = run(&[PLAN, A, r#"{"obs":"b","#], Outcome::Timeout);
    assert_eq!(cut.outcome, Outcome::Timeout, "half a line is not the fault");
}

#[test]
fn broken_set_up_is_an_outcome_of_its_own() {
    let run = run(&[PLAN, r#"{"broken":"mkdir: EACCES"}"#, END], Outcome::Completed);
    assert_eq!(run.outcome, Outcome::Broken("mkdir: EACCES".into()));
}

#[test]
fn malformed_lines_are_named() {
    for (lines, what) in [
        (vec![PLAN, "garbage"], "not JSON"),
        (vec![PLAN, PLAN], "two plans"),
        (vec![A], "not planned"),
        (vec![PLAN, A, A], "observed twice"),
        (vec![PLAN, END, A], "after the end"),
        (vec![r#"{"plan":["a","a"]}"#], "planned twice"),
        (vec![r#"{"what":1}"#], "neither"),
        (vec![r#"{"plan":["a"],"colour":1}"#], "colour"),
    ] {
        let Outcome::Malformed(why) = run(&lines, Outcome::Completed).outcome else {
            panic!("{lines:?} was taken");
        };
        assert!(why.contains(what), "{why} lacks {what}");
    }
}
