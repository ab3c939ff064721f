use super::{Kind, Mutant, RUNTIMES, choose, column, list, mutated};
use crate::container::Column;

fn mutant(id: &str, calls: &[&str]) -> Mutant {
    Mutant { id: id.into(), calls: calls.iter().map(|c| (*c).into()).collect(), kind: Kind::Bug, text: "What it does.".into() }
}

fn ids(chosen: &[Mutant]) -> Vec<&str> {
    chosen.iter().map(|m| m.id.as_str()).collect()
}

#[test]
fn ids_and_calls_choose_and_a_name_that_chooses_nothing_is_an_error() {
    let all = vec![mutant("read/short", &["read", "readv"]), mutant("dup/flags", &["dup3"])];
    let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&choose(all.clone(), &[], &[]).unwrap()), ["read/short", "dup/flags"]);
    assert_eq!(ids(&choose(all.clone(), &strings(&["read/"]), &[]).unwrap()), ["read/short"]);
    assert_eq!(ids(&choose(all.clone(), &[], &strings(&["dup3"])).unwrap()), ["dup/flags"]);
    assert!(choose(all.clone(), &strings(&["nothing"]), &[]).is_err());
    assert!(choose(all, &[], &strings(&["dup"])).is_err());
}

#[test]
fn the_switch_stands_before_the_command() {
    let column = Column { name: "c".into(), command: ["bevor", "do", "--"].map(String::from).to_vec() };
    assert_eq!(mutated(&column, "a/b").command, ["bevor", "do", "--mutant", "a/b", "--"]);
}

#[test]
fn a_build_without_mutants_is_an_error_that_says_how_to_build_one() {
    let missing = list(std::path::Path::new("/nowhere/bevor")).unwrap_err().to_string();
    assert!(missing.contains("--profile mutants"), "{missing}");
    let without = list(std::path::Path::new("/bin/false")).unwrap_err().to_string();
    assert!(without.contains("holds no mutants") && without.contains("--profile mutants"), "{without}");
}

#[test]
fn each_column_runs_the_build_with_mutants_and_none_answers_in_the_stub() {
    for runtime in RUNTIMES.into_iter().chain(["bevor-local-off"]) {
        let command = column(runtime, std::path::Path::new("/m/bevor")).unwrap().command;
        assert_eq!(command[0], "/m/bevor", "{runtime}");
        assert_eq!(command.iter().filter(|a| *a == "--local-calls=off").count(), 1, "{runtime}");
        assert_eq!(command.last().map(String::as_str), Some("--"), "{runtime}");
    }
    assert!(column("other=/bin/other", std::path::Path::new("/m/bevor")).is_err());
}
